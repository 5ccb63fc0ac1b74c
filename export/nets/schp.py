"""SCHP: human parsing by self correction (Li et al. 2020), the network AugmentCE2P.

Keys and arithmetic follow GoGoDuck912/Self-Correction-Human-Parsing `networks/AugmentCE2P.py`
(the checkpoint's prefix "module." is dropped by the loader).
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets.abn import ABN
from fuw.export.nets.width import scaled

CLASSES = 20
EDGE_CLASSES = 2
PYRAMID = (1, 2, 3, 6)
LEAKY_SLOPE = 0.01

LeakyABN = partial(ABN, slope=LEAKY_SLOPE)


def _conv(cin: int, cout: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel // 2)
    return nn.Conv2d(cin, cout, kernel, stride, padding, dilation, bias=False)


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


class AveragePool(nn.Module):
    """Adaptive average pooling to `size` x `size` that a static graph can hold.

    Where the size does not divide the map (never at 473 pixels), the cells overlap and have
    different sizes; two constant matrices say the same and export cleanly.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def _matrix(self, length: int, like: Tensor) -> Tensor:
        cells = torch.zeros(self.size, length, dtype=like.dtype, device=like.device)
        for i in range(self.size):
            start, end = i * length // self.size, -(-(i + 1) * length // self.size)
            cells[i, start:end] = 1.0 / (end - start)
        return cells

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, size, size)."""
        h, w = int(x.shape[2]), int(x.shape[3])
        if h % self.size == 0 and w % self.size == 0:
            return F.avg_pool2d(x, (h // self.size, w // self.size))
        return self._matrix(h, x) @ x @ self._matrix(w, x).T


class Bottleneck(nn.Module):
    """ResNet bottleneck 1x1, 3x3 (stride and dilation here), 1x1, with ABN."""

    def __init__(self, cin: int, mid: int, cout: int, stride: int, dilation: int,
                 project: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(cin, mid, 1), ABN(mid)
        self.conv2, self.bn2 = _conv(mid, mid, 3, stride, dilation), ABN(mid)
        self.conv3, self.bn3 = _conv(mid, cout, 1), ABN(cout)
        self.downsample = nn.Sequential(_conv(cin, cout, 1, stride), ABN(cout)) if project else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _stage(cin: int, mid: int, cout: int, blocks: int, stride: int = 1,
           dilation: int = 1) -> nn.Sequential:
    first = Bottleneck(cin, mid, cout, stride, dilation, project=True)
    rest = [Bottleneck(cout, mid, cout, 1, dilation, project=False) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class PyramidPooling(nn.Module):
    """PSP module (Zhao et al. 2017): averages over 1, 2, 3 and 6 cells beside the features."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(AveragePool(n), _conv(cin, cout, 1), LeakyABN(cout)) for n in PYRAMID)
        self.bottleneck = nn.Sequential(
            _conv(cin + len(PYRAMID) * cout, cout, 3), LeakyABN(cout))

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H, W)."""
        context = [_resize(stage(x), x) for stage in self.stages]
        y: Tensor = self.bottleneck(torch.cat([*context, x], 1))
        return y


class EdgeBranch(nn.Module):
    """Outline of the parts, from the first three stages; returns (edge logits, features)."""

    def __init__(self, channels: Sequence[int], mid: int) -> None:
        super().__init__()
        low, middle, high = channels
        self.conv1 = nn.Sequential(_conv(low, mid, 1), LeakyABN(mid))
        self.conv2 = nn.Sequential(_conv(middle, mid, 1), LeakyABN(mid))
        self.conv3 = nn.Sequential(_conv(high, mid, 1), LeakyABN(mid))
        self.conv4 = nn.Conv2d(mid, EDGE_CLASSES, 3, padding=1)
        self.conv5 = nn.Conv2d(3 * EDGE_CLASSES, EDGE_CLASSES, 1)

    def forward(self, low: Tensor, middle: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """-> (N, 2, h, w) and (N, 3 mid, h, w), h and w those of `low`."""
        features = [self.conv1(low), self.conv2(middle), self.conv3(high)]
        edges = [self.conv4(f) for f in features]
        edge = self.conv5(torch.cat([_resize(e, low) for e in edges], 1))
        return edge, torch.cat([_resize(f, low) for f in features], 1)


class Decoder(nn.Module):
    """Joins the context with the sharp first stage; returns (parsing logits, features)."""

    def __init__(self, context: int, low: int, mid: int, thin: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(_conv(context, mid, 1), LeakyABN(mid))
        self.conv2 = nn.Sequential(_conv(low, thin, 1), LeakyABN(thin))
        self.conv3 = nn.Sequential(_conv(mid + thin, mid, 1), LeakyABN(mid),
                                   _conv(mid, mid, 1), LeakyABN(mid))
        self.conv4 = nn.Conv2d(mid, CLASSES, 1)

    def forward(self, context: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """-> (N, 20, h, w) and (N, mid, h, w), h and w those of `low`."""
        sharp = self.conv2(low)
        x = self.conv3(torch.cat([_resize(self.conv1(context), low), sharp], 1))
        return self.conv4(x), x


class SCHP(nn.Module):
    """Human parser: image (N, 3, H, W), BGR, normalised -> logits (N, 20, h, w), h = ceil(H / 4).

    The logits are those of the fusion head, the one the official extractor uses.
    """

    def __init__(self, width: float = 1.0, *, layers: Sequence[int] = (3, 4, 23, 3)) -> None:
        """`layers`: bottlenecks per stage; the default is ResNet-101."""
        super().__init__()
        c = partial(scaled, width=width)
        stem, mid = c(64), c(256)
        outs = [c(256), c(512), c(1024), c(2048)]
        self.conv1, self.bn1 = _conv(3, stem, 3, stride=2), ABN(stem)
        self.conv2, self.bn2 = _conv(stem, stem, 3), ABN(stem)
        self.conv3, self.bn3 = _conv(stem, c(128), 3), ABN(c(128))
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(c(128), c(64), outs[0], layers[0])
        self.layer2 = _stage(outs[0], c(128), outs[1], layers[1], stride=2)
        self.layer3 = _stage(outs[1], c(256), outs[2], layers[2], stride=2)
        self.layer4 = _stage(outs[2], c(512), outs[3], layers[3], dilation=2)
        self.context_encoding = PyramidPooling(outs[3], c(512))
        self.edge = EdgeBranch(outs[:3], mid)
        self.decoder = Decoder(c(512), outs[0], mid, c(48))
        self.fushion = nn.Sequential(  # the official spelling
            _conv(4 * mid, mid, 1), LeakyABN(mid), nn.Dropout2d(0.1), nn.Conv2d(mid, CLASSES, 1))

    def outputs(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All three heads, for deep supervision.

        Returns:
            Logits of parsing (N, 20, h, w), fusion (N, 20, h, w) and edge (N, 2, h, w).
        """
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.maxpool(F.relu(self.bn3(self.conv3(x))))
        low = self.layer1(x)
        middle = self.layer2(low)
        high = self.layer3(middle)
        context = self.context_encoding(self.layer4(high))
        parsing, features = self.decoder(context, low)
        edge, edge_features = self.edge(low, middle, high)
        fusion = self.fushion(torch.cat([features, edge_features], 1))
        return parsing, fusion, edge

    def forward(self, image: Tensor) -> Tensor:
        """Fusion logits (N, 20, h, w)."""
        return self.outputs(image)[1]
