"""Things in front of the person: bags, straps, and plain boxes. They belong to the ground."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32, colour, noise
from fuw.starter.figures.streams import stream


class Cover(NamedTuple):
    """A picture (H, W, 3) and its opacity (H, W), laid over the person."""

    rgb: F32
    opacity: F32


def draw_things(seed: int, body: F32, width: int) -> Cover | None:
    """A shoulder bag, a hand bag, or (rarely) a plain box; None for most figures."""
    rng = stream(seed, "things")
    luck = rng.random()
    if luck > 0.2:
        return None
    h = width * 4 // 3
    rgb, opacity = np.zeros((h, width, 3), np.float32), np.zeros((h, width), np.float32)
    ink = colour(rng)
    side = 1 if rng.random() < 0.5 else -1
    shoulder, hip, wrist = (body[5], body[12], body[7]) if side > 0 else (body[2], body[9], body[4])
    other_hip = body[9] if side > 0 else body[12]
    size = float(np.hypot(*(body[1, :2] - body[8, :2]))) * rng.uniform(0.22, 0.45)
    strap = max(1, int(size * rng.uniform(0.03, 0.12)))
    if luck < 0.06:  # across the body
        at = other_hip[:2] + [-side * size * 0.9, size * rng.uniform(-0.3, 0.8)]
        _line(opacity, shoulder[:2] + [-side * size * 0.3, -size * 0.35], at, strap)
    elif luck < 0.12:  # on the shoulder
        at = hip[:2] + [side * size * 0.8, -size * rng.uniform(0, 0.8)]
        _line(opacity, shoulder[:2] + [-side * size * 0.15, -size * 0.2], at, strap)
    elif luck < 0.18:  # in the hand
        at = wrist[:2] + [0, size * rng.uniform(0.9, 1.3)]
        _line(opacity, wrist[:2] + [0, size * 0.3], at, strap)
    else:
        at = np.array([rng.uniform(0, width), rng.uniform(h * 0.3, h)])
    half = np.array([size * rng.uniform(0.35, 0.8), size * rng.uniform(0.3, 0.6)])
    box = cv2.boxPoints(
        (tuple(map(float, at)), tuple(map(float, half * 2)), float(rng.normal() * 8))
    )
    cv2.fillPoly(opacity, [np.round(box).astype(np.int32)], 1.0, cv2.LINE_AA)
    shade = (
        1
        + 0.05 * noise(rng, (h, width), 3)
        + 0.15 * np.linspace(1, -1, h, dtype=np.float32)[:, None]
    )
    rgb[:] = np.clip(ink * shade[..., None], 0, 1)
    edge = np.round(box).astype(np.int32)
    cv2.polylines(rgb, [edge], True, (ink * 0.6).tolist(), max(1, strap // 2), cv2.LINE_AA)
    return Cover(rgb, opacity)


def _line(opacity: F32, a: F32, b: F32, thick: int) -> None:
    p, q = (tuple(int(x) for x in point) for point in (a, b))
    cv2.line(opacity, p, q, 1.0, thick, cv2.LINE_AA)
