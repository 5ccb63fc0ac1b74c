"""The corners of a garment photo on the flat front panel, and the spline between the two."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator

from fuw.starter.figures.cutout import Candidate, Corners, arc
from fuw.starter.figures.garment import GarmentSpec
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.shell import Shell

ARCS = (("neck", "outer", 6), ("inner", "pit", 3), ("pit", "hem", 5))
FLAT_WIDER = 1.15  # a garment lying flat is wider than the figure


class Template:
    """The same corners on the flat front panel, from the cut fields rather than from a picture."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.loop = _front_loop(shell)
        xy = shell.flat[self.loop]
        k = np.exp(-(np.arange(-6, 7) ** 2) / 8.0)
        closed = np.concatenate([xy[-6:], xy, xy[:6]])
        self.outline = np.stack(
            [np.convolve(closed[:, j], k / k.sum(), "valid") for j in range(2)], 1
        )
        self.table: dict[float, Array] = {}
        for g in np.arange(0.5, 1.96, 0.1):
            made = GarmentSpec("photo", max(0.0, 2 - g), float(g), 0.5, 0.1, 0.8)
            self.table[float(g)] = _lengths(self.corners(made))

    def corners(self, spec: GarmentSpec) -> Corners:
        """Corners of a garment on the flat front panel (dm)."""
        c, ids = self.outline, self.shell.ids[self.loop]
        arm, s, x, y = (self.shell.fields[k][ids] for k in ("arm", "s", "x", "y"))
        found: Corners = {}
        for side, sign in (("image_left", -1), ("image_right", 1)):
            on = c[:, 0] * sign > 0

            def best(m: Array, score: Array, on: Array = on) -> int:
                return int(np.where(m & on, score, -1e9).argmax())

            under = (c[:, 1] < 5.0) & (abs(c[:, 0]) > 1.2) & (abs(c[:, 0]) < 3.0)
            pit = best(under & (arm > 0.05) & (arm < 0.95), c[:, 1])
            above = (c - c[pit]) @ np.array([sign * 0.66, 0.75])
            half = np.median(above[on & (arm > 0.9) & (s < 1.9)])
            index = {
                "pit": pit,
                "inner": best((arm > 0.5) & (above < half), -abs(s - spec.sleeve)),
                "outer": best((arm > 0.5) & (above > half), -abs(s - spec.sleeve)),
                "neck": best((y > 5) & (arm < 0.4), -abs(abs(x) - spec.neck_width)),
                "hem": best((arm < 0.3) & (abs(x) > 0.9) & (y < 4), -abs(y - spec.hem)),
            }
            found[side] = {**{name: c[k] for name, k in index.items()}, "index": index}
        return found

    def spec_for(self, c: Candidate, rng: np.random.Generator) -> GarmentSpec:
        """The garment that a photo shows, from its length ratios."""
        a, b = c.corners["image_left"], c.corners["image_right"]
        r = _lengths(c.corners) * FLAT_WIDER
        sleeve = min(self.table, key=lambda g: abs(self.table[g][0] - r[0]))
        hem = max(0.0, 2 - min(self.table, key=lambda g: abs(self.table[g][1] - r[1])))
        wide = (b["neck"] - a["neck"])[0] / (b["pit"][0] - a["pit"][0]) * 2.6
        return GarmentSpec(
            "photo-" + c.kind, hem=max(0.0, hem + rng.uniform(-0.1, 0.6)), sleeve=sleeve,
            neck_front=rng.uniform(0.35, 0.6), neck_back=0.12,
            neck_width=float(np.clip(wide, 0.72, 1.15)),
            loose=rng.uniform(0.3, 0.9), ease=rng.uniform(0.15, 0.35), flare=rng.uniform(0, 0.3),
            tucked=bool(rng.random() < 0.2),
        )  # fmt: skip

    def spline(self, c: Candidate, spec: GarmentSpec) -> Array:
        """Examined photo pixels (n, 2) of every panel vertex."""
        mine = self.corners(spec)
        src: list[Array] = []
        dst: list[Array] = []
        for side in ("image_left", "image_right"):
            t, g = mine[side], c.corners[side]
            for name in ("pit", "inner", "outer", "neck", "hem"):
                src.append(t[name])
                dst.append(g[name])
            for a, b, k in ARCS:
                src.extend(arc(self.outline, t["index"][a], t["index"][b], k))
                dst.extend(arc(c.outline, g["index"][a], g["index"][b], k))
            for f in (0.33, 0.67):  # cuffs are straight
                src.append(t["inner"] * f + t["outer"] * (1 - f))
                dst.append(g["inner"] * f + g["outer"] * (1 - f))
        for f in (0.25, 0.5, 0.75):  # the hem follows the cut-out's lower edge
            src.append(mine["image_left"]["hem"] * f + mine["image_right"]["hem"] * (1 - f))
            y = c.corners["image_left"]["hem"] * f + c.corners["image_right"]["hem"] * (1 - f)
            column = np.flatnonzero(c.mask[:, int(round(y[0]))])
            dst.append(np.array([y[0], column.max() if len(column) else y[1]]))
        for f in (0.25, 0.5, 0.75):  # without points inside, the sleeves' stretch reaches the belly
            for down in (0.0, 0.35, 0.7):
                src.append(_within(mine, f, down))
                dst.append(_within(c.corners, f, down))
        once, keep = np.unique(np.array(src), axis=0, return_index=True)
        fit = RBFInterpolator(once, np.array(dst)[keep], kernel="thin_plate_spline", smoothing=0.02)
        return np.asarray(fit(self.shell.flat))


def _within(q: Corners, across: float, down: float) -> Array:
    """A point of the body: share `across` from left to right, `down` from armpits to hem."""
    a, b = q["image_left"], q["image_right"]
    left, right = (s["pit"] * (1 - down) + s["hem"] * down for s in (a, b))
    return np.asarray(left * (1 - across) + right * across)


def _lengths(q: Corners) -> Array:
    """Sleeve length and body length of a set of corners, in armpit-to-armpit widths."""
    a, b = q["image_left"], q["image_right"]
    width = np.linalg.norm(b["pit"] - a["pit"])
    sleeve = np.mean(
        [
            np.linalg.norm(s["outer"] - s["neck"]) + np.linalg.norm(s["inner"] - s["pit"])
            for s in (a, b)
        ]
    )
    return np.array([sleeve, abs((a["neck"] + b["neck"] - a["hem"] - b["hem"])[1]) / 2]) / width


def _front_loop(shell: Shell) -> Array:
    """Ordered border of the front panel (panel vertex numbers), its longest loop."""
    tri = shell.panel_tri[(shell.panel_tri < shell.n_front).all(1)]
    e = np.concatenate([tri[:, [0, 1]], tri[:, [1, 2]], tri[:, [2, 0]]])
    _, inverse, count = np.unique(np.sort(e, 1), axis=0, return_inverse=True, return_counts=True)
    following = {int(a): int(b) for a, b in e[count[inverse.ravel()] == 1]}
    best: list[int] = []
    seen: set[int] = set()
    for start in following:
        loop: list[int] = []
        v = start
        while v in following and v not in seen:
            seen.add(v)
            loop.append(v)
            v = following[v]
        best = max(best, loop, key=len)
    return np.array(best)
