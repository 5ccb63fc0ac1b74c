"""OpenPose key points of the posed rig: BODY_25 and two hands of 21, in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuw.starter.figures.human import Human, skin
from fuw.starter.figures.mesh import Array

BODY_25 = (
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee "
    "LAnkle REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
).split()
BONES = {
    "Shoulder": "upperarm01", "Elbow": "lowerarm01", "Wrist": "wrist",
    "Hip": "upperleg01", "Knee": "lowerleg01", "Ankle": "foot",
}  # fmt: skip
TOES = {"BigToe": "toe1-2", "SmallToe": "toe5-3"}
SURFACE = {  # mean of these skinned vertices
    "Nose": (297, 7063), "LEye": (14634, 14661), "REye": (14706, 14733),
    "LEar": (12106, 12195), "REar": (5507, 5598), "LHeel": (12910, 17981), "RHeel": (6314, 16611),
}  # fmt: skip


def keypoints(human: Human, v: Array, r: Array, t: Array) -> tuple[Array, Array]:
    """BODY_25 (25, 3) and hands (2, 21, 3), left first, in posed dm; v is the unposed mesh."""
    head, tail = human.joints(v)

    def at(bone: str, ends: Array = head) -> Array:
        k = human.index[bone]
        return np.asarray(r[k] @ ends[k] + t[k])

    def on_skin(ids: Sequence[int]) -> Array:
        return np.asarray(skin(human.weights[list(ids)], v[list(ids)], r, t).mean(0))

    found = {name: on_skin(ids) for name, ids in SURFACE.items()}
    for s in "LR":
        found |= {s + name: at(f"{bone}.{s}") for name, bone in BONES.items()}
        found |= {s + name: at(f"{bone}.{s}", tail) for name, bone in TOES.items()}
    found["Neck"] = (found["LShoulder"] + found["RShoulder"]) / 2
    found["MidHip"] = (found["LHip"] + found["RHip"]) / 2
    hands = []
    for s in "LR":
        points = [at("wrist." + s)]
        for f in range(1, 6):
            points += [at(f"finger{f}-{j}.{s}") for j in (1, 2, 3)] + [at(f"finger{f}-3.{s}", tail)]
        hands.append(points)
    return np.array([found[name] for name in BODY_25]), np.array(hands)
