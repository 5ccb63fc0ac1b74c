"""EfficientNet-B7 (Tan and Le 2019) as TRACER's encoder: four feature maps, no head.

Keys and arithmetic follow carvekit `ml/arch/tracerb7/efficientnet.py`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets.width import scaled

BN_EPS = 1e-3
BN_MOMENTUM = 0.01
STEM = 64
STEM_PADDING = (0, 1)


class Stage(NamedTuple):
    """Inverted bottlenecks of one kind; `padding` (before, after) is that of the first one."""

    out: int
    kernel: int
    stride: int
    expand: int
    padding: tuple[int, int]


# "Same" padding was fixed at construction for a 600-pixel picture, whatever the real size is. So
# the fourth stage pads (1, 1), where TensorFlow's rule at 640 pixels would say (0, 1).
STAGES = (
    Stage(32, 3, 1, 1, (1, 1)),
    Stage(48, 3, 2, 6, (0, 1)),
    Stage(80, 5, 2, 6, (1, 2)),
    Stage(160, 3, 2, 6, (1, 1)),
    Stage(224, 5, 1, 6, (2, 2)),
    Stage(384, 5, 2, 6, (1, 2)),
    Stage(640, 3, 1, 6, (1, 1)),
)
LAYERS = (4, 7, 7, 10, 10, 13, 4)
TAPPED = (1, 2, 4, 6)  # stages whose output the decoder takes: strides 4, 8, 16, 32
FEATURES = tuple(STAGES[i].out for i in TAPPED)


def _pad(x: Tensor, padding: tuple[int, int]) -> Tensor:
    return F.pad(x, (*padding, *padding))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class MBConv(nn.Module):
    """Inverted bottleneck with squeeze and excitation; a residual where the shape allows it."""

    def __init__(self, cin: int, stage: Stage, out: int, first: bool) -> None:
        super().__init__()
        stride = stage.stride if first else 1
        mid = cin * stage.expand
        squeezed = max(1, cin // 4)
        same = (stage.kernel // 2, stage.kernel // 2)
        self.padding = stage.padding if first else same
        self.residual = stride == 1 and cin == out
        self.expanded = stage.expand != 1
        if self.expanded:
            self._expand_conv = nn.Conv2d(cin, mid, 1, bias=False)
            self._bn0 = _norm(mid)
        self._depthwise_conv = nn.Conv2d(mid, mid, stage.kernel, stride, groups=mid, bias=False)
        self._bn1 = _norm(mid)
        self._se_reduce = nn.Conv2d(mid, squeezed, 1)
        self._se_expand = nn.Conv2d(squeezed, mid, 1)
        self._project_conv = nn.Conv2d(mid, out, 1, bias=False)
        self._bn2 = _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, out, H/stride, W/stride)."""
        y = F.silu(self._bn0(self._expand_conv(x))) if self.expanded else x
        y = F.silu(self._bn1(self._depthwise_conv(_pad(y, self.padding))))
        gate = F.silu(self._se_reduce(y.mean((2, 3), keepdim=True)))
        y = torch.sigmoid(self._se_expand(gate)) * y
        out: Tensor = self._bn2(self._project_conv(y))
        return out + x if self.residual else out


class EfficientNetB7(nn.Module):
    """Image (N, 3, H, W) -> four maps of strides 4, 8, 16, 32."""

    def __init__(self, width: float, layers: Sequence[int]) -> None:
        """`layers`: blocks in each of the seven stages."""
        super().__init__()
        cin = scaled(STEM, width, 8)
        self._conv_stem = nn.Conv2d(3, cin, 3, stride=2, bias=False)
        self._bn0 = _norm(cin)
        self._blocks = nn.ModuleList()
        self.taps: list[int] = []
        for i, (stage, count) in enumerate(zip(STAGES, layers, strict=True)):
            out = scaled(stage.out, width, 8)
            for n in range(count):
                self._blocks.append(MBConv(cin, stage, out, first=n == 0))
                cin = out
            if i in TAPPED:
                self.taps.append(len(self._blocks) - 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features of strides 4, 8, 16, 32 with 48, 80, 224, 640 channels at width 1."""
        x = F.silu(self._bn0(self._conv_stem(_pad(image, STEM_PADDING))))
        features = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.taps:
                features.append(x)
        return features
