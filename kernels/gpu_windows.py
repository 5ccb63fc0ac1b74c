"""The distinct windows of a label map on a device, at several sizes at once: cpu/windows.py."""

from collections.abc import Sequence

import numpy as np

from fuw.engine.arrays import I32
from fuw.kernels.cpu.windows import PLACES, REACH, check_channels
from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import GpuSteps, _grid

SEGMENT = 64  # of the list of windows, that one thread compares with
SLOTS = 4  # of the table, for each window there is room for
ALIGNED = 64  # elements: where the pieces of a block begin


class GpuWindows(GpuSteps):
    """Windows in arrays of fixed size, with nothing that waits for their number."""

    def window_plan(self, shape: tuple[int, ...], levels: Sequence[tuple[int, int]],
                    ) -> DeviceArray:
        """The table of `levels` for labels of that shape; made once."""
        n, _, height, width = shape
        return self._table(("windows", n, height, width, *levels),
                           lambda: _plan(n, height, width, levels)[1])

    def windows(self, labels: DeviceArray, levels: Sequence[tuple[int, int]], flag: DeviceArray,
                ) -> list[tuple[DeviceArray, DeviceArray]]:
        """See cpu.windows, for every (step, capacity) of `levels`.

        Args:
            flag: i32 (1,), zero before: becomes 1 where a level overflows.

        Returns:
            rows and places of every level.
        """
        n, channels, height, width = labels.shape
        check_channels(channels)
        shapes, table = _plan(n, height, width, levels)
        plan = self.window_plan(labels.shape, levels)
        pixels, capacity = max(n * h * w for h, w in shapes), max(room for _, room in levels)
        framed = max(n * (h + 2 * REACH) * (w + 2 * REACH) for h, w in shapes)
        many, rooms = len(levels), sum(_aligned(room) for _, room in levels)
        codes = self._u8(_end(table, 3, [n * (h + 2 * REACH) * (w + 2 * REACH)
                                         for h, w in shapes]))
        slots, rows = (self.device.empty((_end(table, 4, [n * h * w for h, w in shapes]),),
                                         np.int32) for _ in range(2))
        hashed, places, found, ranks, counts = (
            self.device.empty((size,), np.int32) for size in
            (_end(table, 5, [mask + 1 for mask in table[:, 6]]), rooms * PLACES, rooms, rooms,
             2 * many))
        for array, value in ((hashed, -1), (places, -1), (ranks, 0), (counts, 0)):
            self.device.fill(array, value)
        each = _grid(pixels, many)
        self._run_real("window_codes", _grid(framed, many), labels, n, channels, height, width,
                       plan, codes)
        self._run("window_insert", each, codes, n, channels, plan, hashed, slots, counts)
        self._run("window_list", each, n, plan, hashed, slots, counts, found)
        self._run("window_rank", _grid(capacity, many, -(-capacity // SEGMENT)), plan, counts,
                  found, ranks)
        self._run("window_place", _grid(capacity * PLACES, many), channels, height, width, plan,
                  counts, found, ranks, places, rows)
        self._run("window_rows", each, n, plan, counts, hashed, slots, rows, flag)
        return [(rows.part(4 * int(row[4]), n, *shape),
                 places.part(4 * PLACES * int(row[7]), room, PLACES))
                for row, shape, (_, room) in zip(table, shapes, levels, strict=True)]

    def disown(self, answer: DeviceArray, flag: DeviceArray) -> None:
        """Let `answer` begin with NaN where `flag` i32 (1,) is set, for whoever looks at it."""
        self._run_real("disown", (1, 1, 1), flag, answer)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _end(table: I32, column: int, sizes: Sequence[int]) -> int:
    """Elements of a block whose pieces begin where `column` says."""
    return int(table[-1, column]) + int(sizes[-1])


def _plan(n: int, height: int, width: int, levels: Sequence[tuple[int, int]],
          ) -> tuple[list[tuple[int, int]], I32]:
    """(h, w) of every level, and the rows of `Level` in windows.cu."""
    shapes, table = [], []
    codes = pixels = slots = rooms = 0
    for step, capacity in levels:
        h, w = height // step, width // step
        size = 1 << (SLOTS * capacity - 1).bit_length()
        shapes.append((h, w))
        table.append((step, h, w, codes, pixels, slots, size - 1, rooms, capacity))
        codes += _aligned(n * (h + 2 * REACH) * (w + 2 * REACH))
        pixels += _aligned(n * h * w)
        slots += size
        rooms += _aligned(capacity)
    return shapes, np.array(table, np.int32)
