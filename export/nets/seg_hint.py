"""What garment it is, told to every level of a narrow segmentation generator.

Instance norm takes away whatever is the same all over a picture, and so the very news that a
garment has long sleeves: the official width learns ways around that in 200,000 steps, a narrow one
with few steps draws the mean of all sleeves. Here a few convolutions without norms describe the
garment in a code, and the code scales and shifts the decoder's channels (FiLM, Perez et al. 2018).
"""

import torch
import torch.nn.functional as F
from torch import nn

SLOPE = 0.2
SEEN = (64, 48)  # the garment is looked at in this size
WIDTHS = (16, 24, 32)
CELLS = 8 * 6


class GarmentHint(nn.Module):
    """The garment's mask and colours -> a code, and from it a scale and a shift a channel.

    Args:
        code: numbers of the code; training makes the first one the length of the sleeves.
        channels: of the feature maps that are styled, in order.
    """

    def __init__(self, code: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 4
        for outputs in WIDTHS:
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.LeakyReLU(SLOPE)]
            inputs = outputs
        self.see = nn.Sequential(*layers)
        self.describe = nn.Linear(WIDTHS[-1] * CELLS, code)
        self.styles = nn.ModuleList(nn.Linear(code, 2 * c) for c in channels)
        for style in self.styles:  # begins without any effect
            assert isinstance(style, nn.Linear)
            nn.init.zeros_(style.weight)
            nn.init.zeros_(style.bias)

    def code(self, x: torch.Tensor) -> torch.Tensor:
        """The generator's input x (b, 21, h, w) -> (b, code)."""
        garment = F.adaptive_avg_pool2d(x[:, :4], SEEN)  # mask 1, colours 3
        out: torch.Tensor = self.describe(self.see(garment).flatten(1))
        return out

    def forward(self, code: torch.Tensor, level: int, y: torch.Tensor) -> torch.Tensor:
        """y (b, c, h, w) of a level, scaled and shifted."""
        scale, shift = self.styles[level](code)[..., None, None].chunk(2, 1)
        out: torch.Tensor = y * (1 + scale) + shift
        return out
