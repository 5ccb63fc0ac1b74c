"""Where a second look goes when nobody was found in the whole photo: windows that show more.

In a panorama a person is a few cells of the network's map. Windows are of the picture's own shape,
as large as the photo holds, then half of that, and overlap by half, so that a person no wider than
half a window lies whole in one of them.
"""

from __future__ import annotations

import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.engine.frame import Frame
from fuw.engine.framing import background

SHARES = (1.0, 0.5)  # of the largest window that the photo holds
MOST = 40  # windows of one size; beyond, the photo is no picture of a person
_NOSE, _NECK, _SHOULDERS, _HIPS = 0, 1, (2, 5), (8, 9, 12)
_SAME = 0.5  # necks nearer than this share of the larger one's height are one person's


def windows(photo: U8, size: tuple[int, int], share: float) -> list[Frame]:
    """Frames of `size` (height, width) that cover the photo; none where only the whole would do, or
    where there would be more than MOST."""
    height, width = photo.shape[:2]
    scale = max(size[0] / height, size[1] / width) / share
    tall, wide = size[0] / scale, size[1] / scale
    rows, columns = _middles(height, tall), _middles(width, wide)
    if not 1 < len(rows) * len(columns) <= MOST:
        return []
    ground = background(photo)
    return [Frame((height, width), size, x, y, scale, ground) for y in rows for x in columns]


def _middles(length: int, window: float) -> list[float]:
    """Middles of windows along one side of the photo, at most half a window apart."""
    free = length - window
    count = 1 + int(np.ceil(max(0.0, free - 0.5) / (window / 2)))
    return [length / 2] if count == 1 else [float(v) for v in np.linspace(
        window / 2, length - window / 2, count)]


def is_sure(person: F32) -> bool:
    """Whether key points f32 (25, 3) show a person from the nose to a hip.

    A neck and a shoulder (`judgement.is_usable`) are too little: the starter network saw such in
    the windows of 9 of 16 pictures of clutter.
    """
    head = person[[_NOSE, _NECK, *_SHOULDERS], 2].min()
    return bool(head > 0 and person[list(_HIPS), 2].max() > 0)


def distinct(people: list[F32]) -> list[F32]:
    """Key points f32 (25, 3) in pixels of the photo, the main person first, each person once.

    The main one as OpenPose's `--number_people_max 1` has it: score times the root of the box.
    """
    kept: list[F32] = []
    for person in sorted(people, key=_weight, reverse=True):
        if all(np.hypot(*(person[_NECK, :2] - other[_NECK, :2])) > _SAME * max(
                _height(person), _height(other)) for other in kept):
            kept.append(person)
    return kept


def _weight(person: F32) -> float:
    found = person[person[:, 2] > 0]
    return float(found[:, 2].sum() * np.sqrt(np.prod(np.ptp(found[:, :2], axis=0))))


def _height(person: F32) -> float:
    return float(np.ptp(person[person[:, 2] > 0, 1]))
