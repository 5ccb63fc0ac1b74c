"""Random changes of a picture and its labels (figures.md, sections 6 and 7).

All on u8 with OpenCV and look-up tables: a sample must cost milliseconds, since the cores are
the network's. Pictures are (H, W, 3) RGB, label maps (H, W); nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.starter.training.data import Photos

Rng = np.random.Generator
Size = tuple[int, int]  # height, width

FLIPPED = np.arange(256, dtype=np.uint8)  # label ids after a left-right flip
FLIPPED[[14, 15, 16, 17, 18, 19]] = [15, 14, 17, 16, 19, 18]

HAIR, SKIN = (2,), (10, 13, 14, 15, 16, 17)
CLOTHED = ((5, 6, 7), (9, 12), (18, 19), (2,))  # regions that take other colours and textures


def random_affine(rng: Rng, source: Size, target: Size, *, scale: tuple[float, float],
                  rotation: float, shift: float, flip: float = 0.5) -> tuple[F32, bool]:
    """A 2x3 matrix from source to target pixels, and whether it mirrors.

    At scale 1 the whole source fits the target exactly in height; `shift` is in target widths,
    `rotation` in degrees (standard deviation).
    """
    k = target[0] / source[0] * float(np.exp(rng.uniform(*np.log(scale))))
    angle = np.deg2rad(rng.normal() * rotation)
    mirrored = bool(rng.random() < flip)
    cos, sin = k * np.cos(angle), k * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    if mirrored:
        turn = turn @ np.diag([-1.0, 1.0])
    centre = np.array([source[1] - 1, source[0] - 1]) / 2
    goal = np.array([target[1] - 1, target[0] - 1]) / 2 + rng.uniform(-shift, shift, 2) * target[1]
    return np.hstack([turn, (goal - turn @ centre)[:, None]]).astype(np.float32), mirrored


def warp(picture: U8, matrix: F32, size: Size, fill: Sequence[float] = (0, 0, 0)) -> U8:
    """Bilinear; what lies outside of the source takes the colour `fill`."""
    out = cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_CONSTANT, borderValue=tuple(map(float, fill)))
    return out.astype(np.uint8, copy=False)


def warp_labels(labels: U8, matrix: F32, size: Size, mirrored: bool = False) -> U8:
    """Nearest neighbour, outside is 0; sides swap their ids where the matrix mirrors."""
    out = cv2.warpAffine(labels, matrix, size[::-1], flags=cv2.INTER_NEAREST).astype(np.uint8)
    return FLIPPED[out] if mirrored else out


def warp_points(points: F32, matrix: F32) -> F32:
    """(..., 3) x, y, visible: x and y moved by the matrix."""
    moved = points.copy()
    moved[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return moved


def edge_colour(picture: U8) -> F32:
    """Median colour along the upper edge: the ground of a studio picture."""
    return np.median(picture[:4].reshape(-1, 3), axis=0).astype(np.float32)


def region(labels: U8, ids: Sequence[int]) -> U8:
    """255 where the label is one of `ids`."""
    table = np.zeros(256, np.uint8)
    table[list(ids)] = 255
    return table[labels]


def soft_matte(labels: U8) -> U8:
    """Where anything but ground is, with an edge of about a pixel."""
    return cv2.GaussianBlur((labels > 0).astype(np.uint8) * 255, (3, 3), 0).astype(np.uint8)


def over(front: U8, back: U8, matte: U8) -> U8:
    """front over back; matte (H, W) 0..255."""
    m = cv2.merge([matte, matte, matte])
    a = cv2.multiply(front, m, scale=1 / 255)
    return cv2.add(a, cv2.multiply(back, 255 - m, scale=1 / 255)).astype(np.uint8)


def fractal(rng: Rng, size: Size) -> U8:
    """Colour noise of several octaves: foliage, gravel, plaster."""
    h, w = size
    total = np.zeros((h, w, 3), np.float32)
    for cell in (64, 24, 8, 3, 1):
        coarse = rng.standard_normal((h // cell + 2, w // cell + 2, 3), dtype=np.float32)
        coarse = 0.7 * coarse.mean(2, keepdims=True) * 1.7 + 0.3 * coarse
        total += cv2.resize(coarse, (w, h)) * rng.uniform(0, 1) * (4 + cell) ** 0.5
    total = total / (total.std() + 1e-3) * rng.uniform(15, 60) + rng.uniform(40, 215, 3)
    return np.clip(total, 0, 255).astype(np.uint8)


def blocks(rng: Rng, picture: U8, count: int) -> U8:
    """Random rectangles, bars and lines: walls, windows, cars, poles, road marks."""
    out = picture.copy()
    h, w = out.shape[:2]
    for _ in range(count):
        colour = tuple(int(c) for c in rng.integers(0, 256) * rng.uniform(0.7, 1.0, 3))
        x, y = int(rng.uniform(-0.1, 1) * w), int(rng.uniform(-0.1, 1) * h)
        kind = rng.random()
        if kind < 0.5:
            cv2.rectangle(out, (x, y), (x + int(rng.uniform(0.02, 0.6) * w),
                                        y + int(rng.uniform(0.02, 0.5) * h)), colour, -1)
        elif kind < 0.75:
            cv2.line(out, (x, y), (int(rng.uniform(0, 1) * w), int(rng.uniform(0, 1) * h)),
                     colour, int(rng.integers(1, max(2, w // 20))), cv2.LINE_AA)
        else:
            axes = (int(rng.uniform(0.01, 0.25) * w), int(rng.uniform(0.01, 0.25) * w))
            cv2.ellipse(out, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1,
                        cv2.LINE_AA)
    return out


def grid(rng: Rng, picture: U8) -> U8:
    """A repeated cell over part of the picture: bricks, windows, fences, steps."""
    out = picture.copy()
    h, w = out.shape[:2]
    step_x, step_y = (int(s) for s in rng.integers(max(4, w // 40), max(6, w // 5), 2))
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    thick = int(rng.integers(1, max(2, w // 60)))
    if rng.random() < 0.75:
        for y in range(int(rng.integers(step_y)), h, step_y):
            cv2.line(out, (0, y), (w, y + int(rng.uniform(-0.1, 0.1) * w)), colour, thick)
    if rng.random() < 0.75:
        for x in range(int(rng.integers(step_x)), w, step_x):
            cv2.line(out, (x, 0), (x, h), colour, thick)
    return out


def clutter(rng: Rng, size: Size, photos: Photos) -> U8:
    """A ground that holds edges, textures and pieces of cloth, none of them the person's."""
    h, w = size
    kind = rng.random()
    if kind < 0.4:
        out = photos.crop(rng, h, w, (0.4, 1.0))
    elif kind < 0.75:
        out = fractal(rng, size)
    else:
        out = np.broadcast_to(rng.integers(30, 256, 3).astype(np.uint8), (h, w, 3)).copy()
    if rng.random() < 0.5:  # a horizon: wall above, floor below
        y = int(rng.uniform(0.4, 0.9) * h)
        floor = fractal(rng, size) if rng.random() < 0.5 else photos.crop(rng, h, w)
        out[y:] = floor[y:]
    if rng.random() < 0.5:
        out = grid(rng, out)
    if rng.random() < 0.6:
        out = blocks(rng, out, int(rng.integers(2, 14)))
    for _ in range(int(rng.integers(0, 4))):
        ph, pw = int(h * rng.uniform(0.1, 0.6)), int(w * rng.uniform(0.1, 0.6))
        y, x = int(rng.integers(h - ph)), int(rng.integers(w - pw))
        out[y : y + ph, x : x + pw] = photos.crop(rng, ph, pw)
    if rng.random() < 0.5:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.5, 6.0))).astype(np.uint8)
    return out


