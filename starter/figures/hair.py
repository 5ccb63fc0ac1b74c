"""Hair: ragged tips, strand colour, and stray strands over the finished picture."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from fuw.starter.figures.asset import Asset
from fuw.starter.figures.human import BODY, Human
from fuw.starter.figures.labels import BodyMap
from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array, quad_edges
from fuw.starter.figures.part import Pixels, Surface
from fuw.starter.figures.raster import F32

WOMEN = {
    "long01": 4.5, "bob02": 2.2, "ponytail01": 1.8, "braid01": 1, "afro01": 0.6, "short01": 0.5,
    "short03": 0.3, "bob01": 0.3,
}  # fmt: skip
MEN = {"short01": 1, "short02": 1, "short03": 1, "short04": 1, "afro01": 0.5, "long01": 0.15}


class HairStyle(NamedTuple):
    """A hair mesh and, per vertex, how far along the hair it lies (0 scalp .. 1 tip)."""

    asset: Asset
    along: F32
    angle: F32
    downstream: Array  # neighbour further along, per vertex (itself at a tip)


def load_style(material: Material, human: Human, body: BodyMap, name: str) -> HairStyle:
    """Read a style and measure it once on the reference body."""
    asset = Asset(material, human, "hair", name)

    def build() -> tuple[F32, F32, Array]:
        return _measure(asset, human, body)

    return HairStyle(asset, *material.cached(f"hair_{name}", build))


def _measure(asset: Asset, human: Human, body: BodyMap) -> tuple[F32, F32, Array]:
    p = asset.fit(human.reference)
    skin = human.reference[BODY]
    scalp = skin[body.scalp]
    near = np.array([np.sqrt(((scalp - q) ** 2).sum(1).min()) for q in p])
    edges = quad_edges(asset.quads)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    length = np.linalg.norm(p[edges[:, 0]] - p[edges[:, 1]], axis=1) + 1e-4
    n = len(p)
    roots = np.flatnonzero(near < max(0.12, np.quantile(near, 0.02)))
    graph = sp.csr_matrix((length, (edges[:, 0], edges[:, 1])), (n + 1, n + 1))
    graph = graph + sp.csr_matrix(
        (np.full(len(roots), 1e-3), (np.full(len(roots), n), roots)), (n + 1, n + 1)
    )
    d = dijkstra(graph, directed=False, indices=n)[:n]
    # Plates that touch the scalp nowhere: their own distance from it.
    d = np.where(np.isfinite(d), d, near)
    along = d / max(float(np.quantile(d, 0.995)), 1e-3)
    down = np.arange(n)
    best = d.copy()
    for a, b in np.concatenate([edges, edges[:, ::-1]]):
        if d[b] > best[a]:
            best[a], down[a] = d[b], b
    angle = np.arctan2(p[:, 0], p[:, 2] - skin[body.scalp][:, 2].mean())
    return along.astype(np.float32), angle.astype(np.float32), down


def tip_clip(style: HairStyle) -> F32:
    """Clip columns for the rasteriser: distance to the tip, strand coordinate."""
    return np.column_stack([1.02 - style.along, style.angle]).astype(np.float32)


class HairPaint:
    """Strand-like light and dark along the texture's u, a little tint per lock."""

    def __init__(self, style: HairStyle, tint: Array, rng: np.random.Generator) -> None:
        self.uv = style.asset.uv
        self.lock = np.column_stack([style.along, style.angle]).astype(np.float32)
        self.tint = np.asarray(tint, np.float32)
        self.tips = float(rng.uniform(-0.15, 0.35))
        # A quarter has fairer ends, as dyed or bleached hair does.
        self.ends = np.clip(
            self.tint + rng.uniform(0.1, 0.4) * np.float32([1.0, 0.8, 0.55]), 0, 0.95
        )
        self.dyed = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.25 else 0.0
        self.phase = float(rng.uniform(0, 6.28))

    def __call__(self, px: Pixels) -> Surface:
        uv, lock = px.at(self.uv), px.at(self.lock)
        u, v = uv[:, 0], uv[:, 1]
        s = np.sin(u * 900 + 9 * np.sin(u * 77 + self.phase)) * 0.5 + np.sin(u * 2300) * 0.3
        s += np.sin(u * 310 + v * 8) * 0.4
        shade = (
            (1 + 0.28 * s)
            * (1 + 0.12 * np.sin(lock[:, 1] * 23 + self.phase))
            * (1 + self.tips * lock[:, 0])
        )
        share = self.dyed * np.clip(lock[:, :1] * 1.5 - 0.4, 0, 1)
        rgb = self.tint + share * (self.ends - self.tint)
        return Surface((rgb * shade[:, None]).astype(np.float32), 0.05, s * 1.1)


def stray_strands(
    rng: np.random.Generator,
    style: HairStyle,
    screen: Array,
    depth: F32,
    size: tuple[int, int],
    smaller: int,
) -> F32:
    """Opacity (h, w) of thin single hairs that leave the hair's surface.

    screen: (n, 3) picture positions and depth of the hair's vertices; depth: the z-buffer of the
    supersampled picture; size: (w, h) of the result.
    """
    w, h = size
    layer = np.zeros((h, w), np.uint8)
    count = int(rng.uniform(40, 260))
    starts = rng.integers(len(screen), size=count)
    head = np.array([w * 0.08, h * 0.06]) * (screen[:, 0].max() - screen[:, 0].min()) / w * 2
    for start in starts:
        chain = [start]
        for _ in range(int(rng.integers(2, 6))):
            chain.append(style.downstream[chain[-1]])
        p = screen[chain]
        x, y = int(p[0, 0] * smaller), int(p[0, 1] * smaller)
        if (
            not (0 <= x < depth.shape[1] and 0 <= y < depth.shape[0])
            or p[0, 2] > depth[y, x] + 0.12
        ):
            continue  # behind the head or outside
        sway = np.linspace(0, 1, len(chain))[:, None] ** 1.5 * rng.normal(size=2) * head * 0.18
        points = np.round((p[:, :2] + sway) * 16).astype(np.int32)
        cv2.polylines(layer, [points], False, int(rng.integers(30, 140)), 1, cv2.LINE_AA, 4)
    return np.asarray(layer.astype(np.float32) / 255)
