"""Meshes that are fitted to the base mesh by a MakeHuman `.mhclo` file: hair, shoes, brows, hat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from fuw.starter.figures.human import Human
from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array, quads_to_tris, read_obj


def read_fit(path: Path) -> tuple[Array, dict[int, tuple[int, int, float]]]:
    """Rows (n, 9) `v1 v2 v3 w1 w2 w3 dx dy dz` and the reference lengths per axis."""
    rows: list[list[float]] = []
    scale: dict[int, tuple[int, int, float]] = {}
    inside = False
    for line in path.read_text(errors="replace").splitlines():
        p = line.split()
        if p[:1] == ["verts"]:
            inside = True
        elif p and p[0] in ("x_scale", "y_scale", "z_scale"):
            scale["xyz".index(p[0][0])] = int(p[1]), int(p[2]), float(p[3])
        elif inside and p and p[0][0].isdigit():
            rows.append(
                [float(x) for x in p] if len(p) == 9 else [float(p[0])] * 3 + [1, 0, 0, 0, 0, 0]
            )
        elif inside and p:
            inside = not rows
    return np.array(rows), scale


class Asset:
    """A fitted mesh: vertex = w1 V1 + w2 V2 + w3 V3 + offset * scale on the unposed body."""

    def __init__(
        self, material: Material, human: Human, folder: str, name: str, file: str = ""
    ) -> None:
        base = material.makehuman / "assets" / folder / name / (file or name)
        obj = material.cached(f"asset_{name}", lambda: read_obj(base.with_suffix(".obj")))
        rows, self.scale = read_fit(base.with_suffix(".mhclo"))
        n = len(rows)
        self.offset = rows[:, 6:]
        at = (np.repeat(np.arange(n), 3), rows[:, :3].astype(int).ravel())
        self.mix = sp.csr_matrix((rows[:, 3:6].ravel(), at), (n, len(human.v)))
        w = abs(self.mix) @ human.weights  # some mixing weights are negative
        self.weights = sp.diags(1 / np.maximum(np.asarray(w.sum(1)).ravel(), 1e-9)) @ w
        self.quads = obj.faces
        self.tri = quads_to_tris(obj.faces)
        self.uv = np.zeros((n, 2), np.float32)
        if len(obj.uvs):
            self.uv[obj.faces.ravel()] = obj.uvs[obj.face_uvs.ravel()]

    def fit(self, v: Array) -> Array:
        """The mesh (n, 3) on the unposed body v."""
        lengths = [
            abs(v[self.scale[k][0], k] - v[self.scale[k][1], k]) / self.scale[k][2]
            for k in range(3)
        ]
        return np.asarray(self.mix @ v + self.offset * np.array(lengths))
