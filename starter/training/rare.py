"""Figures that hold a rare label, so that it is met often enough to be learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fuw.starter.training.data import Figures

LEAST_SHARE = 3e-4  # of the picture: below it a label is not worth seeking
LONG_SLEEVES = 20  # stands for a top that covers the arms; no label id
TOPS, ARMS = slice(5, 8), slice(14, 16)
BARE = 0.08  # arms in shares of the top, below which it counts as covering them


@dataclass
class RareIds:
    """Which pictures of `figures` hold each of `ids` (VITON-HD's, or LONG_SLEEVES); counted once,
    at the first draw.

    Attributes:
        places: per id that occurs, its pictures as (seed, "a" or "b").
    """

    figures: Figures
    ids: Sequence[int]
    places: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    _counted: bool = False

    def count(self) -> None:
        """Look through all label maps (about 2 ms each)."""
        self._counted = True
        for seed in self.figures.seeds():
            for side in "ab":
                (parse,) = self.figures.labels(seed, f"parse_{side}")
                shares = np.bincount(parse.ravel(), minlength=256) / parse.size
                top, arms = shares[TOPS].sum(), shares[ARMS].sum()
                shares[LONG_SLEEVES] = top if arms < BARE * top else 0.0
                for label in set(self.ids):
                    if shares[label] >= LEAST_SHARE:
                        self.places.setdefault(label, []).append((seed, side))

    def pick(self, rng: np.random.Generator) -> tuple[int, str] | None:
        """A picture with a random one of the ids; None where no picture holds any.

        An id that `ids` names twice is drawn twice as often.
        """
        if not self._counted:
            self.count()
        if not self.places:
            return None
        labels = [label for label in self.ids if label in self.places]
        places = self.places[labels[int(rng.integers(len(labels)))]]
        return places[int(rng.integers(len(places)))]
