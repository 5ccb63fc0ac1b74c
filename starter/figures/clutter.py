"""Sharp surroundings of boxes, lines and photos, and what they share with streets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32, colour, read_photo
from fuw.starter.figures.looks import TONES


def some_colour(rng: np.random.Generator) -> list[float]:
    """A cloth colour, or a quarter of the time a skin colour: neither may mean "person"."""
    c = (
        colour(rng)
        if rng.random() < 0.75
        else TONES[rng.integers(len(TONES))] * rng.uniform(0.7, 1.1)
    )
    return [float(k) for k in c]


def clutter(rng: np.random.Generator, photos: Sequence[Path], size: tuple[int, int]) -> F32:
    """Sharp surroundings: photos, boxes, lines, patches of skin and cloth colours."""
    h, w = size
    out = np.empty((h, w, 3), np.float32)
    out[:] = colour(rng)
    if rng.random() < 0.6:
        im = read_photo(photos[rng.integers(len(photos))])
        out = cv2.resize(
            im[int(im.shape[0] * rng.uniform(0, 0.4)) :], (w, h), interpolation=cv2.INTER_AREA
        )
    else:
        out[int(h * rng.uniform(0.35, 0.85)) :] = colour(rng)
    for _ in range(rng.integers(3, 30)):
        x, y = int(rng.integers(-w // 4, w)), int(rng.integers(-h // 4, h))
        dx, dy = int(w * rng.gamma(1.2, 0.1)) + 2, int(h * rng.gamma(1.5, 0.14)) + 2
        c, what = some_colour(rng), rng.integers(5)
        if what == 0:
            cv2.rectangle(out, (x, y), (x + dx, y + dy), c, -1)
        elif what == 1:
            end = (x + int(rng.normal() * w), y + int(rng.normal() * h))
            cv2.line(out, (x, y), end, c, int(rng.integers(1, max(3, w // 40))), cv2.LINE_AA)
        elif what == 2:
            cv2.ellipse(out, (x, y), (dx, dy), rng.uniform(0, 180), 0, 360, c, -1, cv2.LINE_AA)
        elif what == 3:
            grid(
                out,
                (x, y),
                (dx // 2 + 6, dy // 4 + 6),
                (int(rng.integers(2, 7)), int(rng.integers(2, 9))),
                c,
            )
        else:
            im = read_photo(photos[rng.integers(len(photos))])
            im = cv2.resize(im, (min(dx, w) + 8, min(dy, h) + 8), interpolation=cv2.INTER_AREA)
            x, y = max(x, 0), max(y, 0)
            piece = im[: max(0, h - y), : max(0, w - x)]
            out[y : y + piece.shape[0], x : x + piece.shape[1]] = piece
    return cv2.GaussianBlur(out, (0, 0), float(rng.choice([0.4, 0.8, 1.5, 4])))


def grid(
    out: F32, at: tuple[int, int], step: tuple[int, int], count: tuple[int, int], c: list[float]
) -> None:
    """Draw a grid of boxes, as windows or tiles."""
    for i in range(count[0]):
        for j in range(count[1]):
            x, y = at[0] + i * step[0], at[1] + j * step[1]
            cv2.rectangle(out, (x, y), (x + step[0] * 2 // 3, y + step[1] * 2 // 3), c, -1)
