"""TRACER-B7: salient objects by attention-guided tracing (Lee, Shin and Han 2022).

Keys and arithmetic follow carvekit `ml/arch/tracerb7` (its "universal" model, without the edge
detector of the original Karel911/TRACER).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets.efficientnet import FEATURES, LAYERS, EfficientNetB7
from fuw.export.nets.width import scaled

RFB_CHANNELS = (32, 64, 128)
DROPPED = 0.1  # share of the channels that the channel attention switches off
BACKGROUND = 0.93  # above it a pixel is background for certain, and no longer an edge


def _conv(cin: int, cout: int, kernel: tuple[int, int], dilation: int = 1,
          groups: int = 1) -> nn.Conv2d:
    padding = (dilation * (kernel[0] // 2), dilation * (kernel[1] // 2))
    return nn.Conv2d(cin, cout, kernel, padding=padding, dilation=dilation, groups=groups,
                     bias=False)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class ConvNormSelu(nn.Module):
    """Convolution without bias, batch norm, SELU."""

    def __init__(self, cin: int, cout: int, kernel: tuple[int, int] = (1, 1),
                 dilation: int = 1) -> None:
        super().__init__()
        self.conv = _conv(cin, cout, kernel, dilation)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H, W)."""
        return F.selu(self.bn(self.conv(x)))


class DepthwiseNormSelu(nn.Module):
    """Depthwise convolution, batch norm, SELU."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.DWConv = _conv(channels, channels, (kernel, kernel), dilation, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W), same shape out."""
        return F.selu(self.bn(self.DWConv(x)))


class SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise convolution, each with batch norm and SELU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.DWConv = _conv(cin, cin, (3, 3), groups=cin)
        self.bn = nn.BatchNorm2d(cin)
        self.PWConv = _conv(cin, cout, (1, 1))
        self.bn2 = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H, W)."""
        x = F.selu(self.bn(self.DWConv(x)))
        return F.selu(self.bn2(self.PWConv(x)))


class ReceptiveField(nn.Module):
    """Receptive field block: four branches that look 1, 3, 5 and 7 pixels far."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(ConvNormSelu(cin, cout))
        self.branch1, self.branch2, self.branch3 = (self._branch(cin, cout, n) for n in (3, 5, 7))
        self.conv_cat = ConvNormSelu(4 * cout, cout, (3, 3))
        self.conv_res = ConvNormSelu(cin, cout)

    @staticmethod
    def _branch(cin: int, cout: int, reach: int) -> nn.Sequential:
        return nn.Sequential(ConvNormSelu(cin, cout), ConvNormSelu(cout, cout, (1, reach)),
                             ConvNormSelu(cout, cout, (reach, 1)),
                             ConvNormSelu(cout, cout, (3, 3), dilation=reach))

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H, W)."""
        branches = [b(x) for b in (self.branch0, self.branch1, self.branch2, self.branch3)]
        return F.relu(self.conv_cat(torch.cat(branches, 1)) + self.conv_res(x))


class UnionAttention(nn.Module):
    """Channel attention, the weakest tenth of the channels off, then attention between rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # How many values are not above the linearly interpolated 0.1 quantile (23 of 224):
        # `aten::quantile` does not export, the k-th smallest value does and says the same.
        self.dropped = int(DROPPED * (channels - 1)) + 1
        self.bn = nn.BatchNorm2d(channels)
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.Dropout(DROPPED))
        self.channel_q = _conv(channels, channels, (1, 1))
        self.channel_k = _conv(channels, channels, (1, 1))
        self.channel_v = _conv(channels, channels, (1, 1))
        self.fc = _conv(channels, channels, (1, 1))
        self.spatial_q = _conv(channels, 1, (1, 1))
        self.spatial_k = _conv(channels, 1, (1, 1))
        self.spatial_v = _conv(channels, 1, (1, 1))

    def _channel_attention(self, x: Tensor) -> Tensor:
        """(N, C, 1, 1) in 0..1."""
        pooled = self.norm(x.mean((2, 3), keepdim=True))
        q, k, v = (f(pooled).squeeze(-1)
                   for f in (self.channel_q, self.channel_k, self.channel_v))
        mixed = torch.softmax(q @ k.transpose(1, 2), -1) @ v
        return torch.sigmoid(self.fc(mixed.unsqueeze(-1)))

    def _without_weakest(self, attention: Tensor) -> Tensor:
        weakest = torch.topk(attention, self.dropped, dim=1, largest=False, sorted=True).values
        threshold = weakest[:, -1:]
        return torch.where(attention > threshold, attention, torch.zeros_like(attention))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        attention = self._channel_attention(x)
        x = self.bn(x * attention + x) * self._without_weakest(attention)
        q, k, v = (f(x).squeeze(1) for f in (self.spatial_q, self.spatial_k, self.spatial_v))
        rows = torch.softmax(q @ k.transpose(1, 2), -1)
        attended: Tensor = rows @ v + v
        return attended.unsqueeze(1)


