"""A made-up person's parse map: what the two forms of ALIAS are timed on.

The label-sparse form's time depends on how many different windows a map has; smooth random blobs
have fewer outlines than a person.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32

GROUPS, UPPER = 7, 2


def person_map(height: int, width: int, shift: int = 0) -> npt.NDArray[np.int64]:
    """A made-up parse of a person: (height, width) ids 0..6, moved right by `shift` / 1024."""
    y, x = np.mgrid[:height, :width] / (height / 1024)
    x = x - width / height * 512 - shift
    ids = np.zeros((height, width), np.int64)
    for label, cx, cy, rx, ry, tilt in (
        (3, 0, 170, 105, 150, 0.0), (1, 0, 190, 70, 95, 0.0), (1, 0, 850, 170, 260, 0.0),
        (2, 0, 520, 190, 250, 0.0), (4, -210, 560, 45, 220, 0.25), (5, 210, 560, 45, 220, -0.25),
    ):  # hair, face, legs, garment, arms
        u = (x - cx) * np.cos(tilt) + (y - cy) * np.sin(tilt)
        v = (y - cy) * np.cos(tilt) - (x - cx) * np.sin(tilt)
        ids[(u / rx) ** 2 + (v / ry) ** 2 < 1] = label
    return ids


def alias_inputs(ids: npt.NDArray[np.int64], batch: int = 1) -> list[F32]:
    """x, seg, seg_div, misalign of a map (height, width): the garment's lower part misaligned,
    softly; x is noise, which costs what a picture does."""
    height, width = ids.shape
    seg = (ids[None, None] == np.arange(GROUPS)[None, :, None, None]).astype(np.float32)
    rows = np.linspace(0, 1, height, dtype=np.float32)[None, None, :, None]
    misalign = (np.clip((rows - 0.6) * 20, 0, 1) * seg[:, UPPER : UPPER + 1]).astype(np.float32)
    split = np.concatenate((seg, misalign), 1)
    split[:, UPPER : UPPER + 1] -= misalign
    x = np.random.default_rng(0).uniform(-1, 1, (1, 9, height, width)).astype(np.float32)
    return [np.repeat(a, batch, 0) for a in (x, seg, split, misalign)]
