"""The body a person has: shape, face, looks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fuw.starter.figures.human import Human
from fuw.starter.figures.looks import Looks, draw_looks
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.streams import stream

FACES = ("head-", "mouth-", "nose-", "chin-", "forehead-", "l-eye-", "l-cheek-", "l-ear-", "neck-")
TOO_FAR = ("trans", "angle-", "jaw-drop", "pointed", "rotat")


class Traits(NamedTuple):
    """The body a person has."""

    man: bool
    race: Array  # (3,) shares of caucasian, african, asian
    v: Array  # all vertices, rest pose
    looks: Looks


def draw_traits(seed: int, human: Human) -> Traits:
    """The body of a seed."""
    rng = stream(seed, "shape")
    man = bool(rng.random() < 0.36)
    race = rng.dirichlet([0.8, 0.5, 0.5])
    details = _face(rng, human)
    details["measure-shoulder-dist-decr"] = rng.uniform(0.1, 0.9)
    details["measure-bust-circ-" + ("incr" if rng.random() < 0.5 else "decr")] = (
        0 if man else rng.uniform(0, 0.5)
    )
    v = human.shape(
        gender=np.clip(rng.normal(0.93 if man else 0.07, 0.08), 0, 1),
        age=0.5 + 0.5 * rng.beta(1, 3.5), muscle=rng.beta(3, 3.5), weight=rng.beta(1.9, 4.5),
        height=np.clip(rng.normal(0.6, 0.15), 0, 1), proportions=rng.beta(5, 2),
        race=race, details=details,
    )  # fmt: skip
    return Traits(man, race, v, draw_looks(seed, race, man))


def _face(rng: np.random.Generator, human: Human) -> dict[str, float]:
    """Random face targets, both sides alike, and an expression without the base mesh's frown."""
    names = sorted(
        n for n in human.targets if n.startswith(FACES) and not any(w in n for w in TOO_FAR)
    )
    out: dict[str, float] = {}
    for name in rng.choice(names, 14, replace=False):
        w = float(rng.uniform(0, 0.55))
        out[str(name)] = w
        if name.startswith("l-"):
            out["r-" + name[2:]] = w
    calm, smile = rng.uniform(0.2, 0.8), max(0.0, rng.uniform(-0.4, 0.8))
    for side in ("left", "right"):
        out[f"express-eyebrows-{side}-inner-up"] = calm
        out[f"express-eye-{side}-opened-up"] = rng.uniform(0, 0.3)
    out["express-mouth-corner-puller"] = smile
    return out