class Aggregation(nn.Module):
    """Joins the three deep feature maps from the coarsest up."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        low, middle, high = channels
        k = (3, 3)
        self.conv_upsample1 = ConvNormSelu(high, middle, k)
        self.conv_upsample2 = ConvNormSelu(high, low, k)
        self.conv_upsample3 = ConvNormSelu(middle, low, k)
        self.conv_upsample4 = ConvNormSelu(high, high, k)
        self.conv_upsample5 = ConvNormSelu(high + middle, high + middle, k)
        self.conv_concat2 = ConvNormSelu(high + middle, high + middle, k)
        self.conv_concat3 = ConvNormSelu(low + middle + high, low + middle + high, k)
        self.UAM = UnionAttention(low + middle + high)

    def forward(self, high: Tensor, middle: Tensor, low: Tensor) -> Tensor:
        """Strides 32, 16, 8 -> (N, 1, H/8, W/8)."""
        high2 = _double(high)
        x = self.conv_upsample1(high2) * middle
        y = self.conv_upsample2(_double(high2)) * self.conv_upsample3(_double(middle)) * low
        x = self.conv_concat2(torch.cat([x, self.conv_upsample4(high2)], 1))
        y = self.conv_concat3(torch.cat([y, self.conv_upsample5(_double(x))], 1))
        attended: Tensor = self.UAM(y)
        return attended


class ObjectAttention(nn.Module):
    """Refines a map where it is object or edge, with the encoder's features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, eighth = channels // 2, channels // 8
        self.DWSConv = SeparableConv(channels, half)
        self.DWConv1 = nn.Sequential(DepthwiseNormSelu(half, 1, 1), ConvNormSelu(half, eighth))
        self.DWConv2 = nn.Sequential(DepthwiseNormSelu(half, 3, 1), ConvNormSelu(half, eighth))
        self.DWConv3 = nn.Sequential(DepthwiseNormSelu(half, 3, 3), ConvNormSelu(half, eighth))
        self.DWConv4 = nn.Sequential(DepthwiseNormSelu(half, 3, 5), ConvNormSelu(half, eighth))
        self.conv1 = ConvNormSelu(half, 1)

    def forward(self, decoded: Tensor, features: Tensor) -> Tensor:
        """(N, 1, H, W) and (N, channels, H, W) -> (N, 1, H, W)."""
        inside = torch.sigmoid(decoded)
        outside = 1 - inside
        edge = torch.where(outside > BACKGROUND, torch.zeros_like(outside), outside)
        x = self.DWSConv(inside * features + edge * features)
        looks = [f(x) for f in (self.DWConv1, self.DWConv2, self.DWConv3, self.DWConv4)]
        return F.relu(self.conv1(torch.cat(looks, 1) + x)) + decoded


class TracerB7(nn.Module):
    """TRACER: image (N, 3, H, W), RGB, normalised, sides multiples of 32 -> mask (N, 1, H, W).

    The output is discontinuous in two places (the channels switched off, the background
    threshold): judge a reduced precision by means and by agreement of masks, not by the maximum.
    """

    def __init__(self, width: float = 1.0, *, layers: Sequence[int] = LAYERS) -> None:
        """`layers`: blocks in each of the encoder's seven stages."""
        super().__init__()
        features = [scaled(c, width, 8) for c in FEATURES]
        rfb = [scaled(c, width) for c in RFB_CHANNELS]
        self.encoder = EfficientNetB7(width, layers)
        self.rfb2 = ReceptiveField(features[1], rfb[0])
        self.rfb3 = ReceptiveField(features[2], rfb[1])
        self.rfb4 = ReceptiveField(features[3], rfb[2])
        self.agg = Aggregation(rfb)
        self.ObjectAttention2 = ObjectAttention(features[1])
        self.ObjectAttention1 = ObjectAttention(features[0])

    def forward(self, image: Tensor) -> Tensor:
        """Mask (N, 1, H, W) in 0..1."""
        f4, f8, f16, f32 = self.encoder(image)
        coarse = self.agg(self.rfb4(f32), self.rfb3(f16), self.rfb2(f8))
        middle = self.ObjectAttention2(coarse, f8)
        fine = self.ObjectAttention1(_enlarge(middle, 2), f4)
        maps = _enlarge(fine, 4) + _enlarge(middle, 8) + _enlarge(coarse, 8)
        return torch.sigmoid(maps / 3)
