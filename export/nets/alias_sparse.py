"""The ALIAS generator without its waste: gamma and beta once per distinct window of labels.

79 % of the dense generator's arithmetic convolves gamma and beta out of a label map, pixel by
pixel. Here each norm has a table with one row per distinct window (`fuw.export.nets.patterns`),
made by one matrix product, and every pixel reads its row. The same function for any input; memory
grows with the windows (7 kB each at full width), so a map of pure noise would take gigabytes: a run
takes the dense graph then (`fuw.engine.overflow`). Measured: docs/alias_sparse.md.
"""

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import nn

from fuw.export.nets.alias import ALIASGenerator, level_size, picture
from fuw.export.nets.alias_tables import FourPixels, SparseResBlock, plain_conv
from fuw.export.nets.patterns import Patterns, find_patterns, label_codes
from fuw.export.nets.spectral import fold_spectral_norm

DENSE_LEVELS = 2


class SparseALIAS(nn.Module):
    """An `ALIASGenerator` with tables in place of most gamma and beta maps; the same function.

    Args:
        alias: its convolutions are shared, its spectral norm is folded in place.
        dense_levels: so many of the smallest levels keep their convolutions: nearly every window
            of a 16x12 map is a different one.
    """

    def __init__(self, alias: ALIASGenerator, dense_levels: int = DENSE_LEVELS) -> None:
        super().__init__()
        if not 1 <= dense_levels <= alias.levels:
            raise ValueError(f"dense_levels is {dense_levels}, expected 1..{alias.levels}")
        fold_spectral_norm(alias)
        self.levels, self.dense_levels = alias.levels, dense_levels
        blocks = alias.blocks()
        self.dense_blocks = nn.ModuleList(blocks[:dense_levels])
        self.sparse_blocks = nn.ModuleList(SparseResBlock(b) for b in blocks[dense_levels:])
        convs = [alias.get_submodule(f"conv_{i}") for i in range(alias.levels)]
        # The first level's shortcut passes its features on as they are; all others are normalised.
        self.features = nn.ModuleList(plain_conv(conv, bias=i == 0) for i, conv in enumerate(convs))
        self.shrink = alias.shrink
        if self.shrink > 1:
            self.head = alias.head
        else:
            self.conv_img = FourPixels(alias.conv_img)

    def forward(self, x: torch.Tensor, seg: torch.Tensor, seg_div: torch.Tensor,
                misalign: torch.Tensor) -> torch.Tensor:
        """The inputs and the picture of `ALIASGenerator.forward`."""
        def patterns() -> Iterator[Patterns]:
            sizes = self.sizes(x)[self.dense_levels :]
            for block, size in zip(self.sparse_blocks, sizes, strict=True):
                source = seg_div if block.use_mask_norm else seg
                labels = F.interpolate(source, size=size, mode="nearest")
                yield find_patterns(labels, label_codes(labels))

        return self.paint(x, seg, seg_div, misalign, patterns())

    def sizes(self, x: torch.Tensor) -> list[tuple[int, int]]:
        """Rows and columns of every level, smallest first, for inputs x (b, 9, H, W)."""
        height, width = x.shape[2] // self.shrink, x.shape[3] // self.shrink
        return [level_size(self.levels, height, width, i) for i in range(self.levels)]

    def paint(self, x: torch.Tensor, seg: torch.Tensor, seg_div: torch.Tensor,
              misalign: torch.Tensor, patterns: Iterable[Patterns]) -> torch.Tensor:
        """The picture, given the windows of every sparse level, smallest first."""
        sizes = self.sizes(x)
        features = [conv(F.interpolate(x, size=size, mode="nearest"))
                    for conv, size in zip(self.features, sizes, strict=True)]
        y = features[0]
        for level, dense in enumerate(self.dense_blocks):
            if level > 0:
                twice = F.interpolate(y, scale_factor=2, mode="nearest")
                y = torch.cat((twice, features[level]), 1)
            masked = dense.use_mask_norm
            y = dense(y, seg_div if masked else seg, misalign if masked else None)
        levels = enumerate(zip(self.sparse_blocks, patterns, strict=True), self.dense_levels)
        for level, (sparse, found) in levels:
            mask = None
            if sparse.use_mask_norm:
                mask = F.interpolate(misalign, size=sizes[level], mode="nearest")
            y = sparse(y, features[level], found, mask)
        if self.shrink > 1:
            composed: torch.Tensor = self.head(y, x, seg_div)
            return composed
        return picture(self.conv_img, y)


def sparse_module(alias: ALIASGenerator) -> nn.Module:
    """The label-sparse form of `alias` (its spectral norm is folded in place), in eval mode."""
    return SparseALIAS(alias, min(DENSE_LEVELS, alias.levels)).eval()
