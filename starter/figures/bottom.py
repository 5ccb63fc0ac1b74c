"""What is worn below the garment: trousers, shorts, leggings, skirts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fuw.starter.figures.cloth import ClothPaint
from fuw.starter.figures.design import pattern
from fuw.starter.figures.fabric import Fabric, Layout, colour, noise, wrinkles
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Part
from fuw.starter.figures.pose import pick
from fuw.starter.figures.raster import F32, vertex_normals
from fuw.starter.figures.streams import stream
from fuw.starter.figures.studio import Studio
from fuw.starter.figures.wear import TEXTURE_PX, Stand


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


PANTS, SKIRT_LABEL = 9, 12
BOTTOMS = {"jeans": 4, "trousers": 3, "leggings": 1, "shorts": 1.4, "skirt": 2.2}


@dataclass(frozen=True)
class Bottom:
    """What is worn below: y of waist and hem on the reference body."""

    kind: str
    waist: float
    low: float
    fabric: Fabric
    width: float  # dm more down the legs
    flare: float
    folds: int
    phase: float
    label: int


def draw_bottom(seed: int, studio: Studio, man: bool, width: int) -> Bottom:
    """Trousers, shorts, leggings or a skirt."""
    rng = stream(seed, "bottom")
    kind = pick(
        rng, {k: w for k, w in BOTTOMS.items() if not man or k not in ("skirt", "leggings")}
    )
    low = {"shorts": rng.uniform(-3.4, -1.2), "skirt": rng.uniform(-5.5, -1.6)}.get(
        kind, rng.uniform(-7.4, -6.4)
    )
    wide = {"leggings": 0.0, "jeans": rng.uniform(0.02, 0.15)}.get(
        kind, float(rng.choice([0.05, 0.12, 0.3, 0.5]))
    )
    layout = Layout(TEXTURE_PX * width * 0.75, x0=-3.0, y1=2.8, across=6.0, down=11.4)
    denim = kind == "jeans" or (kind in ("shorts", "skirt") and rng.random() < 0.35)
    cloth = "denim" if denim else "skirt" if kind == "skirt" else "plain"
    fabric = trousers_cloth(rng, layout, cloth, studio.files)
    return Bottom(
        kind, rng.uniform(1.5, 2.4), low, fabric, wide, rng.uniform(-0.1, 0.55),
        int(rng.integers(3, 14)), rng.uniform(0, 6.28), SKIRT_LABEL if kind == "skirt" else PANTS,
    )  # fmt: skip


def bottom_parts(
    studio: Studio, seed: int, b: Bottom, stand: Stand, tucked: bool, waist: float, per_dm: float
) -> list[Part]:
    """Trousers or a skirt under a garment; waist: its upper edge, where the garment ends."""
    shell = studio.shell
    rng = stream(seed, "bottom folds")
    folds = wrinkles(rng, b.fabric.layout, rng.uniform(0.7, 2.0))
    rest = shell.legs(stand.v, 0.16 if tucked else 0.06, 0.0 if b.kind == "skirt" else b.width)
    ref, arm = shell.ref, shell.fields["arm"]
    low = -0.4 if b.kind == "skirt" else b.low
    clip = np.stack([waist - ref[:, 1], ref[:, 1] - low, 0.3 - arm], 1)
    xyz = stand.posed(shell.weights, rest)
    bias = -0.12 if tucked else 0.1

    def paint(p: Array) -> ClothPaint:
        uv = b.fabric.layout.pixels(p[:, :2])
        gloss = 0.03 if b.kind == "leggings" else 0.01
        back = (p[:, 2] < 0).astype(np.float32)
        cloth = (b.fabric.front, b.fabric.back)
        return ClothPaint(studio.lib, cloth, uv, back, folds, uv, per_dm * 0.12, gloss=gloss)

    normal = vertex_normals(studio.lib, xyz, shell.tri)
    parts = [Part("pants", shell.tri, xyz, normal, paint(ref), b.label, clip, bias, casts=False)]
    if b.kind == "skirt":
        rest = shell.skirt(stand.v, 2.3, b.flare, b.folds, b.phase)
        ref = shell.skirt_ref
        xyz = stand.posed(shell.skirt_weights, rest)
        clip = np.stack([waist - ref[:, 1], ref[:, 1] - b.low], 1)
        normal = vertex_normals(studio.lib, xyz, shell.skirt_tri)
        bias = -0.05 if tucked else 0.35
        parts.append(Part("skirt", shell.skirt_tri, xyz, normal, paint(ref), b.label, clip, bias))
    return parts
