"""What the static form of the sparse ALIAS reads beside the inputs of its spec.

That form is for engines: its graph has static shapes, so the distinct windows of each level's
labels are found in front of it, on a device by `kernels/windows.cu`, for proofs on the host by
`kernels/cpu/windows.py`. They come as two inputs a level, `rows_<step>` (batch, h, w) and
`places_<step>` (capacity, 25), both int32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fuw.engine.arrays import F32
from fuw.engine.spec import TensorSpec
from fuw.kernels.cpu.windows import PLACES, windows

SOURCES = ("seg", "seg_div")


@dataclass(frozen=True)
class Level:
    """A level of the generator that reads tables.

    Attributes:
        source: the input with its labels.
        step: pixels of the picture for one of the level's.
        capacity: rows of its tables, for all samples of a batch together.
    """

    source: str
    step: int
    capacity: int

    @property
    def rows(self) -> str:
        """Name of the input with each pixel's row."""
        return f"rows_{self.step}"

    @property
    def places(self) -> str:
        """Name of the input with the places of each row's window."""
        return f"places_{self.step}"

    def tensors(self, batch: int, height: int, width: int) -> tuple[TensorSpec, TensorSpec]:
        """Both inputs, for pictures of height x width pixels."""
        size = (batch, height // self.step, width // self.step)
        return (TensorSpec(self.rows, size, "int32", about="each pixel's table row"),
                TensorSpec(self.places, (self.capacity, PLACES), "int32",
                           about="where a row's window lies in its labels, -1 outside"))


def read_levels(rows: Any) -> tuple[Level, ...]:
    """Levels out of a manifest's "windows"; raises TypeError or ValueError where they are none."""
    levels = tuple(Level(*row) for row in rows)
    for level in levels:
        if level.source not in SOURCES or not all(
                type(n) is int and 0 < n < 1 << 24 for n in (level.step, level.capacity)):
            raise ValueError(f"{level} is no level of ALIAS")
    return levels


def host_windows(levels: Sequence[Level], feeds: Mapping[str, F32],
                 ) -> tuple[dict[str, Any], bool]:
    """The inputs of every level, int32, and whether one of them overflows."""
    found: dict[str, Any] = {}
    overflow = False
    for level in levels:
        made = windows(feeds[level.source], level.step, level.capacity)
        found |= {level.rows: made.rows, level.places: made.places}
        overflow |= made.overflow
    return found, overflow
