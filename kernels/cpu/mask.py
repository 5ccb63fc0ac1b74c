"""The garment's mask from the output of U2Net or TRACER."""

import cv2
import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, U8

SOLID = 128  # VITON-HD's threshold: `cloth_mask >= 128` belongs to the garment
EDGE = 3  # pixels of soft edge kept around the garment
PINHOLE = 5e-4  # of the picture: larger holes may be real (between a strap and the neck)


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


def clean_mask(mask: U8, pinhole: float = PINHOLE) -> U8:
    """Keep the largest piece of a soft mask with its soft edge, and fill its pinholes.

    Mask networks sometimes mark a hanger, a price tag or a fold's shadow. This is not part of the
    official chain: leave it out where parity is asked for.

    Args:
        mask: u8 (H, W); pieces are the 8-connected areas of 128 and more.
        pinhole: holes up to this share of the picture become 255; larger ones stay.

    Returns:
        A new mask u8 (H, W); without anything solid, a copy.
    """
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(binary_mask(mask), connectivity=8)
    if count < 2:
        return mask.copy()
    largest = (pieces == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).view(np.uint8)
    side = 2 * EDGE + 1
    near: U8 = cv2.dilate(largest, np.ones((side, side), np.uint8)).astype(np.uint8)
    out: U8 = mask * near
    _, gaps, stats, _ = cv2.connectedComponentsWithStats(1 - largest, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= pinhole * mask.size
    inner = ((stats[:, cv2.CC_STAT_LEFT] > 0) & (stats[:, cv2.CC_STAT_TOP] > 0)
             & (stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH] < mask.shape[1])
             & (stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT] < mask.shape[0]))
    holes = small & inner
    holes[0] = False  # label 0 is `largest` itself
    out[holes[gaps]] = 255
    return out


def _truncated(unit: F32) -> U8:
    """0..1 -> 0..255, cut (not rounded) to a byte; what lies outside is clipped, NaN is 0."""
    scaled: F32 = np.nan_to_num(unit * np.float32(255), nan=0.0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _resized(mask: U8, height: int, width: int, how: Image.Resampling) -> U8:
    return np.asarray(Image.fromarray(mask).resize((width, height), how))
