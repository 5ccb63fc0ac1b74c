"""What must stay the person's own: face, hair and trousers of a fit against the photo.

Measured on the network's own picture, before any compositing (`Fit.image`, at full size).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuw.bench.measures import ssim
from fuw.engine.fitter import Fitter
from fuw.engine.records import Fit

# VITON-HD ids; lower: socks, trousers, skirt, legs, shoes.
REGIONS = {"face": (4, 13), "hair": (1, 2), "lower": (8, 9, 12, 16, 17, 18, 19)}
LEAST = 0.002  # share of the picture that makes a region


def kept(fit: Fit) -> dict[str, float]:
    """SSIM of every region that the person's photo shows, by name."""
    found = {}
    for name, ids in REGIONS.items():
        where = np.isin(fit.person.parse, ids)
        if where.mean() >= LEAST:
            found[name] = ssim(fit.image, fit.person.image, where)
    return found


def fits(fitter: Fitter, folder: Path) -> Iterator[tuple[str, Fit]]:
    """Every person_* of a folder in every cloth_* of it, by the names of both."""
    garments = {path.stem: fitter.garment(path) for path in sorted(folder.glob("cloth_*.jpg"))}
    for path in sorted(folder.glob("person_*.jpg")):
        person = fitter.person(path)
        for name, garment in garments.items():
            yield f"{path.stem}+{name}", fitter.fit(person, garment)
