"""The starter's end of ALIAS: a learned choice per pixel, in place of one last convolution.

CP-VTON (Wang et al. 2018) composes its picture as M * c + (1 - M) * I_r: a learned mask M chooses
between the warped garment and what was painted. Here a softmax chooses between the agnostic
person, the warped garment, what was painted, and colours of the regions, as SEAN (Zhu et al.
2020) takes a region's style from the picture: weighted means of known pixels, with learned
weights, near a place and over the whole picture. Instance norms take every level of colour
away; the official width learns to restore it, a narrow network with few steps of training cannot.

Nothing is copied by a rule: every weight and gate is computed by convolutions from the network's
features and inputs.
"""

import torch
import torch.nn.functional as F
from torch import nn

SLOPE = 0.2
SMALL, MOST_HALVINGS = 128, 3  # height at about which regions are found: 1024 shrunk by 8
WIDTHS = (16, 24, 32, 48)  # of the small U-Net, largest size first
CELL, REACH = 8, 5  # a region's colour near a place: in cells of 8x8, over 5x5 cells
FAR = 0.03  # weight of the colour over the whole picture beside the one near a place
LOUD = 8.0  # of gates and weights: a little movement must be able to shut one
NONE = 1e-3  # of a mean weight: a region that is nowhere


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(SLOPE),
                         nn.Conv2d(outputs, outputs, 3, padding=1), nn.LeakyReLU(SLOPE))


