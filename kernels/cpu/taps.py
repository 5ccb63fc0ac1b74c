"""Two-sided linear maps of label planes, `rows @ plane @ columns.T`, with the arg max fused in.

Enlarging, warping without rotation and a Gaussian blur are all separable and linear, so any chain
of them is one matrix per axis. The matrices are banded; working tile by tile keeps the planes in
the processor's cache and writes nothing of full size but the labels.
"""

from functools import lru_cache

import numpy as np

from fuw.engine.arrays import F32, U8

TILE_ROWS, TILE_COLUMNS = 128, 96


def linear_taps(size: int, source: int, align_corners: bool = False) -> F32:
    """Matrix (size, source) that resizes an axis linearly without antialiasing, as Torch does."""
    at = np.arange(size, dtype=np.float64)
    if align_corners:
        at *= (source - 1) / max(size - 1, 1)
    else:
        at = np.clip((at + 0.5) * source / size - 0.5, 0, source - 1)
    low = np.minimum(at.astype(np.int64), max(source - 2, 0))
    part = at - low
    taps = np.zeros((size, source), np.float64)
    row = np.arange(size)
    taps[row, low] = 1 - part
    taps[row, np.minimum(low + 1, source - 1)] += part
    return taps.astype(np.float32)


@lru_cache(maxsize=64)
def _bands(rows: bytes, shape: tuple[int, int], tile: int) -> tuple[tuple[int, int], ...]:
    """First and last+1 source index that each tile of output rows reads."""
    used = np.frombuffer(rows, np.float32).reshape(shape) != 0
    bands = []
    for start in range(0, shape[0], tile):
        columns = np.flatnonzero(used[start : start + tile].any(0))
        bands.append((int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 1))
    return tuple(bands)


def argmax_labels(planes: F32, rows: F32, columns: F32) -> U8:
    """Arg max over c of `rows @ planes[c] @ columns.T`; the first of equal values wins.

    planes (c, h, w), at most 255 of them; rows (H, h); columns (W, w). Returns u8 (H, W).
    """
    labels = np.empty((rows.shape[0], columns.shape[0]), np.uint8)
    row_bands = _bands(rows.tobytes(), (rows.shape[0], rows.shape[1]), TILE_ROWS)
    column_bands = _bands(columns.tobytes(), (columns.shape[0], columns.shape[1]), TILE_COLUMNS)
    for i, (top, bottom) in enumerate(row_bands):
        y = slice(i * TILE_ROWS, (i + 1) * TILE_ROWS)
        part: F32 = rows[y, top:bottom] @ planes[:, top:bottom]  # (c, tile, w)
        for j, (left, right) in enumerate(column_bands):
            x = slice(j * TILE_COLUMNS, (j + 1) * TILE_COLUMNS)
            tile: F32 = part[:, :, left:right] @ columns[x, left:right].T
            labels[y, x] = _first_max(tile)
    return labels


def _first_max(values: F32) -> U8:
    """Arg max over axis 0 as byte arithmetic, several times faster than `np.argmax` here."""
    count = values.shape[0]
    best: F32 = values.max(0)
    rank = np.zeros(best.shape, np.uint8)
    for c in range(count - 1, -1, -1):
        # A lower class has a higher rank, so of equal values the first class stays.
        np.maximum(rank, (values[c] == best).view(np.uint8) * np.uint8(count - c), out=rank)
    # A NaN equals nothing and leaves rank 0: such a pixel becomes class 0, as all-zero ones do.
    return np.where(rank == 0, np.uint8(0), np.uint8(count) - rank)
