"""Colours and details of a person's body: skin, hair, lips, glasses, socks, boots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fuw.starter.figures.fabric import colour
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.streams import stream

TONES = np.array(
    [[0.97, 0.83, 0.75], [0.93, 0.76, 0.66], [0.86, 0.67, 0.54], [0.76, 0.56, 0.43],
     [0.58, 0.40, 0.29], [0.44, 0.30, 0.23], [0.35, 0.24, 0.18]]
)  # fmt: skip
HAIR_COLOURS = np.array(
    [[0.06, 0.05, 0.04], [0.12, 0.08, 0.06], [0.25, 0.16, 0.10], [0.40, 0.27, 0.16],
     [0.62, 0.47, 0.28], [0.76, 0.62, 0.42], [0.86, 0.76, 0.58], [0.45, 0.20, 0.10],
     [0.45, 0.44, 0.43], [0.75, 0.74, 0.72]]
)  # fmt: skip
HAIR_SHARES = np.array([0.10, 0.13, 0.16, 0.18, 0.16, 0.11, 0.06, 0.05, 0.03, 0.02])


class Glasses(NamedTuple):
    """Sunglasses painted around the eyes, in units of the distance between the eyes."""

    colour: Array
    wide: float
    high: float


@dataclass(frozen=True)
class Looks:
    """Colours and details of one person's body."""

    tone: Array
    hair: Array
    eye: Array
    lip: Array
    lip_strength: float
    blush: float
    lids: float
    gloss: float
    brow: tuple[float, float]  # thickness in dm, density
    glasses: Glasses | None
    legwear: Array | None  # colour of tights or socks
    sock_top: float  # y on the reference body up to which legs are covered
    flat_shoes: Array | None  # colour of shoes painted onto the feet
    boots: Array | None  # colour of boots
    boot_top: float


def draw_looks(seed: int, race: Array, man: bool) -> Looks:
    """Random colours; skin and hair follow the shares of (caucasian, african, asian)."""
    rng = stream(seed, "looks")
    shade = np.clip(rng.normal(1.2 + 4.6 * race[1] + 0.8 * race[2], 0.9), 0, 6)
    tone = TONES[int(shade)] * rng.uniform(0.92, 1.04)
    any_hair = race[0] > 0.35 or rng.random() < 0.2
    hair = rng.choice(len(HAIR_COLOURS), p=HAIR_SHARES) if any_hair else rng.integers(3)
    made_up = not man and rng.random() < 0.5
    lip = (
        tone * rng.uniform([0.75, 0.4, 0.42], [1.0, 0.6, 0.62])
        if made_up
        else tone * rng.uniform(0.75, 0.88) * [1.0, 0.8, 0.8]
    )
    glasses = None
    if rng.random() < 0.16:
        dark = np.clip(rng.uniform(0.02, 0.15) + rng.normal(size=3) * 0.02, 0, 1)
        glasses = Glasses(dark, rng.uniform(0.38, 0.5), rng.uniform(0.24, 0.4))
    legwear, top = None, 9.0
    luck = rng.random()
    if luck < 0.15:  # tights
        legwear = (
            np.array([0.06, 0.06, 0.07]) + rng.uniform(0, 0.2)
            if rng.random() < 0.7
            else colour(rng)
        )
    elif luck < 0.35:  # socks
        legwear, top = (
            (np.full(3, rng.uniform(0.8, 0.95)) if rng.random() < 0.5 else colour(rng)),
            rng.uniform(-7.3, -4.5),
        )
    boots = colour(rng) * rng.uniform(0.3, 1) if luck > 0.35 and rng.random() < 0.2 else None
    flat_shoes = colour(rng) if not man and rng.random() < 0.3 else None
    return Looks(
        tone=np.clip(tone, 0, 1),
        hair=np.clip(HAIR_COLOURS[hair] * rng.uniform(0.8, 1.2), 0, 1),
        eye=colour(rng) * 0.5 + np.array([0.15, 0.1, 0.06]), lip=np.clip(lip, 0, 1),
        lip_strength=rng.uniform(0.5, 0.95), blush=rng.uniform(0.1, 0.4),
        lids=rng.uniform(0.05, 0.35),
        gloss=rng.uniform(0.02, 0.12), brow=(rng.uniform(0.028, 0.05), rng.uniform(0.45, 0.85)),
        glasses=glasses, legwear=legwear, sock_top=top, flat_shoes=flat_shoes,
        boots=boots, boot_top=rng.uniform(-7.0, -4.2),
    )  # fmt: skip
