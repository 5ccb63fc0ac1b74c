"""Blocks of the sparse ALIAS: norms that read gamma and beta from tables, and what is around them.

Cheaper without changing anything, beside the tables: norm_s uses the statistics of norm_0; the
statistics of an enlarged map are those of the small one; biases in front of a norm are gone; the 1
of 1 + gamma is in a bias; spectral norm is folded.
"""

import torch
import torch.nn.functional as F
from torch import nn

from fuw.export.nets.alias import SLOPE, ALIASNorm, ALIASResBlock, MaskNorm, instance_norm
from fuw.export.nets.patterns import Patterns
from fuw.export.nets.spectral import SpectralConv2d


class SparseNorm(nn.Module):
    """The tables of one `ALIASNorm`."""

    constant_rows: torch.Tensor

    def __init__(self, norm: ALIASNorm) -> None:
        super().__init__()
        shared, gamma, beta = norm.conv_shared[0], norm.conv_gamma, norm.conv_beta
        assert isinstance(shared, nn.Conv2d) and shared.bias is not None
        assert gamma.bias is not None and beta.bias is not None
        self.channels = gamma.out_channels
        # (out, in, 3, 3) -> (3 * 3 * in, out): rows and columns before channels.
        self.shared = nn.Parameter(shared.weight.permute(2, 3, 1, 0).flatten(0, 2))
        self.shared_bias = shared.bias
        both = torch.cat((gamma.weight, beta.weight))
        self.modulation = nn.Parameter(both.permute(2, 3, 1, 0).flatten(0, 2))
        bias = torch.cat((gamma.bias + 1, beta.bias))  # norm * (1 + gamma): the 1 is in the bias
        self.modulation_bias = nn.Parameter(bias)
        labels = shared.in_channels
        windows = torch.eye(labels).repeat(1, 9)[:, None].expand(-1, 9, -1)
        with torch.no_grad():
            self.register_buffer("constant_rows", self.rows(windows, torch.ones(labels, 9, 1)))

    def rows(self, windows: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """windows (u, 9, 9 * labels), inside (u, 9, 1) -> (u, 2 * channels): 1 + gamma, beta."""
        hidden = F.relu(windows @ self.shared + self.shared_bias) * inside
        return hidden.flatten(1) @ self.modulation + self.modulation_bias

    def table(self, patterns: Patterns) -> torch.Tensor:
        """(rows, 2 * channels): a row for each constant window, then one for each other."""
        rows = self.rows(patterns.windows, patterns.inside)
        return torch.cat((self.constant_rows, rows)) if patterns.constant else rows

    def forward(self, normalized: torch.Tensor, patterns: Patterns) -> torch.Tensor:
        """normalized (b, h, w, c) * (1 + gamma) + beta.

        Channels last: a table row is then read in one piece, and OpenVINO's convolutions take
        this order as it is, so that the permutations around cost nothing there.
        """
        table = self.table(patterns)
        scale, shift = table[:, : self.channels], table[:, self.channels:]
        return normalized * F.embedding(patterns.row, scale) + F.embedding(patterns.row, shift)


def plain_conv(conv: nn.Module, bias: bool = True) -> nn.Conv2d:
    """The convolution with spectral norm folded; without its bias if asked, sharing the weight."""
    plain = conv.folded() if isinstance(conv, SpectralConv2d) else conv
    assert isinstance(plain, nn.Conv2d)
    if bias or plain.bias is None:
        return plain
    with torch.device("meta"):
        bare = nn.Conv2d(plain.in_channels, plain.out_channels, plain.kernel_size[0],
                         padding=plain.padding[0], bias=False)
    bare.weight = plain.weight
    return bare


class FourPixels(nn.Module):
    """A 3x3 convolution that makes 2x2 pixels at a time: the same function.

    A vector unit holds 16 channels; of the last convolution's it would use 3. Here four
    neighbours' 12 channels come from one 4x4 kernel with stride 2: 2.25 times less to multiply.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        outputs, inputs = conv.weight.shape[:2]
        self.conv = nn.Conv2d(inputs, 4 * outputs, 4, stride=2, padding=1)
        assert conv.bias is not None and self.conv.bias is not None
        with torch.no_grad():
            self.conv.weight.zero_()
            for i in range(2):
                for j in range(2):
                    self.conv.weight[2 * i + j :: 4, :, i : i + 3, j : j + 3] = conv.weight
            self.conv.bias.copy_(conv.bias.repeat_interleave(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, inputs, h, w), h and w even -> (b, outputs, h, w)."""
        return F.pixel_shuffle(self.conv(x), 2)


class SparseResBlock(nn.Module):
    """An `ALIASResBlock` with a learned shortcut whose norms read tables."""

    def __init__(self, block: ALIASResBlock) -> None:
        super().__init__()
        if not block.learned_shortcut:
            raise ValueError("the block needs a shortcut of its own: its input must be normalised "
                             "wherever it is used")
        self.use_mask_norm = block.use_mask_norm
        self.conv_0 = plain_conv(block.conv_0, bias=False)  # norm_1 takes it away again
        self.conv_1, self.conv_s = plain_conv(block.conv_1), plain_conv(block.conv_s)
        self.norm_0, self.norm_1 = SparseNorm(block.norm_0), SparseNorm(block.norm_1)
        self.norm_s = SparseNorm(block.norm_s)
        self.mask_norm = MaskNorm()

    def normalize(self, x: torch.Tensor, misalign: torch.Tensor | None) -> torch.Tensor:
        """x (b, c, h, w) without its statistics, (b, h, w, c)."""
        y = instance_norm(x) if misalign is None else self.mask_norm(x, misalign)
        return y.permute(0, 2, 3, 1)

    def enlarged(self, y: torch.Tensor, features: torch.Tensor,
                 misalign: torch.Tensor | None) -> torch.Tensor:
        """Normalised cat(y twice as large, features), (b, h, w, c).

        Without a mask the statistics of y are those of y enlarged: the norm works on a quarter.
        """
        if misalign is None:
            twice = F.interpolate(instance_norm(y), scale_factor=2, mode="nearest")
            return torch.cat((twice, instance_norm(features)), 1).permute(0, 2, 3, 1)
        twice = F.interpolate(y, scale_factor=2, mode="nearest")
        return self.normalize(torch.cat((twice, features), 1), misalign)

    def forward(self, y: torch.Tensor, features: torch.Tensor, patterns: Patterns,
                misalign: torch.Tensor | None) -> torch.Tensor:
        """y (b, c, h/2, w/2), features (b, f, h, w), misalign (b, 1, h, w) -> (b, o, h, w)."""
        normalized = self.enlarged(y, features, misalign)  # norm_s has the statistics of norm_0
        shortcut = self.conv_s(self.norm_s(normalized, patterns).permute(0, 3, 1, 2))
        dx = F.leaky_relu(self.norm_0(normalized, patterns), SLOPE)
        normalized = self.normalize(self.conv_0(dx.permute(0, 3, 1, 2)), misalign)
        dx = F.leaky_relu(self.norm_1(normalized, patterns), SLOPE)
        out: torch.Tensor = shortcut + self.conv_1(dx.permute(0, 3, 1, 2))
        return out
