"""Fits from host to host: pair after pair, or a batch at a time where networks take one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuw.engine import pipeline
from fuw.engine.arrays import U8
from fuw.engine.batch_ops import BatchOps, Stacked
from fuw.engine.clock import Clock
from fuw.engine.errors import NoRoom
from fuw.engine.nets import Nets
from fuw.engine.ops import Ops
from fuw.engine.records import Garment, Parts, PartsOf, Person

Pair = tuple[Person, Garment]


def dress(nets: Nets, ops: Ops, pair: Pair, seed: int, clock: Clock) -> tuple[U8, Parts]:
    """Dress one pair."""
    person, garment = pair
    return pipeline.fit(nets, ops, person, garment.image, garment.mask, clock, ops.seg_noise(seed))


def dress_batch(nets: Nets, ops: Ops, pairs: Sequence[Pair], seed: int, clock: Clock,
                batch: int) -> list[tuple[U8, Parts]]:
    """Dress up to `batch` pairs at once; the last one fills a batch that is not full.

    Raises:
        NoRoom: a runtime got no memory for it.
    """
    try:
        return _dressed(nets, ops, pairs, seed, clock, batch)
    except Exception as error:  # runtimes have no common base for theirs
        if not out_of_memory(error):
            raise
        raise NoRoom(f"a batch of {batch} does not fit into this machine's memory; use a batch of "
                     f"{max(1, batch // 2)}, with networks that fuw-export --batch wrote for it, "
                     "or close other programs") from error


def out_of_memory(error: Exception) -> bool:
    """Whether Python, ONNX Runtime or OpenVINO says that there was no memory."""
    words = str(error).lower()
    return isinstance(error, (MemoryError, NoRoom)) or any(
        said in words for said in ("failed to allocate", "bad_alloc", "bad allocation",
                                   "cannot allocate memory"))


def _dressed(nets: Nets, ops: Ops, pairs: Sequence[Pair], seed: int, clock: Clock,
             batch: int) -> list[tuple[U8, Parts]]:
    full = [*pairs, *[pairs[-1]] * (batch - len(pairs))]
    people, garments = [p for p, _ in full], [g for _, g in full]
    worn = Stacked([p.skeleton for p in people], [p.agnostic for p in people],
                   [p.groups_agnostic for p in people])
    image, parts = pipeline.fit(
        nets, BatchOps(), worn, np.stack([g.image for g in garments]),
        np.stack([g.mask for g in garments]), clock, np.repeat(ops.seg_noise(seed), batch, 0))
    rows: list[tuple[U8, Parts]] = []
    for i in range(len(pairs)):
        one = PartsOf(parts.groups[i], parts.seg[i], parts.theta[i : i + 1], parts.warped[i],
                      parts.warped_mask[i], parts.misalign[i])
        rows.append((image[i], one))
    return rows
