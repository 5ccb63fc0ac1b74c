"""DensePose R50-FPN s1x in Torch: one static graph, picture + person box -> four 112x112 maps.

Keys and arithmetic of detectron2's `densepose_rcnn_R_50_FPN_s1x` (model_final_162be9.pkl). The box
comes from the pose instead of the detector, so the detector's weights are loaded but not run
(`detector=False` leaves them away).
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d, relu

from fuw.export.nets.width import scaled

LEVELS = (2, 3, 4, 5)  # p2..p5: strides 4, 8, 16, 32
COARSE = 2  # background, person
FINE = 25  # background, 24 charts
POOLED = 28  # RoI size; two samples per cell and axis


class FrozenNorm(nn.BatchNorm2d):
    """BatchNorm with the four entries of detectron2's FrozenBatchNorm, so no batch counter.

    Official weights are run in eval mode, where both are the same affine; the starter trains it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, *args: Any) -> None:
        nn.Module._load_from_state_dict(self, *args)  # BatchNorm's own would ask for the counter


class ConvNorm(nn.Conv2d):
    """Bias-free convolution followed by its norm, under detectron2's names."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1) -> None:
        super().__init__(cin, cout, kernel, stride, kernel // 2, bias=False)
        self.norm = FrozenNorm(cout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(super().forward(x))
        return out


class Bottleneck(nn.Module):
    """MSRA's bottleneck: the stride sits on the first 1x1 convolution."""

    def __init__(self, cin: int, mid: int, cout: int, stride: int, first: bool) -> None:
        super().__init__()
        self.shortcut = ConvNorm(cin, cout, 1, stride) if first else nn.Identity()
        self.conv1 = ConvNorm(cin, mid, 1, stride)
        self.conv2 = ConvNorm(mid, mid, 3)
        self.conv3 = ConvNorm(mid, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.conv1(x))
        y = self.conv3(relu(self.conv2(y)))
        return relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet-50 up to res5; returns res2..res5."""

    def __init__(self, width: float, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        cin = scaled(64, width)
        self.stem = nn.Sequential(OrderedDict(conv1=ConvNorm(3, cin, 7, 2)))
        self.channels = [scaled(256 << i, width) for i in range(4)]
        for i, cout in enumerate(self.channels):
            mid = scaled(64 << i, width)
            rows = [Bottleneck(cin if b == 0 else cout, mid, cout, 2 if b == 0 and i else 1, b == 0)
                    for b in range(blocks[i])]
            self.add_module(f"res{i + 2}", nn.Sequential(*rows))
            cin = cout

    def forward(self, image: Tensor) -> list[Tensor]:
        x = max_pool2d(relu(self.stem(image)), 3, 2, 1)
        features = []
        for i in LEVELS:
            x = getattr(self, f"res{i}")(x)
            features.append(x)
        return features


class FPN(nn.Module):
    """Feature pyramid, sum fusion, nearest x2; returns p2..p5 (p6 feeds the detector only)."""

    def __init__(self, width: float, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.bottom_up = ResNet(width, blocks)
        c = scaled(256, width)
        for i, cin in zip(LEVELS, self.bottom_up.channels, strict=True):
            self.add_module(f"fpn_lateral{i}", nn.Conv2d(cin, c, 1))
            self.add_module(f"fpn_output{i}", nn.Conv2d(c, c, 3, padding=1))

    def forward(self, image: Tensor) -> list[Tensor]:
        features = self.bottom_up(image)
        pyramid: list[Tensor] = []
        top: Tensor | None = None
        for i in reversed(LEVELS):
            lateral = getattr(self, f"fpn_lateral{i}")(features[i - 2])
            if top is not None:
                lateral = lateral + interpolate(top, scale_factor=2.0, mode="nearest")
            top = lateral
            pyramid.insert(0, getattr(self, f"fpn_output{i}")(top))
        return pyramid


class Upsample(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Decoder(nn.Module):
    """Panoptic-FPN decoder: every level brought to stride 4, summed, then one 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for level in LEVELS:
            layers = OrderedDict[str, nn.Module]()
            for i in range(max(1, level - 2)):
                # the key's number counts the parameter-free enlargements between convolutions
                layers[str(2 * i)] = nn.Conv2d(channels, channels, 3, padding=1)
            self.add_module(f"p{level}", nn.Sequential(layers))
        self.predictor = nn.Conv2d(channels, channels, 1)
        self.up = Upsample()

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        levels = []
        for level, x in zip(LEVELS, pyramid, strict=True):
            for conv in getattr(self, f"p{level}"):
                x = relu(conv(x))
                x = self.up(x) if level > 2 else x
            levels.append(x)
        out: Tensor = self.predictor(levels[0] + levels[1] + levels[2] + levels[3])
        return out


