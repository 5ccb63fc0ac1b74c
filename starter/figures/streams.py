"""Independent random streams: one per concern, so that a new draw in one never moves another."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, concern: str) -> np.random.Generator:
    """The generator for one concern ("pose", "garment a", ...) of one figure."""
    return np.random.default_rng([seed, zlib.crc32(concern.encode())])
