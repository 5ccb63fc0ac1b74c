"""SegGenerator: where every body part and the new garment will be (VITON-HD, section 3.2)."""

import torch
from torch import nn

from fuw.export.nets.seg_hint import GarmentHint
from fuw.export.nets.width import scaled


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.ReLU()]


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_conv(inputs, outputs), *_conv(outputs, outputs))


def _enlarge(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), *_conv(inputs, outputs))


class SegGenerator(nn.Module):
    """A U-Net of five levels with instance norm (official `networks.SegGenerator`).

    Args:
        width: channel width factor; 1.0 is the official network.
        input_nc: cloth mask 1, masked cloth 3, parse 13, pose 3, noise 1.
        output_nc: parse groups.
        dropout: of the two deepest encoder levels, in training only.
        hint: numbers that describe the garment to the decoder (`seg_hint`); 0 is official: none.
    """

    def __init__(self, width: float = 1.0, *, input_nc: int = 21, output_nc: int = 13,
                 dropout: float = 0.5, hint: int = 0) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (scaled(64 * 2**i, width) for i in range(5))
        self.conv1 = _double(input_nc, c1)
        self.conv2 = _double(c1, c2)
        self.conv3 = _double(c2, c3)
        self.conv4 = _double(c3, c4)
        self.conv5 = _double(c4, c5)
        self.up6 = _enlarge(c5, c4)
        self.conv6 = _double(2 * c4, c4)
        self.up7 = _enlarge(c4, c3)
        self.conv7 = _double(2 * c3, c3)
        self.up8 = _enlarge(c3, c2)
        self.conv8 = _double(2 * c2, c2)
        self.up9 = _enlarge(c2, c1)
        self.conv9 = nn.Sequential(*_double(2 * c1, c1), nn.Conv2d(c1, output_nc, 3, padding=1))
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(dropout)
        self.hint = GarmentHint(hint, (c5, c4, c3, c2, c1)) if hint else None

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Before the sigmoid: x (b, 21, h, w), h and w multiples of 16 -> (b, 13, h, w)."""
        code = self.hint.code(x) if self.hint is not None else None

        def styled(level: int, y: torch.Tensor) -> torch.Tensor:
            return y if self.hint is None or code is None else self.hint(code, level, y)

        e1 = self.conv1(x)
        e2 = self.conv2(self.pool(e1))
        e3 = self.conv3(self.pool(e2))
        e4 = self.drop(self.conv4(self.pool(e3)))
        e5 = styled(0, self.drop(self.conv5(self.pool(e4))))
        d4 = styled(1, self.conv6(torch.cat((e4, self.up6(e5)), 1)))  # order: encoder, enlarged
        d3 = styled(2, self.conv7(torch.cat((e3, self.up7(d4)), 1)))
        d2 = styled(3, self.conv8(torch.cat((e2, self.up8(d3)), 1)))
        d1 = styled(4, self.conv9[:-1](torch.cat((e1, self.up9(d2)), 1)))
        out: torch.Tensor = self.conv9[-1](d1)
        return out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (b, 21, 256, 192) -> probabilities (b, 13, 256, 192), a sigmoid per class."""
        return torch.sigmoid(self.logits(x))
