"""The sparse ALIAS in static shapes, for engines and CUDA graphs.

The windows are inputs, found in front of the graph (`fuw.engine.windows`); a table has a fixed
number of rows. A map with more windows than that overflows it and takes the dense form.
"""

from collections.abc import Iterator

import torch

from fuw.engine.windows import Level
from fuw.export.nets.alias import ALIASGenerator
from fuw.export.nets.alias_sparse import DENSE_LEVELS, SparseALIAS
from fuw.export.nets.patterns import Patterns, placed_patterns

# Rows of a level's tables, a sample. Real and predicted parse maps have up to 2,673 windows on a
# level of 1024x768 (docs/alias_sparse.md); of all arithmetic 28 % is then left,
# where the CPU form has 20 %.
CAPACITY = 8192


class StaticALIAS(SparseALIAS):
    """A `SparseALIAS` that is told the windows of its levels."""

    def forward(self, x: torch.Tensor, seg: torch.Tensor, seg_div: torch.Tensor,
                misalign: torch.Tensor, *windows: torch.Tensor) -> torch.Tensor:
        """The picture of `ALIASGenerator.forward`, from its inputs and, for each of `levels`,
        rows (b, h, w) and places (capacity, 25), int32."""
        def patterns() -> Iterator[Patterns]:
            for block, rows, places in zip(self.sparse_blocks, windows[::2], windows[1::2],
                                           strict=True):
                yield placed_patterns(seg_div if block.use_mask_norm else seg, rows, places)

        return self.paint(x, seg, seg_div, misalign, patterns())

    def windowed(self, batch: int, height: int, width: int, capacity: int = CAPACITY,
                 ) -> tuple[Level, ...]:
        """The levels that read tables, smallest first, for pictures of height x width pixels.

        Raises:
            ValueError: a size that does not halve down to the smallest level.
        """
        if height % (side := self.shrink << (self.levels - 1)) or width % side:
            raise ValueError(f"{height}x{width}: both sides must be multiples of {side}")
        found = []
        for level, block in enumerate(self.sparse_blocks, self.dense_levels):
            step = self.shrink << (self.levels - 1 - level)
            pixels = height * width // step**2
            found.append(Level("seg_div" if block.use_mask_norm else "seg", step,
                               batch * min(pixels, capacity)))
        return tuple(found)


def static_module(alias: ALIASGenerator) -> StaticALIAS:
    """The static form of `alias` (its spectral norm is folded in place), in eval mode."""
    module = StaticALIAS(alias, min(DENSE_LEVELS, alias.levels))
    module.eval()
    return module
