"""In front of and behind ALIAS (VITON-HD, section 3.4): misalignment, divided labels, 8 bit."""

import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.fit import signed
from fuw.kernels.cpu.parse import UPPER_GROUP


def misalignment(upper: F32, warped_mask: F32) -> F32:
    """What the label map gives to the garment and the warped garment does not cover.

    upper f32 (n, 1, H, W) in 0..1, or the whole seg7 (n, 7, H, W); warped_mask f32 (n, 1, H, W).
    max(upper - warped_mask, 0), fractional along edges (equation 5).
    """
    if upper.shape[1] > 1:
        upper = upper[:, UPPER_GROUP : UPPER_GROUP + 1]
    left = upper - warped_mask
    np.maximum(left, np.float32(0), out=left)
    return left


def split_seg(seg7: F32, misalign: F32) -> F32:
    """seg_div (n, 8, H, W): the 7 labels, misalign taken from the upper one and appended."""
    n, groups, height, width = seg7.shape
    out = np.empty((n, groups + 1, height, width), np.float32)
    out[:, :groups] = seg7
    out[:, UPPER_GROUP : UPPER_GROUP + 1] -= misalign
    out[:, groups:] = misalign
    return out


def alias_input(agnostic: U8, skeleton: U8, warped: F32) -> F32:
    """(1, 9, H, W) in -1..1: agnostic photo and skeleton (RGB u8 (H, W, 3)), warped garment."""
    out = np.empty((1, 9, *agnostic.shape[:2]), np.float32)
    out[:, 0:3] = signed(agnostic)
    out[:, 3:6] = signed(skeleton)
    out[:, 6:9] = warped
    return out


def to_mask(x: F32) -> U8:
    """(1, 1, H, W) in 0..1 -> u8 (H, W) 0..255, rounded: for looking at, not part of the fit."""
    plane: F32 = np.rint(x[0, 0] * np.float32(255))
    return np.clip(plane, 0, 255).astype(np.uint8)


def to_image(x: F32) -> U8:
    """(1, 3, H, W) in -1..1 -> RGB u8 (H, W, 3), truncated and not rounded, as officially."""
    out = np.empty((*x.shape[2:], 3), np.uint8)
    for c in range(3):
        plane = x[0, c] + np.float32(1)
        plane *= np.float32(0.5)
        plane *= np.float32(255)
        np.clip(plane, 0, 255, out=plane)
        out[:, :, c] = plane
    return out
