"""Part numbers as DensePose counts them (1..24), with our own U and V charts, per body vertex."""

from __future__ import annotations

import numpy as np

from fuw.starter.figures.human import BODY, BODY_COUNT, Human
from fuw.starter.figures.mesh import Array

LIMBS = {  # part: from bone, to bone, {side: (front or outer, back or inner) DensePose numbers}
    "thigh": ("upperleg01", "lowerleg01", {"R": (9, 7), "L": (10, 8)}),
    "shin": ("lowerleg01", "foot", {"R": (13, 11), "L": (14, 12)}),
    "upperarm": ("upperarm01", "lowerarm01", {"L": (17, 15), "R": (18, 16)}),
    "forearm": ("lowerarm01", "wrist", {"L": (21, 19), "R": (22, 20)}),
}


def charts(human: Human) -> tuple[Array, Array, Array]:
    """Part 1..24 (n,) int, U and V (n,) in 0..1, for the n body vertices of the reference shape."""
    full = human.reference
    v, kind = full[BODY], human.part[BODY]
    part, u, w = np.zeros(BODY_COUNT, int), np.zeros(BODY_COUNT), np.zeros(BODY_COUNT)
    for name, (b0, b1, numbers) in LIMBS.items():
        for s, sign in (("L", 1), ("R", -1)):
            m = kind == name + s
            a, b = human.joint(full, f"{b0}.{s}"), human.joint(full, f"{b1}.{s}")
            length = np.linalg.norm(b - a)
            d = (b - a) / length
            ref = np.array([sign, 0.9, 0.0]) if "arm" in name else np.array([0, 0, 1.0])
            ref = ref - (ref @ d) * d
            ref /= np.linalg.norm(ref)
            q = v[m] - a
            q = q - np.outer(q @ d, d)
            front, across = q @ ref, q @ np.cross(d, ref)
            part[m] = np.where(front > 0, *numbers[s])
            u[m] = ((v[m] - a) @ d) / length
            w[m] = np.arctan2(across, abs(front)) / np.pi + 0.5
    _torso_and_head(v, kind, part, u, w)
    _hands_and_feet(human, v, kind, part, u, w)
    return part, np.clip(u, 0, 1), np.clip(w, 0, 1)


def _torso_and_head(v: Array, kind: Array, part: Array, u: Array, w: Array) -> None:
    m = kind == "torso"
    middle = np.interp(v[m][:, 1], [0, 2, 4, 6], [0.1, 0.25, 0.1, 0.05])
    part[m] = np.where(v[m][:, 2] > middle, 2, 1)
    u[m], w[m] = v[m][:, 1] / 6.0, v[m][:, 0] / 4.0 + 0.5
    m = (kind == "head") | (kind == "neck")
    part[m] = np.where(v[m][:, 0] > 0, 24, 23)
    u[m] = (v[m][:, 1] - 5.9) / 2.7
    w[m] = np.arctan2(abs(v[m][:, 0]), v[m][:, 2] - 0.3) / np.pi


def _hands_and_feet(human: Human, v: Array, kind: Array, part: Array, u: Array, w: Array) -> None:
    _, tail = human.joints(human.reference)
    for s, hand, foot in (("L", 4, 5), ("R", 3, 6)):
        a, b = human.joint(human.reference, "wrist." + s), tail[human.index[f"finger3-3.{s}"]]
        m = kind == "hand" + s
        part[m] = hand
        u[m] = ((v[m] - a) @ (b - a)) / ((b - a) @ (b - a))
        w[m] = (v[m] - a) @ np.cross((b - a) / np.linalg.norm(b - a), [0, 1, 0]) / 1.6 + 0.5
        m = kind == "foot" + s
        ankle = human.joint(human.reference, "foot." + s)
        part[m] = foot
        u[m], w[m] = (v[m][:, 2] + 0.9) / 3, (v[m][:, 0] - ankle[0]) / 1.6 + 0.5