def roi_pool(features: Tensor, box: Tensor, stride: int, size: int) -> Tensor:
    """Legacy ROIAlign (aligned = False, 2 samples per cell and axis) as GridSample + AveragePool.

    Equal to it for boxes inside the picture. The legacy form knows no half-pixel shift, and takes a
    box to be at least one feature cell wide and high.

    Args:
        features: (N, C, h, w) at `stride`.
        box: (N, 4) x0, y0, x1, y1 in pixels of the network's picture, one box a picture.
        size: cells along each side of the result (N, C, size, size).
    """
    height, width = features.shape[2], features.shape[3]
    corner, extent = box[:, :2] / stride, (box[:, 2:] - box[:, :2]) / stride
    extent = extent.clamp(min=1.0)
    steps = (torch.arange(2 * size, dtype=box.dtype, device=box.device) + 0.5) / (2 * size)
    x = corner[:, :1] + extent[:, :1] * steps  # (N, 2 size)
    y = corner[:, 1:] + extent[:, 1:] * steps
    gx = x * (2.0 / (width - 1)) - 1.0
    gy = y * (2.0 / (height - 1)) - 1.0
    n = 2 * size
    grid = torch.stack([gx[:, None, :].expand(-1, n, -1), gy[:, :, None].expand(-1, -1, n)], 3)
    return avg_pool2d(
        grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=True), 2
    )


class ChartHead(nn.Sequential):
    """DensePoseV1ConvXHead: 3x3 convolutions with ReLU."""

    def __init__(self, cin: int, channels: int, layers: int) -> None:
        sizes = [cin] + [channels] * layers
        super().__init__(OrderedDict(
            (f"body_conv_fcn{i + 1}", nn.Conv2d(sizes[i], channels, 3, padding=1))
            for i in range(layers)))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        for conv in self:
            x = relu(conv(x))
        return x


class ChartPredictor(nn.Module):
    """Four transposed convolutions 28 -> 56, each enlarged bilinearly to 112."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ann_index_lowres = nn.ConvTranspose2d(channels, COARSE, 4, 2, 1)
        self.index_uv_lowres = nn.ConvTranspose2d(channels, FINE, 4, 2, 1)
        self.u_lowres = nn.ConvTranspose2d(channels, FINE, 4, 2, 1)
        self.v_lowres = nn.ConvTranspose2d(channels, FINE, 4, 2, 1)
        self.up = Upsample()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        up = self.up
        return (up(self.ann_index_lowres(x)), up(self.index_uv_lowres(x)),
                up(self.u_lowres(x)), up(self.v_lowres(x)))


class RPNHead(nn.Module):
    """Proposal head of the detector: three anchors a place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, 3, 1)
        self.anchor_deltas = nn.Conv2d(channels, 12, 1)

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor]:
        x = relu(self.conv(level))
        return self.objectness_logits(x), self.anchor_deltas(x)


class BoxHead(nn.Module):
    """Two fully connected layers on a 7x7 RoI."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * 49, hidden)
        self.fc2 = nn.Linear(hidden, hidden)

    def forward(self, pooled: Tensor) -> Tensor:
        return relu(self.fc2(relu(self.fc1(pooled.flatten(1)))))


class BoxPredictor(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(hidden, 2)  # person, background
        self.bbox_pred = nn.Linear(hidden, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.cls_score(x), self.bbox_pred(x)


class ROIHeads(nn.Module):
    def __init__(self, width: float, head_layers: int, detector: bool) -> None:
        super().__init__()
        channels, head = scaled(256, width), scaled(512, width)
        if detector:
            hidden = scaled(1024, width)
            self.box_head = BoxHead(channels, hidden)
            self.box_predictor = BoxPredictor(hidden)
        self.decoder = Decoder(channels)
        self.densepose_head = ChartHead(channels, head, head_layers)
        self.densepose_predictor = ChartPredictor(head)


class DensePose(nn.Module):
    """DensePose of one person per picture.

    Args:
        width: channel width factor.
        blocks: bottlenecks in res2..res5; officially (3, 4, 6, 3).
        head_layers: convolutions of the chart head; officially 8.
        detector: keep the parameters of the region proposals and the box head, which the official
            checkpoint has and `forward` does not use.
    """

    def __init__(
        self,
        width: float = 1.0,
        *,
        blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
        head_layers: int = 8,
        detector: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = FPN(width, blocks)
        if detector:
            self.proposal_generator = nn.Sequential(
                OrderedDict(rpn_head=RPNHead(scaled(256, width))))
        self.roi_heads = ROIHeads(width, head_layers, detector)

    def forward(self, image: Tensor, box: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return coarse (N, 2, 112, 112), fine, u and v (N, 25, 112, 112) of the box; raw outputs.

        Args:
            image: (N, 3, Hp, Wp) BGR minus (103.53, 116.28, 123.675), zeros padded right and below
                to multiples of 32.
            box: (N, 4) x0, y0, x1, y1 in pixels of `image`, inside it; one person a picture.
        """
        heads = self.roi_heads
        decoded = heads.decoder(self.backbone(image))
        pooled = roi_pool(decoded, box, 4, POOLED)
        coarse, fine, u, v = heads.densepose_predictor(heads.densepose_head(pooled))
        return coarse, fine, u, v
