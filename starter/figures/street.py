"""A made-up street, and the shadow that a figure throws on its pavement."""

from __future__ import annotations

import cv2
import numpy as np

from fuw.starter.figures.clutter import grid, some_colour
from fuw.starter.figures.fabric import F32, noise
from fuw.starter.figures.looks import TONES
from fuw.starter.figures.streams import stream


def wall_colour(rng: np.random.Generator) -> list[float]:
    """A colour of houses: mostly greyed."""
    c = np.array(some_colour(rng))
    keep = 1.0 if rng.random() < 0.15 else rng.uniform(0.1, 0.5)
    return [float(k) for k in c.mean() + keep * (c - c.mean())]


def street(rng: np.random.Generator, size: tuple[int, int]) -> F32:
    """A made-up street: sky, fronts or trees, pavement in perspective, cars, passers-by."""
    h, w = size
    horizon = int(h * rng.uniform(0.25, 0.62))
    out = np.empty((h, w, 3), np.float32)
    sky = rng.uniform(0.6, 0.98) + np.array([-0.06, 0, 0.06]) * rng.random()
    out[:] = np.clip(sky, 0, 1)
    if rng.random() < 0.75:
        house_fronts(rng, out, horizon)
    if rng.random() < 0.55:
        trees(rng, out, horizon)
    if rng.random() < 0.25:  # a wall of bricks or boards right behind
        out[:horizon] = wall_colour(rng)
        step = (max(4, int(w * rng.uniform(0.04, 0.2))), max(3, int(h * rng.uniform(0.012, 0.05))))
        tone = np.clip(out[0, 0] * rng.uniform(0.8, 1.2), 0, 1).tolist()
        grid(out[:horizon], (0, 0), step, (w // step[0] + 1, horizon // step[1] + 1), tone)
    for _ in range(rng.integers(0, 5)):
        passer_by(rng, out, horizon)
    for _ in range(rng.integers(0, 4)):
        car(rng, out, horizon)
    far = float(rng.choice([0.4, 1, 2, 3.5, 6])) * w / 384
    out = cv2.GaussianBlur(out, (0, 0), far)
    pavement(rng, out, horizon)
    return cv2.GaussianBlur(out, (0, 0), 0.4 + min(far, 1.5) * rng.random())


def house_fronts(rng: np.random.Generator, out: F32, horizon: int) -> None:
    """Fronts of several colours with rows of windows."""
    h, w = out.shape[:2]
    x = int(-w * rng.uniform(0, 0.3))
    while x < w:
        dx = int(w * rng.uniform(0.15, 0.7))
        top = int(h * rng.uniform(-0.3, 0.3))
        cv2.rectangle(out, (x, top), (x + dx, horizon), wall_colour(rng), -1)
        step = (max(4, int(w * rng.uniform(0.05, 0.16))), max(5, int(h * rng.uniform(0.05, 0.15))))
        count = (dx // step[0] + 1, max(1, (horizon - top) // step[1]))
        grid(out, (x + step[0] // 6, top + step[1] // 6), step, count, wall_colour(rng))
        x += dx


def trees(rng: np.random.Generator, out: F32, horizon: int) -> None:
    """Leaves and twigs: patches of green to brown noise with the sky between them."""
    h, w = out.shape[:2]
    leaf = np.array([0.25, 0.35, 0.12]) * rng.uniform(0.4, 1.8) + rng.normal(size=3) * 0.06
    crown = noise(rng, (h, w), w * rng.uniform(0.08, 0.3)) + 0.6 * noise(rng, (h, w), w * 0.015)
    light = 1 + 0.35 * noise(rng, (h, w), max(1, w * 0.008))
    share = np.clip((crown - rng.uniform(-1.2, 0.6)) * 4, 0, 1)
    share[horizon:] = 0
    out += share[..., None] * (np.clip(leaf * light[..., None], 0, 1).astype(np.float32) - out)


def car(rng: np.random.Generator, out: F32, horizon: int) -> None:
    """A car of two boxes and two wheels, standing at the horizon."""
    h, w = out.shape[:2]
    x, y = int(w * rng.random()), horizon + int(h * rng.uniform(0, 0.12))
    s = int(w * rng.uniform(0.08, 0.3))
    cv2.rectangle(out, (x - s, y - s // 3), (x + s, y), some_colour(rng), -1)
    cv2.rectangle(out, (x - s // 2, y - s // 2), (x + s // 2, y - s // 3), some_colour(rng), -1)
    for dx in (-s // 2, s // 2):
        cv2.circle(out, (x + dx, y), max(2, s // 6), (0.06, 0.06, 0.07), -1, cv2.LINE_AA)


def pavement(rng: np.random.Generator, out: F32, horizon: int) -> None:
    """Ground from the horizon down: asphalt, slabs or setts, with stains and joints."""
    h, w = out.shape[:2]
    grey = rng.uniform(0.25, 0.9)
    ground = np.full((h - horizon, w, 3), grey, np.float32) + np.float32(rng.normal(size=3) * 0.03)
    shape = ground.shape[:2]
    stains = 0.05 * rng.random() * noise(rng, shape, w * 0.1)
    ground *= (1 + stains + 0.05 * rng.random() * noise(rng, shape, 1))[..., None]
    joint = np.clip(grey * rng.uniform(0.75, 1.15) * np.ones(3), 0, 1).tolist()
    vanish = (int(w * rng.uniform(-0.3, 1.3)), 0)
    for _ in range(rng.integers(0, 14)):
        end = (int(w * rng.uniform(-1, 2)), h - horizon)
        cv2.line(ground, vanish, end, joint, int(rng.integers(1, 4)), cv2.LINE_AA)
    for k in range(rng.integers(0, 9)):
        y = int((h - horizon) * (k / 9) ** 1.7)
        cv2.line(ground, (0, y), (w, y), joint, 1, cv2.LINE_AA)
    if rng.random() < 0.15:  # a painted line
        end = (int(w * rng.uniform(-0.5, 1.5)), h - horizon)
        cv2.line(ground, vanish, end, (0.9, 0.85, 0.5), int(w * rng.uniform(0.01, 0.04)) + 1)
    out[horizon:] = ground


def cast_shadow(seed: int, ground: F32, body: F32) -> F32:
    """Darken the ground by the shadow of a standing body (its silhouette (H, W), 0..1).

    The body alone throws it, so that it is the same whatever is worn.
    """
    rng = stream(seed, "ground shadow")
    rows = np.flatnonzero(body.max(1) > 0)
    if len(rows) == 0:
        return ground
    foot, height = float(rows[-1]), float(rows[-1] - rows[0])
    middle = float(np.flatnonzero(body[rows[-1]] > 0).mean())
    squash = rng.uniform(-0.25, 0.35)  # negative: towards the camera
    lean = rng.normal() * 0.9
    shear = np.array([[1, -lean, lean * foot], [0, squash, foot * (1 - squash)]], np.float32)
    size = (ground.shape[1], ground.shape[0])
    shadow = cv2.warpAffine(body, shear, size, flags=cv2.INTER_AREA)
    shadow = cv2.GaussianBlur(shadow, (0, 0), max(0.6, height * rng.uniform(0.003, 0.03)))
    feet = np.exp(-(((np.arange(size[1]) - foot) / (0.03 * height)) ** 2))[:, None]
    near = np.exp(-(((np.arange(size[0]) - middle) / (0.18 * height)) ** 2))[None]
    dark = np.maximum(shadow, 0.7 * feet * near) * rng.uniform(0.2, 0.65)
    return (ground * (1 - dark[..., None])).astype(np.float32)


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