def curve(rng: Rng, gain: float, gamma: float, offset: float) -> U8:
    """A random tone curve per channel as a table (1, 256, 3)."""
    x = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    powers = np.exp(rng.uniform(-gamma, gamma) + rng.uniform(-gamma, gamma, 3) * 0.2)
    gains = np.exp(rng.uniform(-gain, gain) + rng.uniform(-gain, gain, 3) * 0.5)
    y = x**powers * gains + rng.uniform(-offset, offset)
    return (np.clip(y, 0, 1) * 255).astype(np.uint8)[None]


def recolour(rng: Rng, picture: U8, labels: U8, photos: Photos, chance: float = 0.5) -> U8:
    """Garments, shoes and hair in other colours or with real cloth laid over their shading."""
    out = picture
    for ids in CLOTHED:
        if rng.random() > chance:
            continue
        mask = region(labels, ids)
        if not mask.any():
            continue
        if ids != HAIR and rng.random() < 0.4:
            changed = textured(rng, out, mask, photos)
        else:
            changed = cv2.LUT(out, curve(rng, 0.8, 0.6, 0.15))
        out = over(changed, out, cv2.GaussianBlur(mask, (3, 3), 0).astype(np.uint8))
    return out


def textured(rng: Rng, picture: U8, mask: U8, photos: Photos) -> U8:
    """Real cloth under the picture's shading, everywhere; `mask` tells where to measure light."""
    h, w = mask.shape
    cloth = photos.crop(rng, h, w, (0.15, 0.8))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    level = max(30.0, float(cv2.mean(grey, mask)[0]))
    shade = cv2.merge([grey, grey, grey])
    return cv2.multiply(cloth, shade, scale=1 / level).astype(np.uint8)


