"""Fabric: flat front and back textures in the pattern's layout, and wrinkle height maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fuw.starter.figures.mesh import Array
from fuw.starter.figures.pose import pick

F32 = npt.NDArray[np.float32]
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


@dataclass(frozen=True)
class Layout:
    """The rectangle of flat pattern space (dm) that a texture covers, and its pixels per dm."""

    px: float
    x0: float = -5.7
    y1: float = 6.9
    across: float = 11.4
    down: float = 8.5

    @property
    def shape(self) -> tuple[int, int]:
        """Texture height and width in pixels."""
        return int(self.down * self.px), int(self.across * self.px)

    def pixels(self, flat: Array) -> F32:
        """Flat positions (n, 2) dm -> texture pixels (n, 2)."""
        return np.stack(
            [(flat[:, 0] - self.x0) * self.px, (self.y1 - flat[:, 1]) * self.px], 1
        ).astype(np.float32)


@dataclass(frozen=True)
class Fabric:
    """Textures f32 (h, w, 3) sRGB 0..1; opacity (h, w) 0..1 where the cloth is sheer, else None."""

    layout: Layout
    front: F32
    back: F32
    trim: F32 | None  # colour of hem, cuffs and neck band; None: as the cloth
    name: str
    opacity: F32 | None = None

    def over(self, ground: Array) -> tuple[F32, F32]:
        """Front and back textures as seen over a ground colour (3,)."""
        if self.opacity is None:
            return self.front, self.back
        a, g = self.opacity[..., None], np.asarray(ground, np.float32)
        return self.front * a + g * (1 - a), self.back * a + g * (1 - a)


def colour(rng: np.random.Generator) -> F32:
    """A clothing colour, sRGB 0..1: many neutrals, some saturated."""
    if rng.random() < 0.45:
        g = rng.choice([0.04, 0.07, 0.12, 0.25, 0.45, 0.7, 0.85, 0.93]) + rng.normal() * 0.02
        return np.clip(g + rng.normal(size=3) * 0.015, 0.02, 0.97).astype(np.float32)
    hsv = np.array([[[rng.integers(180), rng.integers(40, 210), rng.integers(50, 250)]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32) / 255


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size: float,
    stretch: tuple[float, float] = (1, 1),
) -> F32:
    """Smooth noise (h, w) of unit deviation, with features of about `size` pixels."""
    k = max(1, int(size))
    n = rng.standard_normal((shape[0] // k + 2, shape[1] // k + 2), np.float32)
    n = cv2.GaussianBlur(n, (0, 0), 1.2 * stretch[0], sigmaY=1.2 * stretch[1])
    n = cv2.resize(n, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(n / (n.std() + 1e-6), np.float32)


def read_photo(path: Path) -> F32:
    """A photo as f32 (h, w, 3) sRGB 0..1."""
    return cv2.imread(str(path))[..., ::-1].astype(np.float32) / 255


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


def pattern(
    rng: np.random.Generator,
    layout: Layout,
    kind: str,
    colours: tuple[F32, F32, F32],
    photos: Sequence[Path],
) -> F32:
    """A texture (h, w, 3) of one design all over."""
    base, second, third = colours
    h, w = layout.shape
    px = layout.px
    t = np.empty((h, w, 3), np.float32)
    t[:] = base
    yy, xx = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None]
    if kind == "stripes":
        a = rng.choice([0, 0, np.pi / 2, rng.uniform(0, 3.1)])
        period, duty = rng.uniform(0.15, 1.6) * px, rng.uniform(0.15, 0.6)
        phase = (xx * np.float32(np.sin(a)) + yy * np.float32(np.cos(a))) / np.float32(period) % 1
        t[phase < duty] = second
        if rng.random() < 0.4:
            t[(phase > 0.7) & (phase < 0.78)] = third
    elif kind == "checks":
        p = rng.uniform(0.25, 1.2) * px
        share = ((xx / p % 1) < 0.5).astype(np.float32) + ((yy / p % 1) < 0.5)
        t += (second - t) * share[..., None] / 2
        t[((xx / p + 0.25) % 1 < 0.06) | ((yy / p + 0.25) % 1 < 0.06)] = third
    elif kind == "dots":
        p = rng.uniform(0.25, 0.9) * px
        r = np.hypot((xx / p + 0.5 * (np.floor(yy / p) % 2)) % 1 - 0.5, yy / p % 1 - 0.5)
        t[r < rng.uniform(0.12, 0.32)] = second
    elif kind == "blobs":
        for c in (second, third):
            t[noise(rng, (h, w), rng.uniform(0.09, 0.35) * px) > rng.uniform(0.5, 1.1)] = c
    elif kind == "heather":
        t += (
            (second - t)
            * np.clip(0.25 + 0.2 * noise(rng, (h, w), max(1, 0.02 * px), (1, 2)), 0, 1)[..., None]
            * 0.35
        )
    elif kind == "blocks":
        if rng.random() < 0.5:
            t[int(rng.uniform(0.3, 0.6) * h) :] = second
        else:
            t[:, abs(xx[0] - w / 2) > rng.uniform(1.7, 2.3) * px] = second
    elif kind == "photo":
        t = cloth_of_photo(rng, layout, photos)
    return t


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


def wrinkles(rng: np.random.Generator, layout: Layout, strength: float, knit: bool = False) -> F32:
    """Height map in the layout: long soft folds, a few sharp ones; knit adds fine ribs."""
    h, w = layout.shape
    k = layout.px / 90
    lh, lw = h // 3, w // 3
    out = np.zeros((lh, lw), np.float32)
    for _ in range(3):
        n = noise(rng, (lh * 2, lw * 2), rng.uniform(7, 16) * k, (0.8, 3.0))
        turn = cv2.getRotationMatrix2D((lw, lh), rng.uniform(-60, 60), 1)
        n = cv2.warpAffine(n, turn, (lw * 2, lh * 2), borderMode=cv2.BORDER_REFLECT)
        n = n[lh // 2 : lh // 2 + lh, lw // 2 : lw // 2 + lw]
        envelope = np.clip(noise(rng, (lh, lw), 40 * k) * 0.5 + 0.5, 0, 1.3)
        sharp = rng.random() < 0.5
        out += ((1 - 1.2 * abs(n).clip(0, 1.5)) if sharp else n * 0.8) * envelope
    out = cv2.resize(cv2.GaussianBlur(out, (0, 0), max(0.6, 1.2 * k)), (w, h)) * np.float32(
        strength
    )
    if knit:
        ribs = np.sin(
            np.arange(w, dtype=np.float32) * np.float32(6.28 / (rng.uniform(0.09, 0.2) * layout.px))
        )
        out += ribs[None] * np.float32(0.12)
    return out


def trousers_cloth(
    rng: np.random.Generator, layout: Layout, kind: str, photos: Sequence[Path]
) -> Fabric:
    """Cloth for trousers and skirts in (x, y) of the reference body: denim, plain, or patterned."""
    h, w = layout.shape
    px = layout.px
    if kind == "denim":
        blue = np.array([0.16, 0.22, 0.36]) * rng.uniform(0.4, 2.0) + rng.normal(size=3) * 0.02
        grey = np.full(3, rng.choice([0.06, 0.1, 0.3, 0.75]))
        base = (blue if rng.random() < 0.65 else grey).astype(np.float32)
        t = np.empty((h, w, 3), np.float32)
        t[:] = np.clip(base, 0, 0.9)
        x = (np.arange(w) / px + layout.x0)[None]
        y = (layout.y1 - np.arange(h) / px)[:, None]
        worn = (
            np.exp(-(((abs(x) - 0.95) / 0.45) ** 2))
            * np.exp(-(((y + 1.8) / 1.6) ** 2))
            * rng.uniform(0, 0.5)
        )
        t += (0.75 - t) * worn[..., None].astype(np.float32)
        t *= 1 + 0.05 * noise(rng, (h, w), 1, (1, 2))[..., None]
    else:
        name = pick(
            rng,
            {"plain": 5, "checks": 0.6, "stripes": 0.5, "photo": 1.2, "dots": 0.3, "blobs": 0.5},
        )
        t = pattern(rng, layout, name, (colour(rng), colour(rng), colour(rng)), photos)
        t *= 1 + 0.03 * noise(rng, (h, w), max(1, 2 * px / 90))[..., None]
    front, back = _seams(rng, layout, t.copy(), kind != "skirt"), t
    return Fabric(layout, np.clip(front, 0, 1), np.clip(back, 0, 1), None, kind)


def _seams(rng: np.random.Generator, layout: Layout, t: F32, trousers: bool) -> F32:
    """Waistband, fly, pockets and side seams."""
    px = layout.px
    img = np.ascontiguousarray(t)
    thick = max(1, round(px / 60))
    tone = np.clip(img[int(img.shape[0] * 0.3), img.shape[1] // 2] * rng.uniform(0.55, 0.8), 0, 1)
    ink = (np.array([0.75, 0.5, 0.25]) if trousers and rng.random() < 0.25 else tone).tolist()

    def at(x: float, y: float) -> tuple[int, int]:
        return int((x - layout.x0) * px), int((layout.y1 - y) * px)

    if trousers:
        cv2.line(img, at(0, 2.6), at(0, 0.3), ink, thick, cv2.LINE_AA)
        cv2.ellipse(
            img, at(0, 1.4), (int(0.25 * px), int(1.0 * px)), 0, -90, 90, ink, thick, cv2.LINE_AA
        )
        for s in (-1, 1):
            cv2.ellipse(
                img,
                at(s * 1.75, 2.0),
                (int(0.75 * px), int(0.85 * px)),
                0,
                0,
                360,
                ink,
                thick,
                cv2.LINE_AA,
            )
            cv2.line(img, at(s * 1.9, 1.5), at(s * 1.6, -7), ink, thick, cv2.LINE_AA)
    if rng.random() < 0.35:  # a belt
        belt = colour(rng).tolist()
        level = rng.uniform(1.6, 2.2)
        cv2.rectangle(img, at(-3, level), at(3, level - rng.uniform(0.2, 0.4)), belt, -1)
        cv2.rectangle(img, at(-0.18, level), at(0.18, level - 0.3), (0.7, 0.65, 0.5), thick)
    return img
