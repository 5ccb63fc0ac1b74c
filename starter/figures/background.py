"""What stands behind the person: a studio wall, a blurred photo, or sharp clutter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32, colour, noise, read_photo
from fuw.starter.figures.pose import pick
from fuw.starter.figures.skin import TONES
from fuw.starter.figures.streams import stream

KINDS = {"light": 0.45, "colour": 0.10, "photo": 0.10, "clutter": 0.18, "street": 0.17}


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


def street(rng: np.random.Generator, size: tuple[int, int]) -> F32:
    """A made-up street: sky, fronts with windows, pavement in perspective, cars, passers-by."""
    h, w = size
    out = np.empty((h, w, 3), np.float32)
    horizon = int(h * rng.uniform(0.3, 0.75))
    out[:] = np.clip(rng.uniform(0.6, 0.98) + np.array([-0.06, 0, 0.06]) * rng.random(), 0, 1)
    x = int(-w * rng.uniform(0, 0.3))
    while x < w:
        dx = int(w * rng.uniform(0.15, 0.6))
        top = int(h * rng.uniform(-0.3, 0.35))
        cv2.rectangle(out, (x, top), (x + dx, horizon), some_colour(rng), -1)
        step = (max(4, int(w * rng.uniform(0.05, 0.16))), max(5, int(h * rng.uniform(0.06, 0.18))))
        across, down = dx // step[0] + 1, max(1, (horizon - top) // step[1])
        grid(out, (x + step[0] // 6, top + step[1] // 6), step, (across, down), some_colour(rng))
        x += dx
    grey = rng.uniform(0.25, 0.7)
    out[horizon:] = np.clip(grey + rng.normal(size=3) * 0.03, 0, 1)
    vanish = (int(w * rng.uniform(-0.3, 1.3)), horizon)
    for _ in range(rng.integers(0, 14)):
        c = [float(np.clip(grey + rng.normal() * 0.15, 0, 1))] * 3
        cv2.line(
            out, vanish, (int(w * rng.uniform(-1, 2)), h), c, int(rng.integers(1, 4)), cv2.LINE_AA
        )
    for _ in range(rng.integers(0, 5)):
        passer_by(rng, out, horizon)
    for _ in range(rng.integers(0, 3)):
        cx, cy, s = (
            int(w * rng.random()),
            horizon + int(h * rng.uniform(0, 0.1)),
            int(w * rng.uniform(0.1, 0.3)),
        )
        cv2.rectangle(out, (cx - s, cy - s // 3), (cx + s, cy), some_colour(rng), -1)
        cv2.rectangle(
            out, (cx - s // 2, cy - s // 2), (cx + s // 2, cy - s // 3), some_colour(rng), -1
        )
        for dx in (-s // 2, s // 2):
            cv2.circle(out, (cx + dx, cy), max(2, s // 6), (0.06, 0.06, 0.07), -1, cv2.LINE_AA)
    out *= 1 + 0.05 * noise(rng, size, rng.uniform(1, 6))[..., None]
    return cv2.GaussianBlur(out, (0, 0), float(rng.choice([0.4, 0.8, 1.5, 3, 6])) * w / 384)


def passer_by(rng: np.random.Generator, out: F32, horizon: int) -> None:
    """A figure of a few blobs; it must be ground, since the parser looks for one person."""
    h, w = out.shape[:2]
    x, s = int(w * rng.random()), h * rng.uniform(0.05, 0.14)
    foot = horizon + int(s * rng.uniform(0.5, 2))
    skin, top, low, hair = (
        TONES[rng.integers(len(TONES))].tolist(),
        some_colour(rng),
        some_colour(rng),
        some_colour(rng),
    )
    for dx in (-0.18, 0.2):
        cv2.line(
            out,
            (x, int(foot - 1.8 * s)),
            (int(x + dx * s), foot),
            low,
            max(1, int(0.3 * s)),
            cv2.LINE_AA,
        )
    cv2.ellipse(
        out,
        (x, int(foot - 2.4 * s)),
        (int(0.42 * s), int(0.75 * s)),
        0,
        0,
        360,
        top,
        -1,
        cv2.LINE_AA,
    )
    cv2.circle(out, (x, int(foot - 3.45 * s)), max(1, int(0.3 * s)), hair, -1, cv2.LINE_AA)
    cv2.circle(out, (x, int(foot - 3.35 * s)), max(1, int(0.22 * s)), skin, -1, cv2.LINE_AA)
