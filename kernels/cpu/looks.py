"""Several looks at one picture: mirrored, or at the square at one of its ends, and their mean.

The flip test and the several scales of the field's own evaluations (SCHP's evaluate.py, HRNet). A
mirrored look's answer is mirrored back with its sides exchanged: left arm for right arm.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from fuw.engine.arrays import F32, I64, U8
from fuw.engine.spec import View
from fuw.kernels.cpu.body25 import KEYPOINTS, PAIRS
from fuw.kernels.cpu.fit import schp_input
from fuw.kernels.cpu.parse import schp_taps
from fuw.kernels.cpu.taps import argmax_labels

_SIDES = (14, 15), (16, 17), (18, 19)  # arms, legs, shoes: the same ids in LIP and in VITON-HD


def mirrored(x: F32) -> F32:
    """f32 (n, c, h, w) -> the same, left for right."""
    return np.ascontiguousarray(x[..., ::-1])


def rows_of(view: View, height: int, width: int) -> tuple[int, int]:
    """First and last+1 row of a picture that `view` shows; a square is as high as it is wide."""
    side = min(height, width)
    return {"whole": (0, height), "upper": (0, side), "lower": (height - side, height)}[view.part]


def schp_view(image: U8, view: View, size: int = 473) -> F32:
    """RGB u8 (H, W, 3) -> SCHP's input of that look, f32 (1, 3, size, size)."""
    top, bottom = rows_of(view, image.shape[0], image.shape[1])
    x = schp_input(image[top:bottom], size)
    return mirrored(x) if view.mirrored else x


def mean_labels(logits: Sequence[F32], views: Sequence[View], height: int, width: int,
                size: int = 473) -> U8:
    """The arg max of the mean of several looks' logits, each (1, 20, h, w), u8 (height, width).

    Like `schp_labels` of each look, but the arg max comes last; a pixel's mean is over the looks
    that show it. The columns of all are brought to those of the closest look; the rows need not
    be, since one product can read them side by side.
    """
    h, w = logits[0].shape[2:]
    spans = [rows_of(view, height, width) for view in views]
    closest = min(bottom - top for top, bottom in spans)
    columns = schp_taps(h, w, closest, width, size)[1]
    seen = np.zeros(height, np.float32)
    for top, bottom in spans:
        seen[top:bottom] += 1
    rows, planes = np.zeros((height, len(views) * h), np.float32), []
    for i, (answer, view, (top, bottom)) in enumerate(zip(logits, views, spans, strict=True)):
        own_rows, own_columns = schp_taps(h, w, bottom - top, width, size)
        rows[top:bottom, i * h : (i + 1) * h] = own_rows / seen[top:bottom, None]
        plane = answer[0][_exchanged(), :, ::-1] if view.mirrored else answer[0]
        if bottom - top != closest:
            plane = plane @ own_columns[_nodes(columns.tobytes(), w)].T
        planes.append(plane)
    return argmax_labels(np.concatenate(planes, 1), rows, columns)


def mean_maps(maps: Sequence[F32], views: Sequence[View]) -> F32:
    """The mean (1, 78, h, w) of BODY_25 answers; only whole pictures, as it has to see a body."""
    order, sign = _mirror_channels()
    total = np.zeros_like(maps[0])
    for answer, view in zip(maps, views, strict=True):
        total += answer[:, order, :, ::-1] * sign[:, None, None] if view.mirrored else answer
    mean: F32 = total / np.float32(len(maps))
    return mean


def _exchanged() -> list[int]:
    order = list(range(20))
    for left, right in _SIDES:
        order[left], order[right] = right, left
    return order


@lru_cache(maxsize=8)
def _nodes(columns: bytes, w: int) -> I64:
    """The column of the picture on which each column of the closest look's logits lies best."""
    nodes: I64 = np.frombuffer(columns, np.float32).reshape(-1, w).argmax(0)
    return nodes


@lru_cache(maxsize=1)
def _mirror_channels() -> tuple[list[int], F32]:
    """For each of the 78 channels, the one that a mirrored answer has in its place, and the sign:
    the x of a limb's direction turns round."""
    other = [KEYPOINTS.index(_other_side(name)) for name in KEYPOINTS]
    field = {(a, b): channel for a, b, channel in PAIRS}
    order, sign = [*other, len(KEYPOINTS)] + [0] * (2 * len(PAIRS)), np.ones(78, np.float32)
    first = len(KEYPOINTS) + 1
    for (a, b), channel in field.items():
        source = field[other[a], other[b]]
        order[first + channel : first + channel + 2] = first + source, first + source + 1
        sign[first + channel] = -1
    return order, sign


def _other_side(name: str) -> str:
    sides = {"L": "R", "R": "L"}
    return sides[name[0]] + name[1:] if name[0] in sides and name[1].isupper() else name
