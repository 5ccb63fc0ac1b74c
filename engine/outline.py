"""What a garment's outline says about its kind: legs, proportions, solidity."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import U8


@dataclass(frozen=True)
class Outline:
    """Measures of an upright garment's mask, each a ratio.

    aspect: height over width of its box. solid: area over that of its convex hull. legs: share
    of the lower half's rows that are open in the middle and filled on both sides.
    """

    aspect: float
    solid: float
    legs: float


def measure_outline(mask: U8) -> Outline:
    """Measure a mask u8 (H, W) with something inside (128 and more)."""
    inside = mask >= 128
    y, x = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    shape = inside[y[0]:y[-1] + 1, x[0]:x[-1] + 1]
    rows = y - y[0]  # the hull of the ends of every row is that of all
    ends = shape[rows].argmax(1), shape.shape[1] - 1 - shape[rows, ::-1].argmax(1)
    hull = cv2.convexHull(np.stack([np.concatenate(ends), np.tile(rows, 2)], 1).astype(np.int32))
    # The hull runs through pixel centres, which for a line has no area.
    solid = float(shape.sum() / max(1.0, cv2.contourArea(hull)))
    return Outline(shape.shape[0] / shape.shape[1], solid, _legs(shape))


def _legs(shape: npt.NDArray[np.bool_]) -> float:
    height, width = shape.shape
    # The middle is that of the upper third: one leg may be folded away.
    middle = int(np.nonzero(shape[:max(1, height // 3)])[1].mean())
    slack = max(1, width // 40)
    lower = shape[height // 2:]
    left, right = lower[:, :middle].any(1), lower[:, middle:].any(1)
    gap = ~lower[:, max(0, middle - slack):middle + slack + 1].any(1)
    return float((gap & left & right).mean())
