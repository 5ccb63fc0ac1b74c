"""In front of and behind the segmentation generator (VITON-HD, section 3.2)."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, I64, U8, Bool
from fuw.kernels.cpu.fit import signed
from fuw.kernels.cpu.taps import argmax_labels, linear_taps

BLUR_SIZE, BLUR_SIGMA = 15, 3.0
PARSE_GROUPS = 13


def seg_noise(seed: int, h: int = 256, w: int = 192) -> F32:
    """The generator's noise channel, f32 (1, 1, h, w), each pixel 0 or 1.

    Officially normal(0, 255) is saturated to a byte, divided by 255 and truncated, which leaves
    1 where the draw reaches 255, one standard deviation: P(1) = 0.16. Same seed, same noise.
    """
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal((1, 1, h, w))
    return (draw >= 1.0).astype(np.float32)


def garment(mask: U8 | Bool) -> U8:
    """A garment's mask as u8 0 and 1: of a soft one, 128 and more is garment, as officially.

    One that holds nothing above 1 counts as cut already (`binary_mask`, or bool).
    """
    if mask.dtype == np.bool_ or (mask.dtype == np.uint8 and mask.max() <= 1):
        return mask.view(np.uint8)
    if mask.dtype != np.uint8:
        raise ValueError(f"a garment's mask is u8 0..255 or bool, not {mask.dtype}")
    return np.greater_equal(mask, 128).view(np.uint8)


@lru_cache(maxsize=16)
def _shrink(size: int, source: int) -> tuple[I64, I64, F32]:
    """Bilinear without antialiasing: lower and upper source index, and the upper one's weight."""
    at = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, source - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, source - 1), (at - low).astype(np.float32)


def _taps(height: int, width: int, h: int, w: int) -> list[tuple[I64, I64, F32]]:
    """The four neighbours of every small pixel: rows (h), columns (w), weights (h, w)."""
    top, bottom, fy = _shrink(h, height)
    left, right, fx = _shrink(w, width)
    rows, columns = ((top, 1 - fy), (bottom, fy)), ((left, 1 - fx), (right, fx))
    return [(y, x, wy[:, None] * wx) for y, wy in rows for x, wx in columns]


def seg_input(mask: U8 | Bool, cloth: U8, parse13: U8, skeleton: U8, noise: F32,
              ) -> F32:
    """The generator's input, f32 (1, 21, h, w) with h and w those of `noise`.

    mask u8 (H, W) 0..255 (128 and more is garment) or bool; cloth and skeleton RGB u8 (H, W, 3);
    parse13 u8 (H, W), the agnostic parse in 13 groups. Channels: mask 1, cloth * mask 3 (colours in
    -1..1, so 0 outside the mask), parse 13, skeleton 3, noise 1. Shrunk bilinearly, align_corners
    False, no antialias: at 1024x768 the mean of the middle 2x2 of every 4x4 cell.
    """
    h, w = noise.shape[2:]
    x = np.zeros((21, h, w), np.float32)
    at = np.arange(h)[:, None], np.arange(w)[None]
    ones = garment(mask)
    for rows, columns, weight in _taps(parse13.shape[0], parse13.shape[1], h, w):
        inside = _pick(ones, rows, columns) * weight
        x[0] += inside
        # One label per pixel and tap: no index occurs twice, so a plain += adds them all.
        x[4 + _pick(parse13, rows, columns), at[0], at[1]] += weight
        x[1:4] += signed(_pick(cloth, rows, columns))[0] * inside
        x[17:20] += signed(_pick(skeleton, rows, columns))[0] * weight
    x[20] = noise[0, 0]
    return x[None]


def _pick(image: U8, rows: I64, columns: I64) -> U8:
    """image[rows][:, columns]; whole rows first, which is a plain copy."""
    return image.take(rows, 0).take(columns, 1)


def gaussian(size: int = BLUR_SIZE, sigma: float = BLUR_SIGMA) -> npt.NDArray[np.float64]:
    """One axis of torchgeometry's Gaussian kernel, summing to one."""
    at = np.arange(size) - size // 2
    kernel = np.exp(-(at**2) / (2 * sigma**2))
    result: npt.NDArray[np.float64] = kernel / kernel.sum()
    return result


@lru_cache(maxsize=8)
def blurred_taps(size: int, source: int) -> F32:
    """(size, source): enlarge an axis bilinearly, then blur it with zero padding at the ends."""
    half = BLUR_SIZE // 2
    padded = np.zeros((size + 2 * half, source))
    padded[half : half + size] = linear_taps(size, source)
    kernel = gaussian()
    blurred = sum(kernel[k] * padded[k : k + size] for k in range(BLUR_SIZE))
    return np.asarray(blurred, np.float32)


def seg_labels(probabilities: F32, height: int, width: int) -> U8:
    """Probabilities (1, 13, h, w) -> group ids 0..12, u8 (height, width).

    Enlarged bilinearly, blurred with a Gaussian of 15x15 and sigma 3 whose padding is zero (so a
    corner keeps 0.32 of its value), then the arg max: the official order, in one matrix per axis.
    """
    rows = blurred_taps(height, probabilities.shape[2])
    columns = blurred_taps(width, probabilities.shape[3])
    return argmax_labels(probabilities[0], rows, columns)
