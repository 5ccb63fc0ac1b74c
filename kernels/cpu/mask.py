"""The garment's mask from the output of U2Net or TRACER."""

import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, U8

SOLID = 128  # VITON-HD's threshold: `cloth_mask >= 128` belongs to the garment


def u2net_mask(d0: F32, height: int, width: int) -> U8:
    """d0 (1, 1, h, w) in 0..1 -> soft mask u8 (height, width), 255 inside.

    carvekit's way: stretched to the whole range, times 255, truncated, Pillow's bicubic back. A
    constant map has no range (officially NaN); it is not stretched here.
    """
    low, high = d0.min(), d0.max()
    stretched = (d0[0, 0] - low) / (high - low) if high > low else d0[0, 0]
    return _resized(_truncated(stretched), height, width, Image.Resampling.BICUBIC)


def tracer_mask(mask: F32, height: int, width: int) -> U8:
    """mask (1, 1, h, w) in 0..1 -> soft mask u8 (height, width), 255 inside.

    carvekit's way: times 255, truncated, Pillow's bilinear back; not stretched.
    """
    return _resized(_truncated(mask[0, 0]), height, width, Image.Resampling.BILINEAR)


def binary_mask(mask: U8) -> U8:
    """Soft mask u8 -> u8 of 0 and 1, split at 128 as VITON-HD does."""
    return (mask >= SOLID).view(np.uint8)


def _truncated(unit: F32) -> U8:
    """0..1 -> 0..255, cut (not rounded) to a byte; what lies outside is clipped, NaN is 0."""
    scaled: F32 = np.nan_to_num(unit * np.float32(255), nan=0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _resized(mask: U8, height: int, width: int, how: Image.Resampling) -> U8:
    return np.asarray(Image.fromarray(mask).resize((width, height), how))