def blended_in(picture: U8, mask: U8, colour: Sequence[float], contrast: float) -> U8:
    """What the mask covers takes the ground's colour: only its shading, to the power `contrast`,
    tells it from the wall behind (white on white, black on black)."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    level = max(20.0, float(cv2.mean(grey, mask)[0]))
    tones = (np.maximum(np.arange(256), 1) / level)[:, None] ** contrast * np.asarray(colour)
    table = np.clip(tones, 0, 255).astype(np.uint8)[None]
    changed = cv2.LUT(cv2.merge([grey, grey, grey]), table)
    soft = cv2.GaussianBlur(mask, (3, 3), 0)
    return over(changed.astype(np.uint8), picture, soft.astype(np.uint8))


def grain(rng: Rng, picture: U8, where: U8 | None, sigma: float) -> U8:
    """Noise of the given deviation (of 255), soft or sharp, all over or where the mask is set."""
    h, w = picture.shape[:2]
    k = int(rng.integers(1, 4))
    noise = rng.integers(-128, 128, (h // k + 1, w // k + 1, 3)).astype(np.int16)
    noise = (noise * (sigma / 74)).astype(np.int16)
    if k > 1:
        noise = cv2.resize(noise, (w, h), interpolation=cv2.INTER_LINEAR)
    noisy = np.clip(picture.astype(np.int16) + noise[:h, :w], 0, 255).astype(np.uint8)
    return noisy if where is None else np.where(where[..., None] > 0, noisy, picture)


def cutouts(rng: Rng, picture: U8, photos: Photos, count: int) -> U8:
    """Cover small places with grey or cloth; the labels stay: the network must guess."""
    out = picture.copy()
    h, w = out.shape[:2]
    for _ in range(count):
        ph, pw = int(h * rng.uniform(0.04, 0.16)), int(w * rng.uniform(0.04, 0.2))
        y, x = int(rng.integers(h - ph)), int(rng.integers(w - pw))
        flat = rng.random() < 0.6
        out[y : y + ph, x : x + pw] = (
            rng.integers(0, 256, 3) if flat else photos.crop(rng, ph, pw))
    return out


def camera(rng: Rng, picture: U8, strength: float = 1.0) -> U8:
    """Exposure, white balance, saturation, blur, noise and JPEG, as cameras and the web do."""
    out = picture
    if rng.random() < 0.85:
        out = cv2.LUT(out, curve(rng, 0.2 * strength, 0.45 * strength, 0.08 * strength))
    if rng.random() < 0.4:  # saturation
        grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
        k = float(rng.uniform(0.0, 1.5))
        out = cv2.addWeighted(out, k, cv2.merge([grey, grey, grey]), 1 - k, 0)
    if rng.random() < 0.3:  # the wrong size, enlarged
        h, w = out.shape[:2]
        k = float(rng.uniform(0.4, 0.9))
        small = cv2.resize(out, (int(w * k), int(h * k)), interpolation=cv2.INTER_AREA)
        out = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    elif rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.4:
        out = grain(rng, out.astype(np.uint8), None, float(rng.exponential(4 * strength)))
    if rng.random() < 0.3:
        out = jpeg(out.astype(np.uint8), int(rng.integers(30, 95)))
    return out.astype(np.uint8, copy=False)


def jpeg(picture: U8, quality: int) -> U8:
    """Through JPEG and back."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.uint8)
