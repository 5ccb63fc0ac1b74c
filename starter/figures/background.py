"""What stands behind the person: a studio wall, a blurred photo, or sharp clutter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fuw.starter.figures.clutter import clutter
from fuw.starter.figures.fabric import F32, colour, noise, read_photo
from fuw.starter.figures.pose import pick
from fuw.starter.figures.streams import stream
from fuw.starter.figures.street import street

KINDS = {"light": 0.42, "colour": 0.09, "photo": 0.07, "clutter": 0.17, "street": 0.25}


def draw_background(seed: int, photos: Sequence[Path], width: int, level: float) -> tuple[F32, str]:
    """A ground (H, W, 3) sRGB 0..1 and its kind; level: grey of the light studio ground."""
    rng = stream(seed, "background")
    size = (width * 4 // 3, width)
    kind = pick(rng, KINDS)
    if kind == "clutter":
        ground = clutter(rng, photos, size)
    elif kind == "street":
        ground = street(rng, size)
    elif kind == "photo":
        im = read_photo(photos[rng.integers(len(photos))])
        im = cv2.resize(im[: int(im.shape[0] * rng.uniform(0.3, 1))], size[::-1])
        ground = cv2.GaussianBlur(im, (0, 0), rng.uniform(4, 40) * width / 768)
    else:
        base = np.full(3, level) if kind == "light" else colour(rng)
        ground = studio(rng, size, base + rng.normal(size=3) * 0.006)
    return np.clip(ground, 0, 1).astype(np.float32), kind


def studio(rng: np.random.Generator, size: tuple[int, int], base: F32) -> F32:
    """A plain wall with a soft vignette, sometimes the line where it meets the floor."""
    h, w = size
    y = (np.arange(h, dtype=np.float32) / h)[:, None]
    x = (np.arange(w, dtype=np.float32) / w)[None]
    fall = (
        rng.uniform(0, 0.14) * np.hypot(x - rng.uniform(0.3, 0.7), y - rng.uniform(0.2, 0.6)) ** 1.5
    )
    out = base * (1 - fall)[..., None] * (1 + 0.004 * noise(rng, size, 40)[..., None])
    if rng.random() < 0.25:
        floor = np.clip((y - rng.uniform(0.75, 0.97)) / rng.uniform(0.002, 0.1), 0, 1)
        out = out * (1 - floor[..., None] * rng.uniform(-0.05, 0.2))
    return np.asarray(out, np.float32)
