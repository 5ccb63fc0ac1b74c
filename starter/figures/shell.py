"""The shells that all garments are cut from, and how they hang on a body.

The upper shell is MakeHuman's "tights" helper, subdivided once; its front and back halves are
pressed flat once (ARAP), which is the layout of every texture. The skirt is the "skirt" helper.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from fuw.starter.figures.garment import GarmentSpec
from fuw.starter.figures.human import SKIRT, TIGHTS, Human
from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array, arap_flatten, quads_to_tris, smoother, subdivide
from fuw.starter.figures.raster import vertex_normals

PANEL_FLOOR = -0.9  # the flat panels end here (y on the reference body); below, legs begin
ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")


def measure(human: Human, p: Array, weights: sp.spmatrix, body: Array) -> dict[str, Array]:
    """Per vertex on the reference body: arm share, s along the arm (1 elbow, 2 wrist), x, y, z."""
    on_arm = np.array([name.startswith(ARM_BONES) for name in human.order])
    arm = np.asarray(weights[:, on_arm].sum(1)).ravel()
    s = np.zeros(len(p))
    for side in "LR":
        a, b, c = (
            human.joint(body, f"{bone}.{side}") for bone in ("upperarm01", "lowerarm01", "wrist")
        )
        on = (p[:, 0] > 0) == (side == "L")
        u, w = b - a, c - b
        s1 = ((p - a) @ u) / (u @ u)
        s2 = 1 + ((p - b) @ w) / (w @ w)
        k = np.clip((s1 - 0.8) / 0.4, 0, 1)
        s[on] = ((1 - k) * s1 + k * s2)[on]
    return {"arm": arm, "s": s * arm - 0.35 * (1 - arm), "x": p[:, 0], "y": p[:, 1], "z": p[:, 2]}


def in_front(human: Human, p: Array, fields: dict[str, Array], body: Array) -> Array:
    """Signed distance in front of the middle surface of torso and arms (positive: front panel)."""
    y = p[:, 1]
    levels = np.linspace(y.min(), y.max(), 60)
    torso = fields["arm"] < 0.3
    middle = np.full(60, np.nan)
    for k, level in enumerate(levels):
        m = torso & (abs(y - level) < 0.25) & (abs(p[:, 0]) < 2.6)
        if m.any():
            middle[k] = (p[m, 2].min() + p[m, 2].max()) / 2
    known = ~np.isnan(middle)
    middle = np.interp(levels, levels[known], middle[known])
    torso_z = np.interp(y, levels, gaussian_filter1d(middle, 2))
    arm_z = np.zeros(len(p))
    for side in "LR":
        z = [
            human.joint(body, f"{bone}.{side}")[2] for bone in ("upperarm01", "lowerarm01", "wrist")
        ]
        on = (p[:, 0] > 0) == (side == "L")
        arm_z[on] = np.interp(np.clip(fields["s"][on], 0, 2), [0, 1, 2], z)
    arm = np.clip(fields["arm"], 0, 1)
    return np.asarray(p[:, 2] - ((1 - arm) * torso_z + arm * arm_z))


def _build(human: Human) -> dict[str, Any]:
    quads = human.quads[human.groups == "helper-tights"] - TIGHTS.start
    split, quads = subdivide(quads, TIGHTS.stop - TIGHTS.start)
    n = split.shape[0]
    weights = smoother(quads, n, 0.5, 6) @ (split @ human.weights[TIGHTS])
    tri = quads_to_tris(quads)
    ref = split @ human.reference[TIGHTS]
    fields = measure(human, ref, weights, human.reference)
    front = in_front(human, ref, fields, human.reference)[tri].mean(1) > 0
    usable = (ref[:, 1] > PANEL_FLOOR)[tri].all(1)
    panels = []
    for chosen in (front & usable, ~front & usable):
        ids, t = np.unique(tri[chosen], return_inverse=True)
        t = t.reshape(-1, 3)
        panels.append((ids, t, arap_flatten(ref[ids], t, ref[ids][:, :2].astype(float))))
    n_front = len(panels[0][0])
    sq = human.quads[human.groups == "helper-skirt"] - SKIRT.start
    skirt_split, sq = subdivide(sq, SKIRT.stop - SKIRT.start)
    return {
        "split": split, "weights": weights.tocsr(), "tri": tri, "ref": ref, "fields": fields,
        "smooth": smoother(quads, n, 0.6, 4),
        "ids": np.concatenate([p[0] for p in panels]),  # shell vertex of each panel vertex
        "panel_tri": np.concatenate([panels[0][1], panels[1][1] + n_front]).astype(np.int32),
        "flat": np.concatenate([p[2] for p in panels]), "n_front": n_front,
        "skirt_split": skirt_split, "skirt_tri": quads_to_tris(sq),
        "skirt_weights": (skirt_split @ human.weights[SKIRT]).tocsr(),
        "skirt_ref": skirt_split @ human.reference[SKIRT],
    }  # fmt: skip


class Shell:
    """Geometry shared by all garments; nothing in it changes between figures."""

    def __init__(self, material: Material, human: Human, lib: ctypes.CDLL) -> None:
        self.human, self.lib = human, lib
        d = material.cached("shell", lambda: _build(human))
        self.split: sp.csr_matrix = d["split"]
        self.weights: sp.csr_matrix = d["weights"]
        self.tri: Array = d["tri"]
        self.ref: Array = d["ref"]
        self.fields: dict[str, Array] = d["fields"]
        self.smooth: sp.csr_matrix = d["smooth"]
        self.ids: Array = d["ids"]
        self.panel_tri: Array = d["panel_tri"]
        self.flat: Array = d["flat"]
        self.n_front: int = d["n_front"]
        self.on_back = np.arange(len(self.ids)) >= self.n_front
        self.skirt_split: sp.csr_matrix = d["skirt_split"]
        self.skirt_tri: Array = d["skirt_tri"]
        self.skirt_weights: sp.csr_matrix = d["skirt_weights"]
        self.skirt_ref: Array = d["skirt_ref"]

    def drape(self, v: Array, spec: GarmentSpec, rng: np.random.Generator) -> Array:
        """Rest-pose cloth (n, 3) for the body v: looser than skin, hanging from chest and seat."""
        p = self.split @ v[TIGHTS]
        f = self.fields
        n = vertex_normals(self.lib, p, self.tri)
        arm, y = f["arm"], f["y"]
        p = self._hang(p, spec.loose)
        flare = np.clip(0.2 + 2 * f["s"], 0.2, 1) + spec.flare * np.clip(f["s"], 0, 2) * arm
        # Little ease above the shoulder line: more makes the shoulders round and wide.
        torso = 0.5 * (1 - arm) * np.clip((5.3 - y) / 1.3, 0.05, 1)
        p = p + n * (0.05 + spec.ease * (torso + 0.40 * arm * flare))[:, None]
        p = self.smooth @ p if spec.loose > 0.3 else p
        amplitude = 0.05 + 0.10 * spec.loose
        wave = rng.normal(size=(6, 3)) * [0.9, 0.45, 0.9]
        phase = rng.uniform(0, 6.28, 6)
        fold = np.sin(self.ref @ wave.T + phase).mean(1)
        return np.asarray(p + n * (amplitude * fold * np.clip((5.2 - y) / 1.5, 0.15, 1))[:, None])

    def _hang(self, p: Array, loose: float) -> Array:
        """Push the torso out to the largest radius above, per height and angle."""
        f = self.fields
        y, arm = f["y"], f["arm"]
        torso = (arm < 0.35) & (y > -1.2) & (abs(f["x"]) < 2.4)
        ny, nt, lo, hi = 56, 64, -1.2, 6.2
        centre = np.interp(p[:, 1], *_middle(p[torso]))
        angle = np.arctan2(p[:, 0], p[:, 2] - centre)
        radius = np.hypot(p[:, 0], p[:, 2] - centre)
        row = np.clip((y - lo) / (hi - lo) * (ny - 1), 0, ny - 1)
        col = (angle / (2 * np.pi) + 0.5) * nt
        grid = np.zeros((ny, nt))
        np.maximum.at(
            grid,
            (np.round(row[torso]).astype(int), np.round(col[torso]).astype(int) % nt),
            radius[torso],
        )
        for _ in range(6):  # fill empty cells from their neighbours
            around = [np.roll(grid, k, a) for k in (1, -1) for a in (1, 0)]
            grid = np.where(grid > 0, grid, np.maximum.reduce(around))
        grid = gaussian_filter(grid, (1.2, 1.0), mode=("nearest", "wrap"))
        top = int((4.6 - lo) / (hi - lo) * (ny - 1))  # cloth hangs from about chest height
        for k in range(top - 1, -1, -1):
            grid[k] = np.maximum(grid[k], grid[k + 1] * (1 - 0.02 * (1 - loose)) + 0.012 * loose)
        grid = gaussian_filter(grid, (1, 1.5), mode=("nearest", "wrap"))
        r0, c0 = np.floor(row).astype(int), np.floor(col).astype(int)
        fr, fc = row - r0, col - c0
        r1, c1, c0 = np.minimum(r0 + 1, ny - 1), (c0 + 1) % nt, c0 % nt
        hang = (1 - fr) * ((1 - fc) * grid[r0, c0] + fc * grid[r0, c1])
        hang = hang + fr * ((1 - fc) * grid[r1, c0] + fc * grid[r1, c1])
        blend = (
            np.clip((4.7 - y) / 0.8, 0, 1)
            * np.clip((0.5 - arm) / 0.4, 0, 1)
            * (0.25 + 0.75 * loose)
        )
        grow = np.maximum(hang - radius, 0) * blend
        out = p.copy()
        out[:, 0] += np.sin(angle) * grow
        out[:, 2] += np.cos(angle) * grow
        return out

    def legs(self, v: Array, ease: float, wide: float) -> Array:
        """Rest-pose trousers (n, 3): the shell, ease at the hips, wide dm more down the legs."""
        p = self.split @ v[TIGHTS]
        n = vertex_normals(self.lib, p, self.tri)
        p = self.smooth @ (p + n * ease)
        down = np.clip((0.4 - self.fields["y"]) / 1.5, 0, 1)
        return np.asarray(p + n * (down * wide)[:, None])

    def skirt(self, v: Array, waist: float, flare: float, folds: int, phase: float) -> Array:
        """Rest-pose skirt (m, 3), wider below by `flare` (share at 5 dm), with standing folds."""
        p = self.skirt_split @ v[SKIRT]
        p = p + vertex_normals(self.lib, p, self.skirt_tri) * 0.22
        y = self.skirt_ref[:, 1]
        centre = np.array([0.0, 0.0, float(p[:, 2].mean())])
        drop = np.clip(waist - y, 0, None) / 5
        out = p - centre
        angle = np.arctan2(out[:, 0], out[:, 2])
        wave = np.sin(folds * angle + phase + 1.5 * np.sin(2 * angle + phase))
        out[:, [0, 2]] *= (1 + flare * drop + 0.05 * wave * np.minimum(drop * 2, 1))[:, None]
        return out + centre


def _middle(p: Array) -> tuple[Array, Array]:
    """Heights and the depth of the torso's middle at each."""
    levels = np.linspace(p[:, 1].min(), p[:, 1].max(), 40)
    k = np.clip(np.digitize(p[:, 1], levels) - 1, 0, 39)
    back, front = np.full(40, 9.0), np.full(40, -9.0)
    np.minimum.at(back, k, p[:, 2])
    np.maximum.at(front, k, p[:, 2])
    ok = front > back
    return levels[ok], gaussian_filter1d(((back + front) / 2)[ok], 2)
