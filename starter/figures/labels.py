"""VITON-HD label ids, and which body vertex carries which label and chart."""

from __future__ import annotations

import numpy as np

from fuw.starter.figures.charts import charts
from fuw.starter.figures.fabric import F32
from fuw.starter.figures.human import BODY, BODY_COUNT, Human
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Pixels

HAT, HAIR, GLASSES, SOCKS, NECK, FACE = 1, 2, 4, 8, 10, 13  # VITON-HD ids
LABELS = {
    "head": FACE, "neck": NECK, "torso": NECK, "upperarmL": 14, "forearmL": 14, "handL": 14,
    "upperarmR": 15, "forearmR": 15, "handR": 15, "thighL": 16, "shinL": 16, "thighR": 17,
    "shinR": 17, "footL": 18, "footR": 19,
}  # fmt: skip


class BodyMap:
    """Labels, charts and lip depth per body vertex; nothing in it changes between figures."""

    def __init__(self, human: Human) -> None:
        q = human.body_quads
        part, self.u, self.v = charts(human)
        label = np.array([LABELS[k] for k in human.part[BODY]])
        self.part_soft = soften(q, part, 25)
        self.label_soft = soften(q, label, 20)
        lips = np.zeros(len(q), bool)
        lips[human.lip_faces] = True
        self.lip_depth = rings(q, lips)
        self.scalp = np.zeros(BODY_COUNT, bool)
        self.scalp[np.unique(q[human.scalp_faces])] = True
        self.hands = np.char.startswith(human.part[BODY].astype(str), "hand")
        self.feet = np.char.startswith(human.part[BODY].astype(str), "foot")
        self.legs = np.isin(label, (16, 17, 18, 19))


def soften(quads: Array, label: Array, n: int) -> F32:
    """One-hot labels per vertex, smoothed twice along the surface (or borders are saw-toothed)."""
    hot = np.eye(n)[label]
    for _ in range(2):
        total, count = np.zeros_like(hot), np.zeros(len(label))
        mean = hot[quads].mean(1)
        for k in range(4):
            np.add.at(total, quads[:, k], mean)
            np.add.at(count, quads[:, k], 1)
        hot = total / np.maximum(count, 1)[:, None]
    return hot.astype(np.float32)


def rings(quads: Array, chosen: Array) -> Array:
    """Distance in edges of every vertex from the border of a set of faces (0 outside)."""
    inside = np.zeros(BODY_COUNT)
    inside[np.unique(quads[chosen])] = 1
    inside[np.unique(quads[~chosen])] = 0
    depth = inside.copy()
    for _ in range(12):
        low = np.full(BODY_COUNT, 99.0)
        for k in range(4):
            np.minimum.at(low, quads[:, k], depth[quads].min(1))
        depth = np.where(inside > 0, np.minimum(low + 1, 12), 0)
    return depth


def soft_label(px: Pixels, soft: F32) -> Array:
    """The label with the largest interpolated share at each pixel."""
    tri, w = px.corners()
    hard = soft.argmax(1)
    corner = hard[tri]
    out = corner[:, 0].copy()
    mixed = np.flatnonzero((corner != out[:, None]).any(1))
    out[mixed] = np.einsum("nk,nkc->nc", w[mixed], soft[tri[mixed]]).argmax(1)
    return out


UPPER, DRESS, COAT = 5, 6, 7  # VITON-HD ids
