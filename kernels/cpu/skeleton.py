"""The skeleton picture as OpenPose's GPU build draws it: translucent ellipses on black.

VITON-HD's networks were trained on these pictures, so the look is part of their input. Every
stroke is laid over what is there, new = 0.4 old + 0.6 colour: body limbs, body joints, then the
same for each hand. Sizes follow the picture and, when small, the person.
"""

from dataclasses import dataclass

import numpy as np

from fuw.engine.arrays import F32, U8, Bool
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


def draw_skeleton(body: F32, hands: F32 | None, height: int, width: int) -> U8:
    """Draw a person's key points; returns u8 (height, width, 3) RGB.

    Args:
        body: (25, 3) x, y in pixels, score; drawn above 0.05.
        hands: (2, 21, 3) left and right, drawn above 0.2; None for no hands.
    """
    frame = np.zeros((height, width, 3), np.float32)
    _draw(frame, np.asarray(body, np.float32), BODY)
    for hand in hands if hands is not None else ():
        _draw(frame, np.asarray(hand, np.float32), HAND)
    return frame.astype(np.uint8)  # truncates, as the published pictures do


def _draw(frame: F32, points: F32, figure: Figure) -> None:
    with np.errstate(invalid="ignore"):
        seen = (points[:, 2] > figure.threshold) & np.isfinite(points).all(1)
    if not seen.any():
        return
    low, high = points[seen, :2].min(0), points[seen, :2].max(0)
    size = np.clip((high - low).sum() / np.float32(400), np.float32(0.33), np.float32(1))
    size = size * np.float32(min(frame.shape[:2]))
    radius2 = np.square(size / np.float32(figure.radius))
    width2 = np.square(size / np.float32(figure.half_width))
    reach = np.concatenate([low - _REACH, high + _REACH])
    for a, b in figure.limbs:
        if seen[a] and seen[b]:
            _limb(frame, points[a, :2], points[b, :2], width2, reach, figure.colours[b])
    for part in np.flatnonzero(seen):
        _joint(frame, points[part, :2], radius2, reach, figure.colours[part])


def _limb(frame: F32, a: F32, b: F32, width2: np.float32, reach: F32,
          colour: tuple[int, int, int]) -> None:
    """An ellipse with its axis from a to b; nothing where they coincide."""
    across = b - a
    length2 = across @ across / np.float32(4)
    if length2 == 0:
        return
    unit = across / (2 * np.sqrt(length2))
    half = np.sqrt(length2 * unit**2 + width2 * unit[::-1] ** 2)  # of its bounding box
    middle = ((a + b) / 2).astype(np.float32)
    part, x, y = _box(frame, middle, half, reach)
    along = unit[0] * x + unit[1] * y
    beside = unit[1] * x - unit[0] * y
    along *= along
    along /= length2
    beside *= beside
    beside /= width2
    along += beside
    _blend(part, along <= 1, colour)


def _joint(frame: F32, centre: F32, radius2: np.float32, reach: F32,
           colour: tuple[int, int, int]) -> None:
    part, x, y = _box(frame, centre, np.repeat(np.sqrt(radius2), 2), reach)
    _blend(part, x * x + y * y <= radius2, colour)


def _box(frame: F32, centre: F32, half: F32, reach: F32) -> tuple[F32, F32, F32]:
    """The frame within `half` of `centre`, and how far its columns (1, w) and rows (h, 1) are."""
    height, width = frame.shape[:2]
    low = np.maximum(np.floor(centre - half), np.ceil(reach[:2]))
    high = np.minimum(np.ceil(centre + half), np.floor(reach[2:]))
    x0, y0 = np.clip(low, 0, (width, height)).astype(int)
    x1, y1 = np.clip(high + 1, 0, (width, height)).astype(int)
    x = np.arange(x0, x1, dtype=np.float32)[None] - centre[0]
    y = np.arange(y0, y1, dtype=np.float32)[:, None] - centre[1]
    return frame[y0:y1, x0:x1], x, y


def _blend(part: F32, inside: Bool, colour: tuple[int, int, int]) -> None:
    if inside.size:
        part[inside] = part[inside] * (1 - _ALPHA) + _ALPHA * np.array(colour, np.float32)
