"""Which form of ALIAS is faster here, dense or label-sparse: timed at export, not assumed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.choose import CPU_BACKENDS
from fuw.engine.spec import NetSpec
from fuw.engine.weights import Entry
from fuw.export.alias_case import alias_inputs, person_map

log = logging.getLogger(__name__)

Form = Literal["dense", "sparse"]
ROUNDS = 3


@dataclass(frozen=True)
class Timed:
    """Wall milliseconds of one picture in both forms, the best of the rounds.

    Attributes:
        runtime: backend and precision, for example "openvino bf16".
    """

    runtime: str
    dense_ms: float
    sparse_ms: float

    @property
    def form(self) -> Form:
        """The faster form."""
        return "sparse" if self.sparse_ms < self.dense_ms else "dense"


def timed(spec: NetSpec, dense: Path, sparse: Path, entry: Entry, runtime: str, precision: str,
          threads: int = 0) -> Timed:
    """Run both files in turn, once to warm up and `ROUNDS` times more; the least time counts.

    Timed on a made-up person's parse map of the entry's size and not on a proof's inputs: the
    sparse form's time depends on the map, and proofs draw blobs with other outlines.

    Args:
        dense, sparse: fp32 ONNX files of the same network.
        entry: its variant, sizes and batch.
        runtime: a CPU backend's name. precision: what it is to compute in.
        threads: 0 is all cores.

    Raises:
        BackendError: the runtime does not open one of the files.
    """
    size = entry.sizes["height"], entry.sizes["width"]
    feeds = dict(zip((t.name for t in spec.inputs), alias_inputs(person_map(*size), entry.batch),
                     strict=True))
    sessions: dict[Form, Session] = {}
    try:
        for form, path in (("dense", dense), ("sparse", sparse)):
            model = Model(spec, entry.variant, path, precision, entry.sizes, entry.batch)
            sessions[form] = CPU_BACKENDS[runtime]().open(  # type: ignore[index]
                model, OpenOptions(threads=threads))
        best = {form: float("inf") for form in sessions}
        for turn in range(1 + ROUNDS):
            for form, session in sessions.items():
                start = time.perf_counter()
                session.run(feeds)
                spent = (time.perf_counter() - start) * 1000
                best[form] = min(best[form], spent) if turn else best[form]
    finally:
        for session in sessions.values():
            session.close()
    found = Timed(f"{runtime} {precision}", best["dense"], best["sparse"])
    log.info("alias in %s: dense %.0f ms, sparse %.0f ms; %s is taken", found.runtime,
             found.dense_ms, found.sparse_ms, found.form)
    return found
