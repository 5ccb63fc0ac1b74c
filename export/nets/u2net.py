"""U2Net and U2NetP: salient objects by nested U-blocks (Qin et al. 2020).

Keys and arithmetic follow xuebinqin/U-2-Net `model/u2net.py`; carvekit's class has the same keys.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets.width import scaled


class Channels(NamedTuple):
    """Channels of one stage: in, inside the U, out."""

    cin: int
    mid: int
    out: int


def _resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


class ConvNormRelu(nn.Module):
    """3x3 convolution (with bias), batch norm, ReLU."""

    def __init__(self, cin: int, cout: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(cin, cout, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H, W)."""
        return F.relu(self.bn_s1(self.conv_s1(x)))


class ResidualU(nn.Module):
    """A small U-net with a residual around it: `height` levels ("RSU-L" of the paper).

    `dilations` has one entry per level. Where it is given, no level is pooled ("RSU-4F").
    """

    def __init__(self, height: int, channels: Channels,
                 dilations: Sequence[int] | None = None) -> None:
        super().__init__()
        self.height, self.pooled = height, dilations is None
        d = tuple(dilations) if dilations else (1,) * (height - 1) + (2,)
        cin, mid, out = channels
        self.rebnconvin = ConvNormRelu(cin, out)
        for level in range(1, height + 1):
            down = ConvNormRelu(out if level == 1 else mid, mid, d[level - 1])
            self.add_module(f"rebnconv{level}", down)
        for level in range(height - 1, 0, -1):
            up = ConvNormRelu(2 * mid, out if level == 1 else mid, d[level - 1])
            self.add_module(f"rebnconv{level}d", up)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, out, H, W)."""
        residual = x = self.rebnconvin(x)
        skips: list[Tensor] = []
        for level in range(1, self.height + 1):
            # the last two levels share one resolution: the deepest is dilated instead
            if self.pooled and 1 < level < self.height:
                x = _pool(x)
            x = self.get_submodule(f"rebnconv{level}")(x)
            skips.append(x)
        x = skips.pop()
        for level in range(self.height - 1, 0, -1):
            skip = skips.pop()
            x = x if x.shape[2:] == skip.shape[2:] else _resize(x, skip)
            x = self.get_submodule(f"rebnconv{level}d")(torch.cat([x, skip], 1))
        y: Tensor = x + residual
        return y


HEIGHTS = (7, 6, 5, 4, 4, 4)  # levels of the U in stages 1..6; the last two are dilated
DILATED = (1, 2, 4, 8)

FULL_ENCODER = ((3, 32, 64), (64, 32, 128), (128, 64, 256), (256, 128, 512), (512, 256, 512),
                (512, 256, 512))
FULL_DECODER = ((128, 16, 64), (256, 32, 64), (512, 64, 128), (1024, 128, 256), (1024, 256, 512))
SMALL_ENCODER = ((3, 16, 64),) + ((64, 16, 64),) * 5
SMALL_DECODER = ((128, 16, 64),) * 5


class _NestedU(nn.Module):
    """Six encoder stages, five decoder stages, six side maps and their fusion."""

    def __init__(self, width: float, encoder: Sequence[Sequence[int]],
                 decoder: Sequence[Sequence[int]]) -> None:
        super().__init__()
        c = partial(scaled, width=width)
        enc = [Channels(i if i == 3 else c(i), c(m), c(o)) for i, m, o in encoder]
        # a decoder stage takes what lies below it and the encoder's skip, so its input is a sum
        dec = [Channels(0, c(m), c(o)) for _, m, o in decoder]
        below = [d.out for d in dec[1:]] + [enc[5].out]
        dec = [Channels(b + e.out, d.mid, d.out)
               for b, e, d in zip(below, enc, dec, strict=False)]
        for i, channels in enumerate(enc):
            self.add_module(f"stage{i + 1}", self._stage(i, channels))
        for i, channels in enumerate(dec):
            self.add_module(f"stage{i + 1}d", self._stage(i, channels))
        for i, out in enumerate([d.out for d in dec] + [enc[5].out]):
            self.add_module(f"side{i + 1}", nn.Conv2d(out, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    @staticmethod
    def _stage(index: int, channels: Channels) -> ResidualU:
        return ResidualU(HEIGHTS[index], channels, DILATED if index >= 4 else None)

    def side_logits(self, image: Tensor) -> tuple[Tensor, ...]:
        """The fused map d0 and the side maps d1..d6 before the sigmoid, each (N, 1, H, W)."""
        skips: list[Tensor] = []
        x = image
        for i in range(1, 7):
            x = self.get_submodule(f"stage{i}")(x if i == 1 else _pool(x))
            skips.append(x)
        features = [skips.pop()]
        for i in range(5, 0, -1):
            skip = skips.pop()
            x = self.get_submodule(f"stage{i}d")(torch.cat([_resize(features[0], skip), skip], 1))
            features.insert(0, x)
        sides = [self.get_submodule(f"side{i + 1}")(f) for i, f in enumerate(features)]
        sides = [sides[0]] + [_resize(s, sides[0]) for s in sides[1:]]
        return self.outconv(torch.cat(sides, 1)), *sides

    def side_outputs(self, image: Tensor) -> tuple[Tensor, ...]:
        """d0 (fused) and d1..d6, each (N, 1, H, W) in 0..1."""
        return tuple(torch.sigmoid(s) for s in self.side_logits(image))

    def forward(self, image: Tensor) -> Tensor:
        """Mask d0 (N, 1, H, W) in 0..1."""
        return torch.sigmoid(self.side_logits(image)[0])


class U2Net(_NestedU):
    """U2Net: image (N, 3, H, W), RGB, normalised -> mask (N, 1, H, W) in 0..1."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(width, FULL_ENCODER, FULL_DECODER)


class U2NetP(_NestedU):
    """The small U2Net (1.1 million parameters); tensors as `U2Net`."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(width, SMALL_ENCODER, SMALL_DECODER)
