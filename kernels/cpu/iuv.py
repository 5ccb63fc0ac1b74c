"""DensePose's four maps of a box to the picture's I, U, V (detectron2's resampling and pasting)."""

import numpy as np

from fuw.engine.arrays import F32, I64, U8
from fuw.kernels.cpu.taps import argmax_labels, linear_taps


def box_pixels(box: F32) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the patch a box x0, y0, x1, y1 is painted to.

    The official rule truncates the extent itself: int(x1 - x0), not int(x1) - int(x0).
    """
    x0, y0, x1, y1 = np.asarray(box, np.float32)
    return int(x0), int(y0), max(int(x1 - x0), 1), max(int(y1 - y0), 1)


def sample_iuv(coarse: F32, fine: F32, u: F32, v: F32, height: int, width: int) -> tuple[U8, F32]:
    """Resample the maps of one box; each channel is resized first and chosen from afterwards.

    Args:
        coarse: (1, 2, h, w): background, person. fine, u, v: (1, 25, h, w), raw outputs.
        height, width: size of the patch.

    Returns:
        labels (height, width) u8, 0 = background, and uv (2, height, width) f32 of each pixel's
        own label, 0 on the background.
    """
    rows = linear_taps(height, fine.shape[2])
    columns = linear_taps(width, fine.shape[3])
    labels = argmax_labels(fine[0], rows, columns)
    labels *= argmax_labels(coarse[0], rows, columns)
    uv = np.zeros((2, height * width), np.float32)
    at = np.flatnonzero(labels)
    y, x = np.divmod(at, width)
    plane = labels.ravel()[at].astype(np.int64) * (u.shape[2] * u.shape[3])
    for target, maps in zip(uv, (u, v), strict=True):
        target[at] = _bilinear(maps[0], plane, y, x, height, width)
    return labels, uv.reshape(2, height, width)


def _bilinear(maps: F32, plane: I64, y: I64, x: I64, height: int, width: int) -> F32:
    """Values (n,) of maps (c, h, w) at n pixels of a patch, half-pixel centres.

    `plane` is where each pixel's own channel begins in the flat maps.
    """
    top, bottom, down = _taps(height, maps.shape[1])
    left, right, along = _taps(width, maps.shape[2])
    flat, columns = maps.ravel(), along[x]
    left, right = left[x], right[x]

    def line(rows: I64) -> F32:
        start = plane + (rows * maps.shape[2])[y]
        first: F32 = flat.take(start + left)
        second: F32 = flat.take(start + right)
        second -= first
        second *= columns
        second += first
        return second

    with np.errstate(invalid="ignore"):  # a network that overflowed gives infinities
        upper, lower = line(top), line(bottom)
        lower -= upper
        lower *= down[y]
        lower += upper
    return lower


def _taps(size: int, source: int) -> tuple[I64, I64, F32]:
    """For each of `size` pixels the two cells of `source` around it, and the second's share."""
    place = (np.arange(size) + 0.5) * (source / size) - 0.5
    place = np.maximum(place, 0)
    low = np.minimum(place.astype(np.int64), source - 1)
    return low, np.minimum(low + 1, source - 1), (place - low).astype(np.float32)


def compose_iuv(coarse: F32, fine: F32, u: F32, v: F32, box: F32, height: int, width: int) -> U8:
    """Paint the maps of one person's box into a picture: u8 (height, width, 3): I, U, V.

    Args:
        coarse, fine, u, v: as in `sample_iuv`.
        box: (4,) x0, y0, x1, y1 in pixels of the picture; what lies outside it is cut off.

    Returns:
        I 0..24 (0 = background), U and V = 255 u and 255 v, truncated and clamped to 0..255.
    """
    x, y, w, h = box_pixels(box)
    labels, uv = sample_iuv(coarse, fine, u, v, h, w)
    uv *= np.float32(255)
    np.fmax(uv, 0, out=uv)  # a NaN becomes 0
    np.fmin(uv, 255, out=uv)
    patch = np.stack([labels, *uv.astype(np.uint8)], 2)
    picture = np.zeros((height, width, 3), np.uint8)
    top, left = max(y, 0), max(x, 0)
    part = patch[top - y : max(height - y, 0), left - x : max(width - x, 0)]
    picture[top : top + part.shape[0], left : left + part.shape[1]] = part
    return picture
