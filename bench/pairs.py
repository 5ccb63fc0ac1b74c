"""Whether a set of weights collapsed: people dressed in garments drawn at random.

A collapsed generator paints much the same whatever it is given. So the colours of the dressed
region are held against those of the given garment and of all others, and the pictures against each
other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fuw.bench.measures import F64, ciede2000, lab_of
from fuw.engine.arrays import U8, Bool
from fuw.engine.errors import NoPersonError
from fuw.engine.fitter import Fitter
from fuw.engine.records import Fit
from fuw.kernels.cpu.parse import UPPER_GROUP

SEED = 9
SHADES = 5  # parts of a region, from its darkest pixels to its lightest


@dataclass
class Pairs:
    """What was dressed: the shades (5, 3) of every dressed region and of the garment given."""

    worn: list[F64] = field(default_factory=list)
    given: list[F64] = field(default_factory=list)
    nobody: int = 0

    def note(self, fit: Fit) -> None:
        """Add a fit; a picture without any garment counts as a black one."""
        self.worn.append(shades(fit.image, fit.parts.seg == UPPER_GROUP))
        self.given.append(shades(fit.garment.image, fit.garment.mask > 0))

    def figures(self) -> dict[str, float]:
        """Of two pairs or more: own_nearer, the share in which a region is nearer to its own
        garment than to another pair's, over all others (chance: 0.5). own_nearest: the share whose
        own garment is the nearest of all (chance: 1 / n). spread: mean distance of two regions over
        that of two garments (0: all pictures alike). ciede2000: median from region to own garment.
        """
        worn, given = np.array(self.worn), np.array(self.given)
        apart, between = distances(worn, given), distances(given, given)
        own, two = np.diagonal(apart), ~np.eye(len(apart), dtype=bool)
        other = two & (between > 0)  # a garment that was given twice is nobody's other
        return {
            "own_nearer": float((own[:, None] < apart)[other].mean()),
            "own_nearest": float((own < np.where(other, apart, np.inf).min(1)).mean()),
            "spread": float(distances(worn, worn)[two].mean() / between[two].mean()),
            "ciede2000_median": float(np.median(own)),
        }


def draw(people: int, garments: int, count: int) -> list[tuple[int, int]]:
    """Indices of `count` random pairs, seeded, no person with the garment of its own index; both
    come in shuffled turns, so that each has its part."""
    if min(people, garments) < 2:
        return []
    rng, pairs = np.random.default_rng(SEED), list[tuple[int, int]]()
    while len(pairs) < count:
        turns = zip(rng.permutation(people), rng.permutation(garments), strict=False)
        pairs += [(int(who), int(what)) for who, what in turns if who != what]
    return pairs[:count]


def dress(fitter: Fitter, person: Callable[[int], U8], garment: Callable[[int], U8], known: int,
          count: int) -> Pairs:
    """Dress `count` random pairs of `known` people and garments, photos u8 (H, W, 3) that are read
    when their turn comes, as a user's are dressed."""
    pairs = Pairs()
    for who, what in draw(known, known, count):
        try:
            wearer = fitter.person(person(who))
        except NoPersonError:
            pairs.nobody += 1
            continue
        pairs.note(fitter.fit(wearer, fitter.garment(garment(what))))
    return pairs


def shades(image: U8, where: Bool) -> F64:
    """Lab (SHADES, 3): the mean colour of each fifth of the pixels `where`, by lightness, so that
    stripes and prints count and their places do not. Black where there are no pixels."""
    if np.count_nonzero(where) < SHADES:
        return np.zeros((SHADES, 3))
    lab = lab_of(image[where])
    fifths = np.array_split(lab[np.argsort(lab[:, 0], kind="stable")], SHADES)
    return np.array([fifth.mean(0) for fifth in fifths])


def distances(a: F64, b: F64) -> F64:
    """CIEDE2000 (n, m) from each of the shades (n, SHADES, 3) to each of (m, SHADES, 3)."""
    left, right = np.repeat(a, len(b), 0), np.tile(b, (len(a), 1, 1))
    apart = ciede2000(left.reshape(-1, 3), right.reshape(-1, 3))
    mean: F64 = apart.reshape(len(a), len(b), SHADES).mean(2)
    return mean
