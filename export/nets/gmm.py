"""GMM: how the garment must bend to lie on the person (VITON-HD, section 3.3).

The network ends with the offsets of the thin-plate spline's control points; the spline itself is
an operation (`fuw.kernels.cpu.warp_garment`; in Torch `fuw.export.nets.tps`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from fuw.export.nets.width import scaled


class FeatureExtraction(nn.Module):
    """Four halvings and two 3x3 convolutions: (b, c, h, w) -> (b, 512, h/16, w/16).

    The order is convolution, ReLU, *then* BatchNorm, so the norm does not fold into the
    convolution before it; and not into the one after it where that pads with zeros.
    """

    def __init__(self, input_nc: int, width: float) -> None:
        super().__init__()
        channels = [input_nc, *(scaled(64 * 2**i, width) for i in range(4))]
        layers: list[nn.Module] = []
        for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.ReLU(), nn.BatchNorm2d(outputs)]
        last = channels[-1]
        layers += [nn.Conv2d(last, last, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(last)]
        layers += [nn.Conv2d(last, last, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> (b, 512, h/16, w/16)."""
        out: torch.Tensor = self.model(x)
        return out


class FeatureRegression(nn.Module):
    """Correlation (b, h*w, h, w) -> offsets (b, 2 * grid_size**2) in -1..1."""

    def __init__(self, height: int, width_px: int, outputs: int, width: float) -> None:
        super().__init__()
        c1, c2, c3, c4 = (scaled(c, width) for c in (512, 256, 128, 64))
        self.conv = nn.Sequential(
            nn.Conv2d(height * width_px, c1, 4, 2, 1), nn.BatchNorm2d(c1), nn.ReLU(),
            nn.Conv2d(c1, c2, 4, 2, 1), nn.BatchNorm2d(c2), nn.ReLU(),
            nn.Conv2d(c2, c3, 3, padding=1), nn.BatchNorm2d(c3), nn.ReLU(),
            nn.Conv2d(c3, c4, 3, padding=1), nn.BatchNorm2d(c4), nn.ReLU(),
        )
        self.linear = nn.Linear(c4 * (height // 4) * (width_px // 4), outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, h*w, h, w) -> (b, outputs)."""
        return torch.tanh(self.linear(self.conv(x).flatten(1)))


def correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Scalar products of every place of `a` with every place of `b`, both (b, c, h, w).

    Channel k = x * h + y of the result (b, h*w, h, w) is place (y, x) of `a`: column by column,
    as in the official code, while the places of `b` keep their own axes.
    """
    batch, _, h, w = a.shape
    places = a.transpose(2, 3).flatten(2).transpose(1, 2)  # (b, w*h, c)
    return torch.bmm(places, b.flatten(2)).reshape(batch, h * w, h, w)


class GMM(nn.Module):
    """Geometric matching module without its spline (official `networks.GMM`).

    Args:
        width: channel width factor; 1.0 is the official network.
        input_a_nc: upper mask 1, pose 3, agnostic person 3.
        input_b_nc: the garment's colours.
        grid_size: control points per side of the spline.
        size: height and width of the inputs in pixels. The regression's channels are its places at
            1/16, so it is part of the parameters' shapes; (128, 128) is the official 512x512.
    """

    def __init__(self, width: float = 1.0, *, input_a_nc: int = 7, input_b_nc: int = 3,
                 grid_size: int = 5, size: tuple[int, int] = (256, 192)) -> None:
        super().__init__()
        self.extractionA = FeatureExtraction(input_a_nc, width)
        self.extractionB = FeatureExtraction(input_b_nc, width)
        self.regression = FeatureRegression(size[0] // 16, size[1] // 16, 2 * grid_size**2, width)

    def person_features(self, a: torch.Tensor) -> torch.Tensor:
        """a (b, 7, 256, 192) -> unit vectors (b, 512, 16, 12)."""
        return F.normalize(self.extractionA(a), eps=1e-12)

    def garment_features(self, b: torch.Tensor) -> torch.Tensor:
        """b (b, 3, 256, 192) -> unit vectors (b, 512, 16, 12); depends on the garment alone."""
        return F.normalize(self.extractionB(b), eps=1e-12)

    def theta(self, a: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """a (b, 7, 256, 192) and `garment_features` -> theta (b, 50): 25 x, then 25 y offsets."""
        out: torch.Tensor = self.regression(correlation(self.person_features(a), features))
        return out

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """a (b, 7, 256, 192), b (b, 3, 256, 192) -> theta (b, 50) in -1..1."""
        return self.theta(a, self.garment_features(b))
