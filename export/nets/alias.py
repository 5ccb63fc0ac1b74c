"""ALIASGenerator: the try-on picture (VITON-HD, section 3.4, ALIgnment-Aware Segment norm)."""

import torch
import torch.nn.functional as F
from torch import nn

from fuw.export.nets.alias_head import Composition
from fuw.export.nets.spectral import SpectralConv2d
from fuw.export.nets.width import scaled

SLOPE = 0.2  # LeakyReLU everywhere but after conv_shared
EPS = 1e-5


def instance_norm(x: torch.Tensor) -> torch.Tensor:
    """Zero mean, unit variance per sample and channel over (h, w); biased variance, no gain."""
    return F.instance_norm(x, eps=EPS)


def _region_norm(region: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Normalise x * mask by the statistics of the masked region alone (paper, equation 5).

    Outside the mask the region's mean is filled in, so that the norm over the whole map has the
    right mean; sqrt(n / hw) then undoes the variance that the filling took away.
    """
    count = mask.sum((2, 3), keepdim=True)
    count = torch.where(count == 0, torch.ones_like(count), count)
    mean = region.sum((2, 3), keepdim=True) / count
    normalized = instance_norm(region + (1 - mask) * mean)
    return normalized * torch.sqrt(count / (mask.shape[2] * mask.shape[3]))


class MaskNorm(nn.Module):
    """Instance norm apart inside and outside of a mask, which may be fractional at its edges."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """x (b, c, h, w), mask (b, 1, h, w) in 0..1 -> (b, c, h, w)."""
        mask = mask.detach()
        return _region_norm(x * mask, mask) + _region_norm(x * (1 - mask), 1 - mask)


class ALIASNorm(nn.Module):
    """norm(x) * (1 + gamma(seg)) + beta(seg), gamma and beta convolved from the label map."""

    def __init__(self, channels: int, labels: int, hidden: int) -> None:
        super().__init__()
        self.noise_scale = nn.Parameter(torch.zeros(channels))
        self.conv_shared = nn.Sequential(nn.Conv2d(labels, hidden, 3, padding=1), nn.ReLU())
        self.conv_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.conv_beta = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mask_norm = MaskNorm()

    def normalized(self, x: torch.Tensor, misalign: torch.Tensor | None,
                   noise: torch.Generator | None) -> torch.Tensor:
        """x without its statistics; one noise map for all channels is added before if asked."""
        if noise is not None:
            b, _, h, w = x.shape
            drawn = torch.randn(b, w, h, 1, generator=noise).to(x)
            x = x + (drawn * self.noise_scale).transpose(1, 3)
        if misalign is None:
            return instance_norm(x)
        out: torch.Tensor = self.mask_norm(x, misalign)
        return out

    def forward(self, x: torch.Tensor, seg: torch.Tensor, misalign: torch.Tensor | None = None,
                noise: torch.Generator | None = None) -> torch.Tensor:
        """x (b, c, h, w), seg (b, labels, h, w), misalign (b, 1, h, w) or None -> like x."""
        hidden = self.conv_shared(seg)
        gamma, beta = self.conv_gamma(hidden), self.conv_beta(hidden)
        out: torch.Tensor = self.normalized(x, misalign, noise) * (1 + gamma) + beta
        return out


class ALIASResBlock(nn.Module):
    """Two modulated convolutions beside a shortcut; the shortcut is modulated where widths differ.

    Args:
        inputs, outputs: channels.
        labels: channels of the label map.
        hidden: channels of conv_shared.
        use_mask_norm: normalise inside and outside of the misalignment mask apart.
    """

    def __init__(self, inputs: int, outputs: int, labels: int, hidden: int,
                 use_mask_norm: bool) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.use_mask_norm = use_mask_norm
        self.conv_0 = SpectralConv2d(inputs, middle, 3)
        self.conv_1 = SpectralConv2d(middle, outputs, 3)
        self.learned_shortcut = inputs != outputs
        if self.learned_shortcut:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
        self.norm_0 = ALIASNorm(inputs, labels, hidden)
        self.norm_1 = ALIASNorm(middle, labels, hidden)
        if self.learned_shortcut:  # here and not above: the official order of the keys
            self.norm_s = ALIASNorm(inputs, labels, hidden)

    def forward(self, x: torch.Tensor, seg: torch.Tensor, misalign: torch.Tensor | None = None,
                noise: torch.Generator | None = None) -> torch.Tensor:
        """x (b, inputs, h, w); seg and misalign at any size -> (b, outputs, h, w)."""
        size = x.shape[2:]
        seg = F.interpolate(seg, size=size, mode="nearest")
        if misalign is not None:
            misalign = F.interpolate(misalign, size=size, mode="nearest")
        shortcut = x
        if self.learned_shortcut:  # first: the official order of the noise draws
            shortcut = self.conv_s(self.norm_s(x, seg, misalign, noise))
        dx = self.conv_0(F.leaky_relu(self.norm_0(x, seg, misalign, noise), SLOPE))
        dx = self.conv_1(F.leaky_relu(self.norm_1(dx, seg, misalign, noise), SLOPE))
        out: torch.Tensor = shortcut + dx
        return out


def level_size(levels: int, height: int, width: int, level: int) -> tuple[int, int]:
    """Rows and columns of a level (0 is the smallest) for a picture of height x width pixels."""
    return (height >> (levels - 1)) << level, (width >> (levels - 1)) << level


def picture(conv_img: nn.Module, y: torch.Tensor) -> torch.Tensor:
    """The last features y (b, c, H, W) -> (b, 3, H, W) in -1..1."""
    return torch.tanh(conv_img(F.leaky_relu(y, SLOPE)))


class ALIASGenerator(nn.Module):
    """The generator (official `networks.ALIASGenerator`, num_upsampling_layers "most").

    Args:
        width: channel width factor; 1.0 is the official network.
        input_nc: agnostic person 3, pose 3, warped garment 3.
        semantic_nc: parse groups; the blocks under the mask see one channel more.
        levels: sizes from the smallest, 1 / 2**(levels - 1), to full; 8 is official ("most"),
            7 its "more".
        least: channels that no level and no input feature goes below, for narrow networks: the
            largest level must carry two colours side by side to choose between them.
        compose: the starter's end (`alias_head.Composition`) in place of the last convolution; the
            generator then works at half the picture's size.
        noise_seed: None leaves out the random maps that the official code adds before every norm,
            in eval mode too; an integer draws them from this seed, the same at every call.
    """

    def __init__(self, width: float = 1.0, *, input_nc: int = 9, semantic_nc: int = 7,
                 levels: int = 8, least: int = 0, compose: bool = False,
                 noise_seed: int | None = None) -> None:
        super().__init__()
        if not 4 <= levels <= 9:
            raise ValueError(f"levels is {levels}, expected 4..9")
        self.levels = levels
        self.shrink = 2 if compose else 1
        self.noise_seed = noise_seed
        feature, hidden = max(least, scaled(16, width)), scaled(128, width)
        outputs = [scaled(1024, width)] * 3
        outputs += [max(least, scaled(512 // 2**i, width)) for i in range(levels - 3)]
        self.block_names = ["head_0", "G_middle_0", "G_middle_1"]
        self.block_names += [f"up_{i}" for i in range(levels - 3)]
        self.conv_0 = nn.Conv2d(input_nc, outputs[0], 3, padding=1)
        for i in range(1, levels):
            self.add_module(f"conv_{i}", nn.Conv2d(input_nc, feature, 3, padding=1))
        inputs = outputs[0]
        for i, (name, channels) in enumerate(zip(self.block_names, outputs, strict=True)):
            masked = i < 5  # head to up_1
            self.add_module(name, ALIASResBlock(inputs, channels, semantic_nc + masked, hidden,
                                                use_mask_norm=masked))
            inputs = channels + feature
        if compose:
            self.head = Composition(outputs[-1], input_nc, semantic_nc + 1)
        else:
            self.conv_img = nn.Conv2d(outputs[-1], 3, 3, padding=1)

    def blocks(self) -> list[ALIASResBlock]:
        """The residual blocks, smallest size first."""
        return [self.get_submodule(name) for name in self.block_names]  # type: ignore[misc]

    def sizes(self, x: torch.Tensor) -> list[tuple[int, int]]:
        """Rows and columns of every level, smallest first, for inputs x (b, 9, H, W)."""
        height, width = x.shape[2] // self.shrink, x.shape[3] // self.shrink
        return [level_size(self.levels, height, width, i) for i in range(self.levels)]

    def features(self, x: torch.Tensor, level: int) -> torch.Tensor:
        """What the inputs x (b, 9, H, W) add at a level: shrunk from full size, one convolution."""
        size = self.sizes(x)[level]
        conv = self.get_submodule(f"conv_{level}")
        out: torch.Tensor = conv(F.interpolate(x, size=size, mode="nearest"))
        return out

    def forward(self, x: torch.Tensor, seg: torch.Tensor, seg_div: torch.Tensor,
                misalign: torch.Tensor) -> torch.Tensor:
        """Paint the picture.

        Args:
            x: (b, 9, H, W) agnostic person, pose, warped garment, in -1..1.
            seg: (b, 7, H, W) one-hot parse groups.
            seg_div: (b, 8, H, W) the same with the misaligned part split off the garment.
            misalign: (b, 1, H, W) in 0..1, fractional at its edges.

        Returns:
            (b, 3, H, W) in -1..1; H and W rounded down to multiples of 128.
        """
        return self.picture(self.last_features(x, seg, seg_div, misalign), x, seg_div)

    def last_features(self, x: torch.Tensor, seg: torch.Tensor, seg_div: torch.Tensor,
                      misalign: torch.Tensor) -> torch.Tensor:
        """All levels, for the inputs of `forward` -> (b, c, H / shrink, W / shrink)."""
        noise = None
        if self.noise_seed is not None:
            noise = torch.Generator().manual_seed(self.noise_seed)
        y = self.features(x, 0)
        for level, block in enumerate(self.blocks()):
            if level > 0:
                enlarged = F.interpolate(y, scale_factor=2, mode="nearest")
                y = torch.cat((enlarged, self.features(x, level)), 1)
            if block.use_mask_norm:
                y = block(y, seg_div, misalign, noise)
            else:
                y = block(y, seg, None, noise)
        return y

    def picture(self, y: torch.Tensor, x: torch.Tensor, seg_div: torch.Tensor) -> torch.Tensor:
        """The last features y, and the inputs -> (b, 3, H, W); shared with the sparse form."""
        if self.shrink > 1:
            composed: torch.Tensor = self.head(y, x, seg_div)
            return composed
        return picture(self.conv_img, y)
