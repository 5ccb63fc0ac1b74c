"""Random designs of a fabric: stripes, checks, prints, sheer sleeves, cloth cut from photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32, Fabric, Layout, colour, noise, read_photo
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.pose import pick

DESIGNS = {
    "plain": 3,
    "stripes": 1.6,
    "checks": 0.9,
    "dots": 0.7,
    "blobs": 0.9,
    "blocks": 0.8,
    "photo": 2.4,
    "heather": 0.8,
}


def design(
    rng: np.random.Generator,
    layout: Layout,
    photos: Sequence[Path],
    hard: Sequence[Array] = (),
    sleeves: F32 | None = None,
    buttons: bool = False,
) -> Fabric:
    """A random fabric.

    hard: colours that a parser must not rely on (the ground's grey, the wearer's skin); each is
    taken for one garment in ten. sleeves: (h, w) share of sleeve, for sleeves of other cloth.
    """
    base, second, third = colour(rng), colour(rng), colour(rng)
    luck = int(rng.random() * 10)
    if luck < len(hard):
        near = np.asarray(hard[luck]) + rng.uniform(-0.05, 0.05) + rng.normal(size=3) * 0.01
        base = np.clip(near, 0.02, 0.99).astype(np.float32)
        if rng.random() < 0.5:
            second = np.clip(base + rng.uniform(-0.1, 0.1), 0, 1).astype(np.float32)
    kind = pick(rng, DESIGNS)
    if luck < len(hard) and rng.random() < 0.5:
        kind = "plain"
    t = pattern(rng, layout, kind, (base, second, third), photos)
    t *= 1 + 0.02 * noise(rng, layout.shape, max(1, 2 * layout.px / 90))[..., None]
    opacity = None
    if sleeves is not None and rng.random() < 0.14:
        opacity = _sheer(rng, layout, sleeves)
    elif sleeves is not None and rng.random() < 0.1:
        t = t + sleeves[..., None] * (second - t)
        kind += " other sleeves"
    back = t.copy()
    if kind in ("plain", "blocks", "stripes", "heather") and rng.random() < 0.55:
        t = chest_print(rng, layout, t)
    if buttons or rng.random() < 0.12:
        t = button_row(rng, layout, t, second)
    trim = None if kind == "photo" else (base if rng.random() < 0.65 else second)
    return Fabric(layout, np.clip(t, 0, 1), np.clip(back, 0, 1), trim, kind, opacity)


Colours = tuple[F32, F32, F32]


def pattern(rng: np.random.Generator, layout: Layout, kind: str, colours: Colours,
            photos: Sequence[Path]) -> F32:
    """A texture (h, w, 3) of one design all over."""
    t = np.empty((*layout.shape, 3), np.float32)
    t[:] = colours[0]
    if kind == "photo":
        return cloth_of_photo(rng, layout, photos)
    if kind in PATTERNS:
        PATTERNS[kind](rng, layout, t, colours)
    return t


def _stripes(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    yy, xx = _rows(layout), _columns(layout)
    a = rng.choice([0, 0, np.pi / 2, rng.uniform(0, 3.1)])
    period, duty = rng.uniform(0.15, 1.6) * layout.px, rng.uniform(0.15, 0.6)
    phase = (xx * np.float32(np.sin(a)) + yy * np.float32(np.cos(a))) / np.float32(period) % 1
    t[phase < duty] = colours[1]
    if rng.random() < 0.4:
        t[(phase > 0.7) & (phase < 0.78)] = colours[2]


def _checks(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    p = rng.uniform(0.25, 1.2) * layout.px
    x, y = _columns(layout) / p, _rows(layout) / p
    share = ((x % 1) < 0.5).astype(np.float32) + ((y % 1) < 0.5)
    t += (colours[1] - t) * share[..., None] / 2
    t[((x + 0.25) % 1 < 0.06) | ((y + 0.25) % 1 < 0.06)] = colours[2]


def _dots(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    p = rng.uniform(0.25, 0.9) * layout.px
    x, y = _columns(layout) / p, _rows(layout) / p
    r = np.hypot((x + 0.5 * (np.floor(y) % 2)) % 1 - 0.5, y % 1 - 0.5)
    t[r < rng.uniform(0.12, 0.32)] = colours[1]


def _blobs(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    for c in colours[1:]:
        cloud = noise(rng, layout.shape, rng.uniform(0.09, 0.35) * layout.px)
        t[cloud > rng.uniform(0.5, 1.1)] = c


def _heather(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    cloud = noise(rng, layout.shape, max(1, 0.02 * layout.px), (1, 2))
    t += (colours[1] - t) * np.clip(0.25 + 0.2 * cloud, 0, 1)[..., None] * 0.35


def _blocks(rng: np.random.Generator, layout: Layout, t: F32, colours: Colours) -> None:
    h, w = layout.shape
    if rng.random() < 0.5:
        t[int(rng.uniform(0.3, 0.6) * h) :] = colours[1]
    else:
        t[:, abs(_columns(layout)[0] - w / 2) > rng.uniform(1.7, 2.3) * layout.px] = colours[1]


def _rows(layout: Layout) -> F32:
    return np.arange(layout.shape[0], dtype=np.float32)[:, None]


def _columns(layout: Layout) -> F32:
    return np.arange(layout.shape[1], dtype=np.float32)[None]


PATTERNS = {"stripes": _stripes, "checks": _checks, "dots": _dots, "blobs": _blobs,
            "heather": _heather, "blocks": _blocks}


def cloth_of_photo(rng: np.random.Generator, layout: Layout, photos: Sequence[Path]) -> F32:
    """Cloth cut from the middle of a real photo, its shading flattened, mirrored all over."""
    im = read_photo(photos[rng.integers(len(photos))])
    hh, ww = im.shape[:2]
    c = im[int(hh * 0.40) : int(hh * 0.66), int(ww * 0.36) : int(ww * 0.64)]
    low = cv2.GaussianBlur(c, (0, 0), 40)
    c = np.clip(c / np.maximum(low, 0.02) * low.mean((0, 1)), 0, 1)
    k = rng.uniform(2.2, 3.6) * layout.px / c.shape[1]
    c = cv2.resize(c, None, fx=k, fy=k, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_CUBIC)
    row = np.concatenate([c, c[:, ::-1]], 1)
    tile = np.concatenate([row, row[::-1]], 0)
    h, w = layout.shape
    reps = h // tile.shape[0] + 2, w // tile.shape[1] + 2, 1
    x = tile.shape[1] // 4
    return np.clip(np.tile(tile, reps)[:h, x : x + w], 0, 1).astype(np.float32)


def _sheer(rng: np.random.Generator, layout: Layout, sleeves: F32) -> F32:
    """Opacity of lace or voile sleeves, sometimes of the yoke as well."""
    h, w = layout.shape
    if rng.random() < 0.5:
        flowers = noise(rng, (h, w), rng.uniform(0.05, 0.16) * layout.px)
        seen = np.where(flowers > rng.uniform(-0.2, 0.4), 0.95, rng.uniform(0.1, 0.4))
    else:
        seen = np.full((h, w), rng.uniform(0.3, 0.7))
    where = sleeves
    if rng.random() < 0.3:
        yoke = np.clip((rng.uniform(1.6, 2.4) * layout.px - np.arange(h)[:, None]) / 4 + 0.5, 0, 1)
        where = np.maximum(sleeves, np.broadcast_to(yoke, (h, w)))
    return (1 - where * (1 - seen)).astype(np.float32)


def chest_print(rng: np.random.Generator, layout: Layout, t: F32) -> F32:
    """Letters and plain shapes on the chest; made up, nobody's brand."""
    px = layout.px
    img = np.ascontiguousarray(
        (np.clip(t, 0, 1) * 255).astype(np.uint8)
    )  # drawing text needs bytes
    cx, cy = img.shape[1] / 2, (layout.y1 - rng.uniform(3.2, 4.4)) * px
    for _ in range(rng.integers(1, 4)):
        ink = (colour(rng) * 255).tolist()
        what = rng.integers(4)
        x, y = int(cx + rng.normal() * 0.3 * px), int(cy + rng.normal() * 0.4 * px)
        s = rng.uniform(0.3, 0.9) * px
        fill = -1 if rng.random() < 0.5 else max(1, int(0.06 * px))
        if what == 0:
            letters = "".join(
                rng.choice(list("ABCDEFGHKLMNOPRSTUVWXYZ0123456789"), rng.integers(2, 8))
            )
            font, scale, thick = int(rng.integers(0, 5)), s / 22, int(s / 7) + 1
            (tw, _), _ = cv2.getTextSize(letters, font, scale, thick)
            k = min(1, 2.4 * px / max(tw, 1))
            at = (int(x - tw * k / 2), y)
            cv2.putText(img, letters, at, font, scale * k, ink, max(1, int(thick * k)), cv2.LINE_AA)
        elif what == 1:
            axes = (int(s), int(s * rng.uniform(0.4, 1.2)))
            cv2.ellipse(img, (x, y), axes, 0, 0, 360, ink, fill, cv2.LINE_AA)
        elif what == 2:
            cv2.rectangle(
                img, (int(x - s), int(y - s * 0.5)), (int(x + s), int(y + s * 0.5)), ink, fill
            )
        else:
            points = (np.array([x, y]) + rng.normal(size=(6, 2)) * s * 0.6).astype(np.int32)
            cv2.fillPoly(img, [cv2.convexHull(points)], ink, cv2.LINE_AA)
    return img.astype(np.float32) / 255


def button_row(rng: np.random.Generator, layout: Layout, t: F32, ink: F32) -> F32:
    """A placket with buttons down the middle."""
    px = layout.px
    img = np.ascontiguousarray(t)
    cx = img.shape[1] / 2
    dark = np.clip(img[img.shape[0] // 2, img.shape[1] // 2] * 0.7, 0, 1).tolist()
    for dx in (-0.16, 0.16):
        x = int(cx + dx * px)
        cv2.line(img, (x, 0), (x, img.shape[0]), dark, max(1, round(px / 90)), cv2.LINE_AA)
    step = rng.uniform(0.5, 0.8)
    for k in range(14):
        centre = (int(cx), int((layout.y1 - 5.6 + k * step) * px))
        cv2.circle(img, centre, max(1, int(0.055 * px)), ink.tolist(), -1, cv2.LINE_AA)
    return img
