"""MakeHuman's hm08 base mesh: shape targets, skeleton, skinning, and which vertex is which part.

Units are decimetres; x to the person's left, y up, z forward; y = 0 is about the hips.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array, read_obj

BODY, EYES = slice(0, 13380), slice(14598, 14742)
TIGHTS, SKIRT = slice(15328, 18002), slice(18002, 18722)
BODY_COUNT = BODY.stop
PARTS = {
    "hand": ("wrist", "finger", "metacarpal"),
    "foot": ("foot", "toe"),
    "thigh": ("upperleg",),
    "shin": ("lowerleg",),
    "upperarm": ("upperarm",),
    "forearm": ("lowerarm",),
}
DETAILS = (
    "arms buttocks cheek chin ears eyebrows eyes forehead head hip legs mouth neck nose "
    "stomach torso"
)


def read_target(path: Any) -> tuple[Array, Array] | None:
    """A sparse shape target: vertex numbers (n,) and offsets (n, 3) in dm; None if it is empty."""
    with gzip.open(path, "rt") as f:
        rows = [line.split() for line in f if line[0] != "#" and line.strip()]
    if not rows:
        return None
    a = np.array(rows, float)
    return a[:, 0].astype(np.int32), a[:, 1:].astype(np.float32)


def part_of(bone: str) -> str:
    """Body part of a bone: torso, neck, head, or a limb with its side, as in "forearmL"."""
    side = bone[-1] if bone.endswith((".L", ".R")) else ""
    name = bone.split(".")[0].rstrip("0123456789-")
    for part, prefixes in PARTS.items():
        if name.startswith(prefixes):
            return part + side
    if name in ("root", "pelvis", "spine", "breast", "clavicle", "shoulder"):
        return "torso"
    return "neck" if name == "neck" else "head"


def _load(material: Material) -> dict[str, Any]:
    root = material.makehuman
    obj = read_obj(root / "3dobjs" / "base.obj")
    rig = json.loads((root / "rigs" / "default.mhskel").read_text())
    bones = rig["bones"]
    order: list[str] = []
    while len(order) < len(bones):  # parents first
        order += [
            b
            for b in bones
            if b not in order and (bones[b]["parent"] is None or bones[b]["parent"] in order)
        ]
    weights = json.loads((root / "rigs" / "default_weights.mhw").read_text())["weights"]
    rows = [(i, j, x) for j, b in enumerate(order) for i, x in weights.get(b, [])]
    i, j, x = np.array(rows).T
    w = sp.csr_matrix((x, (i.astype(int), j.astype(int))), (len(obj.vertices), len(order)))
    w = sp.diags(1 / np.maximum(np.asarray(w.sum(1)).ravel(), 1e-9)) @ w  # tights sum to 0.54 only

    def layer(name: str) -> Array:
        with gzip.open(root / "uv_layers" / f"{name}_solid.json.gz") as f:
            return np.array(sorted(int(k) for k in json.loads(f.read())))

    targets = {
        p.name[:-10]: read_target(p)
        for p in (root / "targets" / "macrodetails").rglob("*.target.gz")
    }
    for folder in DETAILS.split():
        targets |= {
            p.name[:-10]: read_target(p) for p in (root / "targets" / folder).glob("*.target.gz")
        }
    units = root / "targets" / "expression" / "units" / "caucasian"
    targets |= {"express-" + p.name[:-10]: read_target(p) for p in units.glob("*.target.gz")}
    return {
        "v": obj.vertices, "f": obj.faces, "g": obj.groups,
        "targets": {k: t for k, t in targets.items() if t is not None},
        "order": order,
        "parent": [order.index(p) if (p := bones[b]["parent"]) is not None else -1 for b in order],
        "head": [rig["joints"][bones[b]["head"]] for b in order],
        "tail": [rig["joints"][bones[b]["tail"]] for b in order],
        "weights": w.tocsr(), "lips": layer("lips"), "scalp": layer("scalp"),
    }  # fmt: skip


def _dense(i: Array, d: Array, n: int) -> tuple[Array | None, Array]:
    """A target that moves nearly all vertices as (n, 3) offsets, which add ten times faster."""
    if len(i) < 0.7 * n:
        return i, d
    out = np.zeros((n, 3), np.float32)
    out[i] = d
    return None, out


def _means(groups: list[list[int]], n: int) -> sp.csr_matrix:
    """The matrix (groups, n) that takes vertices to the mean of each group."""
    rows = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    share = np.concatenate([np.full(len(g), 1 / len(g)) for g in groups])
    return sp.csr_matrix((share, (rows, np.concatenate(groups))), (len(groups), n))


def _two(x: float, low: str, high: str) -> dict[str, float]:
    return {low: 1 - x, high: x}


def _three(x: float, low: str, mid: str, high: str) -> dict[str, float]:
    return _two(x * 2, low, mid) if x < 0.5 else _two(x * 2 - 1, mid, high)


class Human:
    """The base mesh, its targets and its rig; nothing in it changes between figures."""

    def __init__(self, material: Material) -> None:
        d = material.cached("human", lambda: _load(material))
        self.v: Array = d["v"]
        self.quads: Array = d["f"]
        self.groups: Array = d["g"]
        self.targets = {k: _dense(*t, len(self.v)) for k, t in d["targets"].items()}
        self.order: list[str] = d["order"]
        self.parent: list[int] = d["parent"]
        self.heads: list[list[int]] = d["head"]
        self.tails: list[list[int]] = d["tail"]
        self.weights: sp.csr_matrix = d["weights"]
        self.lip_faces: Array = d["lips"]
        self.scalp_faces: Array = d["scalp"]
        self._ends = _means(self.heads + self.tails, len(self.v))
        self.index = {b: i for i, b in enumerate(self.order)}
        self.body_quads = self.quads[self.groups == "body"]
        dominant = np.asarray(self.weights.argmax(1)).ravel()
        self.part = np.array([part_of(b) for b in self.order])[dominant]  # of every vertex
        self.reference = self.shape(gender=0.3)  # the body on which cut fields are measured

    def shape(
        self,
        gender: float = 0.0,
        age: float = 0.5,
        muscle: float = 0.5,
        weight: float = 0.5,
        height: float = 0.5,
        proportions: float = 0.5,
        race: Sequence[float] = (1, 0, 0),
        details: Mapping[str, float] | None = None,
    ) -> Array:
        """All vertices (19158, 3) f32 of a body.

        gender 0 female .. 1 male; age 0.5 young .. 1 old; the others 0..1 with 0.5 the middle; race
        weights caucasian, african, asian. A macro target's weight is the product of the weights
        of the words in its name; `details` adds single targets by name.
        """
        v = self.v.astype(np.float32)

        def add(name: str, w: float) -> None:
            if abs(w) > 1e-4 and name in self.targets:
                i, d = self.targets[name]
                if i is None:
                    np.add(v, np.float32(w) * d, out=v)
                else:
                    v[i] += np.float32(w) * d

        total = sum(race)
        shares = [
            (r, x / total) for r, x in zip(("caucasian", "african", "asian"), race, strict=True)
        ]
        ends = _three(height, "minheight", "", "maxheight")
        ends |= _three(proportions, "uncommonproportions", "", "idealproportions")
        ends.pop("", None)
        for g, wg in _two(gender, "female", "male").items():
            for a, wa in _two(age * 2 - 1, "young", "old").items():
                for r, wr in shares:
                    add(f"{r}-{g}-{a}", wr * wg * wa)
                for m, wm in _three(muscle, "minmuscle", "averagemuscle", "maxmuscle").items():
                    for k, wk in _three(weight, "minweight", "averageweight", "maxweight").items():
                        w = wg * wa * wm * wk
                        add(f"universal-{g}-{a}-{m}-{k}", w)
                        for end, we in ends.items():
                            add(f"{g}-{a}-{m}-{k}-{end}", w * we)
        for name, w in (details or {}).items():
            add(name, w)
        return v

    def joints(self, v: Array) -> tuple[Array, Array]:
        """Head and tail of every bone (B, 3) on the unposed vertices v."""
        ends = self._ends @ v
        return ends[: len(self.order)], ends[len(self.order) :]

    def joint(self, v: Array, bone: str) -> Array:
        """Where a bone begins, on the unposed vertices v."""
        return np.asarray(v[self.heads[self.index[bone]]].mean(0))

    def pose_bones(self, v: Array, turns: Mapping[str, Array]) -> tuple[Array, Array]:
        """Rotation R (B, 3, 3) and shift t (B, 3) per bone, x' = R x + t.

        turns: bone -> rotation (3, 3) in world axes, on top of its parent's.
        """
        head, _ = self.joints(v)
        n = len(self.order)
        r, pos = np.zeros((n, 3, 3)), np.zeros((n, 3))
        for i, b in enumerate(self.order):
            p = self.parent[i]
            above = np.eye(3) if p < 0 else r[p]
            pos[i] = head[i] if p < 0 else pos[p] + above @ (head[i] - head[p])
            r[i] = turns[b] @ above if b in turns else above
        return r, pos - np.einsum("nij,nj->ni", r, head)


def skin(weights: sp.csr_matrix, v: Array, r: Array, t: Array) -> Array:
    """Linear blend skinning: weights (V, B), v (V, 3), bones r, t -> posed (V, 3)."""
    m = (weights @ np.concatenate([r, t[:, :, None]], 2).reshape(len(r), 12)).reshape(-1, 3, 4)
    return np.asarray(np.einsum("nij,nj->ni", m[:, :, :3], v) + m[:, :, 3])
