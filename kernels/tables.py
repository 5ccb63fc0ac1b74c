"""Host-side tables that the kernels read: bands of matrices, Pillow's integer taps, byte tables."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, I32, Any
from fuw.kernels.cpu.fit import SCHP_MEAN_BGR, SCHP_STD_BGR
from fuw.kernels.cpu.fit_pose import DENSEPOSE_MEAN_BGR

PRECISION = 22  # bits of Pillow's integer weights
# Half widths of Pillow's filters, in source pixels when enlarging.
SUPPORT = {Image.Resampling.BILINEAR: 1.0, Image.Resampling.BICUBIC: 2.0,
           Image.Resampling.LANCZOS: 3.0}


class Taps(NamedTuple):
    """A banded matrix: `first` (outputs / step) source indices, `weight` (outputs, width)."""

    first: I32
    weight: Any
    width: int

    def transposed(self) -> "Taps":
        """The same with `weight` (width, outputs)."""
        return self._replace(weight=np.ascontiguousarray(self.weight.T))


def bands(matrix: F32, step: int = 1) -> Taps:
    """Cut the zeros off a banded matrix; `step` neighbouring rows share their source indices.

    Rows are padded to a multiple of `step` with zeros, which a kernel computes and never stores.
    """
    outputs, source = matrix.shape
    padded = np.zeros((-(-outputs // step) * step, source), np.float32)
    padded[:outputs] = matrix
    used = (padded.reshape(-1, step, source) != 0).any(1)
    start = np.where(used.any(1), used.argmax(1), 0)
    end = np.where(used.any(1), source - used[:, ::-1].argmax(1), 1)
    count = int((end - start).max())
    first = np.minimum(start, source - count).astype(np.int32)
    columns = np.repeat(first, step)[:, None] + np.arange(count)
    return Taps(first, np.take_along_axis(padded, columns, 1), count)


@lru_cache(maxsize=16)
def pillow_taps(size: int, source: int, kind: Image.Resampling, start: float = 0.0,
                end: float | None = None) -> Taps:
    """Pillow's `precompute_coeffs` for bytes: i32 weights of 22 bits, one row per output pixel.

    Args:
        start, end: of the part that is resized, in edges; by default the whole.
    """
    scale = ((source if end is None else end) - start) / size
    stretch = max(scale, 1.0)
    support = SUPPORT[kind] * stretch
    centre = start + (np.arange(size) + 0.5) * scale
    low = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    used = np.minimum((centre + support + 0.5).astype(np.int64), source) - low
    count = int(used.max())
    first = np.minimum(low, source - count)  # the window stays inside the picture
    places = first[:, None] + np.arange(count)
    weight = _filter((places - centre[:, None] + 0.5) / stretch, kind)
    weight[(places < low[:, None]) | (places >= (low + used)[:, None])] = 0
    fixed = weight / weight.sum(1, keepdims=True) * (1 << PRECISION)
    table = np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int32)
    return Taps(first.astype(np.int32), table, count)


def _filter(at: Any, kind: Image.Resampling) -> Any:
    x = np.abs(at)
    if kind == Image.Resampling.BILINEAR:
        return np.maximum(1.0 - x, 0.0)
    if kind == Image.Resampling.LANCZOS:
        return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0.0)
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _levels() -> F32:
    return np.tile(np.arange(256, dtype=np.float32), (3, 1))


def schp_table() -> F32:
    """(3, 256) in B, G, R: what SCHP's network sees for a byte."""
    levels = _levels()
    levels /= np.float32(255)
    table: F32 = (levels - SCHP_MEAN_BGR[:, None]) / SCHP_STD_BGR[:, None]
    return table


def openpose_table() -> F32:
    """(3, 256): x / 256 - 0.5."""
    table: F32 = _levels() * np.float32(1 / 256) - np.float32(0.5)
    return table


def densepose_table() -> F32:
    """(3, 256) in B, G, R: the byte less the mean."""
    table: F32 = _levels() - DENSEPOSE_MEAN_BGR[:, None]
    return table
