"""The skeleton picture as OpenPose's GPU build draws it: translucent ellipses on black.

VITON-HD's networks were trained on these pictures, so the look is part of their input. Every
stroke is laid over what is there, new = 0.4 old + 0.6 colour: body limbs, body joints, then the
same for each hand. Sizes follow the picture and, when small, the person.
"""

from dataclasses import dataclass

import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.body25 import BODY_COLOURS, HAND_COLOURS, HAND_LIMBS, LIMBS

_ALPHA = np.float32(0.6)
_REACH = 50  # pixels around a figure's key points beyond which nothing is drawn


@dataclass(frozen=True)
class Figure:
    """How a body or a hand is drawn: table, threshold, thickness as a share of the picture."""

    limbs: tuple[tuple[int, int], ...]
    colours: tuple[tuple[int, int, int], ...]
    threshold: float
    radius: float  # shorter edge of the picture / radius of a joint
    half_width: float  # shorter edge of the picture / half width of a limb


BODY = Figure(LIMBS, BODY_COLOURS, 0.05, 100.0, 120.0)
HAND = Figure(HAND_LIMBS, HAND_COLOURS, 0.2, 100.0, 80.0)


STROKE = 14  # x0, y0, x1, y1 of its box; centre x, y; axis x, y; two divisors; limit; r, g, b


def draw_skeleton(body: F32, hands: F32 | None, height: int, width: int) -> U8:
    """Draw a person's key points; returns u8 (height, width, 3) RGB.

    Args:
        body: (25, 3) x, y in pixels, score; drawn above 0.05.
        hands: (2, 21, 3) left and right, drawn above 0.2; None for no hands.
    """
    frame = np.zeros((height, width, 3), np.float32)
    for stroke in skeleton_strokes(body, hands, height, width):
        x0, y0, x1, y1 = stroke[:4].astype(int)
        x = np.arange(x0, x1, dtype=np.float32)[None] - stroke[4]
        y = np.arange(y0, y1, dtype=np.float32)[:, None] - stroke[5]
        along, beside = stroke[6] * x + stroke[7] * y, stroke[7] * x - stroke[6] * y
        along *= along
        along /= stroke[8]
        beside *= beside
        beside /= stroke[9]
        along += beside
        inside, part = along <= stroke[10], frame[y0:y1, x0:x1]
        part[inside] = part[inside] * (1 - _ALPHA) + _ALPHA * stroke[11:]
    return frame.astype(np.uint8)  # truncates, as the published pictures do


def skeleton_strokes(body: F32, hands: F32 | None, height: int, width: int) -> F32:
    """Turn key points into strokes (n, 14), in the order in which they are laid over each other.

    A pixel (x, y) within a stroke's box x0 <= x < x1, y0 <= y < y1 is inside when, measured from
    the centre along and across the axis, along^2 / divisor + across^2 / divisor' <= limit.
    """
    strokes = _figure(body, BODY, height, width)
    for hand in hands if hands is not None else ():
        strokes += _figure(hand, HAND, height, width)
    drawn = [s for s in strokes if s[0] < s[2] and s[1] < s[3]]
    return np.array(drawn, np.float32).reshape(-1, STROKE)


def _figure(points: F32, figure: Figure, height: int, width: int) -> list[list[float]]:
    """The limbs of a body or hand, then its joints."""
    points = np.asarray(points, np.float32)
    with np.errstate(invalid="ignore"):
        seen = (points[:, 2] > figure.threshold) & np.isfinite(points).all(1)
    if not seen.any():
        return []
    low, high = points[seen, :2].min(0), points[seen, :2].max(0)
    size = np.clip((high - low).sum() / np.float32(400), np.float32(0.33), np.float32(1))
    size = size * np.float32(min(height, width))
    radius2 = np.square(size / np.float32(figure.radius))
    width2 = np.square(size / np.float32(figure.half_width))
    first = np.maximum(np.ceil(low - _REACH), 0)
    last = np.minimum(np.floor(high + _REACH) + 1, (width, height))

    def stroke(centre: F32, half: F32, axis: F32, divisors: tuple[float, float], limit: float,
               colour: tuple[int, int, int]) -> list[float]:
        start = np.maximum(np.floor(centre - half), first)
        stop = np.minimum(np.ceil(centre + half) + 1, last)
        return [*start, *stop, *centre, *axis, *divisors, limit, *colour]

    strokes = []
    for a, b in figure.limbs:
        if not (seen[a] and seen[b]):
            continue
        across = points[b, :2] - points[a, :2]
        length2 = across @ across / np.float32(4)
        if length2 > 0:
            axis = across / (2 * np.sqrt(length2))
            half = np.sqrt(length2 * axis**2 + width2 * axis[::-1] ** 2)  # of its bounding box
            middle = ((points[a, :2] + points[b, :2]) / 2).astype(np.float32)
            strokes.append(stroke(middle, half, axis, (float(length2), float(width2)), 1,
                                  figure.colours[b]))
    right = np.array([1, 0], np.float32)
    for part in np.flatnonzero(seen):
        half = np.repeat(np.sqrt(radius2), 2)
        strokes.append(stroke(points[part, :2], half, right, (1, 1), float(radius2),
                              figure.colours[part]))
    return strokes