def shrinkage(height: int) -> int:
    """A power of two: how many pixels of the picture make one of the small map."""
    cells = max(1, int(height) // SMALL)  # traced, a height is a tensor
    return 1 << min(MOST_HALVINGS, cells.bit_length() - 1)


def full_gain(module: nn.Module) -> None:
    """Begin with weights that keep the size of a signal, as no norm behind them restores it."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, a=SLOPE)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Regions(nn.Module):
    """A U-Net without norms: it keeps the levels of colour, at a size where that costs little.

    Args:
        inputs: channels.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        before = (inputs, *WIDTHS[:-1])
        self.down = nn.ModuleList(_double(i, o) for i, o in zip(before, WIDTHS, strict=True))
        self.whole = nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 1)
        pairs = zip(WIDTHS[1:], WIDTHS[:-1], strict=True)
        self.up = nn.ModuleList(nn.Conv2d(below + own, own, 3, padding=1) for below, own in pairs)
        full_gain(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, inputs, h, w), h and w multiples of 8 -> (b, 16, h, w)."""
        kept: list[torch.Tensor] = []
        for i, double in enumerate(self.down):
            x = double(F.avg_pool2d(x, 2) if i else x)
            kept.append(x)
        x = x + self.whole(x.mean((2, 3), keepdim=True))
        for i in reversed(range(len(self.up))):
            twice = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.leaky_relu(self.up[i](torch.cat((twice, kept[i]), 1)), SLOPE)
        return x


class Composition(nn.Module):
    """Features, inputs and label map -> the picture.

    Args:
        features: channels of the generator's last features.
        inputs: channels of x: agnostic person 3, pose 3, warped garment 3.
        labels: channels of the divided label map.
        colours: regions whose colour may be taken.
        hidden: channels behind the gates.
    """

    spread: torch.Tensor
    gather: torch.Tensor

    def __init__(self, features: int, inputs: int = 9, labels: int = 8, colours: int = 4,
                 hidden: int = 24) -> None:
        super().__init__()
        self.colours = colours
        self.regions = Regions(inputs + labels)
        self.weights = nn.Conv2d(WIDTHS[0], 2 * colours, 1)
        self.coarse = nn.Conv2d(WIDTHS[0], 3, 1)
        self.from_regions = nn.Conv2d(WIDTHS[0], hidden, 1)
        self.from_features = nn.Conv2d(features, hidden, 3, padding=1)
        self.from_inputs = nn.Conv2d(inputs + labels, hidden, 1)
        full_gain(self)
        self.gates = nn.Conv2d(hidden, 4 + colours, 1)
        self.paint = nn.Conv2d(hidden, 3, 1)
        kinds = 4 + colours  # of choices, three colours each
        self.register_buffer("spread", torch.eye(kinds).repeat_interleave(3, 0)[:, :, None, None],
                             persistent=False)
        self.register_buffer("gather", torch.eye(3).repeat(1, kinds)[:, :, None, None],
                             persistent=False)

    def forward(self, y: torch.Tensor, x: torch.Tensor, seg: torch.Tensor) -> torch.Tensor:
        """Compose the picture.

        Args:
            y: (b, features, H / n, W / n) the generator's last features.
            x: (b, 9, H, W) in -1..1.
            seg: (b, 8, H, W) the divided label map.

        Returns:
            (b, 3, H, W) in -1..1.
        """
        return self.compose(*self.choices(y, x, seg))

    def choices(self, y: torch.Tensor, x: torch.Tensor, seg: torch.Tensor,
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """What there is to choose from: logits (b, k, H, W), and k colours (b, 3 k, H, W):
        agnostic person, warped garment, paint, then regions, and a coarse picture."""
        n = shrinkage(x.shape[2])
        small = torch.cat((F.avg_pool2d(x, n), F.avg_pool2d(seg, n)), 1)
        regions = self.regions(small)
        # The known colours: small maps, enlarged once, together.
        maps = torch.cat((self.region_colours(regions, small),
                          torch.tanh(self.coarse(regions))), 1)
        maps = F.interpolate(maps, size=x.shape[2:], mode="bilinear", align_corners=False)
        hidden = self.from_features(F.leaky_relu(F.instance_norm(y), SLOPE))
        hidden = hidden + F.interpolate(self.from_regions(regions), size=y.shape[2:],
                                        mode="bilinear", align_corners=False)
        if y.shape[2] != x.shape[2]:
            hidden = F.interpolate(hidden, size=x.shape[2:], mode="bilinear", align_corners=False)
        # The convolution of both, joined: a copy less at full size.
        weight, own = self.from_inputs.weight, x.shape[1]
        hidden = hidden + F.conv2d(x, weight[:, :own], self.from_inputs.bias)
        hidden = F.leaky_relu(hidden + F.conv2d(seg, weight[:, own:]), SLOPE)
        colours = (x[:, 0:3], x[:, 6:9], torch.tanh(self.paint(hidden)), maps)
        return LOUD * self.gates(hidden), torch.cat(colours, 1)

    def compose(self, logits: torch.Tensor, choices: torch.Tensor) -> torch.Tensor:
        """Logits (b, k, H, W) and colours (b, 3 k, H, W) -> the picture (b, 3, H, W)."""
        gates = torch.softmax(logits, 1)
        # 1x1 convolutions that give each gate to three colours and add the choices up: runtimes
        # copy for splits, stacks and sums of slices.
        out: torch.Tensor = F.conv2d(F.conv2d(gates, self.spread) * choices, self.gather)
        return out

    def region_colours(self, regions: torch.Tensor, small: torch.Tensor) -> torch.Tensor:
        """Means of the agnostic person's and the warped garment's pixels under learned weights.

        regions (b, 16, h, w), small (b, 17, h, w) -> (b, 3 * colours, h, w), smooth maps.
        """
        weights = torch.sigmoid(LOUD * self.weights(regions))
        weights = weights * weights  # a little weight all over must not outweigh a small region
        sums = []
        for i in range(self.colours):
            person, garment = weights[:, i : i + 1], weights[:, self.colours + i:][:, :1]
            weighed = person * small[:, 0:3] + garment * small[:, 6:9]
            sums.append(torch.cat((weighed, person + garment), 1))
        # Means and not sums: half precision holds them.
        cells = F.avg_pool2d(torch.cat(sums, 1), CELL)
        near = F.avg_pool2d(cells, REACH, 1, REACH // 2)
        far = cells.mean((2, 3), keepdim=True)
        out = []
        for i in range(0, 4 * self.colours, 4):
            everywhere = far[:, i : i + 3] / (far[:, i + 3 : i + 4] + NONE)
            here = near[:, i : i + 3] + FAR * everywhere
            out.append(here / (near[:, i + 3 : i + 4] + FAR))
        return F.interpolate(torch.cat(out, 1), size=small.shape[2:], mode="bilinear",
                             align_corners=False)
