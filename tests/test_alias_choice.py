"""The form of ALIAS that is exported is the one that a short timing found faster."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fuw.engine.arrays import F32
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.networks import network
from fuw.engine.weights import Entry
from fuw.export import alias_choice

SPEC = network("alias")
ENTRY = Entry("alias.fp32.onnx", "alias", "official", "fp32", {"height": 256, "width": 128}, "", "",
              "", batch=2)


class Clock:
    """A clock that only the sessions move."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Paced:
    """A backend whose sessions take so many milliseconds, the first time ten times as many."""

    def __init__(self, clock: Clock, pace: Mapping[str, float]) -> None:
        self.clock, self.pace = clock, pace
        self.runs: list[str] = []
        self.closed = 0
        self.shapes: set[tuple[int, ...]] = set()

    def open(self, model: Model, options: OpenOptions) -> "PacedSession":
        assert (model.precision, options.threads, options.cache) == ("bf16", 2, None)
        return PacedSession(self, model.path.stem)


class PacedSession:
    def __init__(self, backend: Paced, name: str) -> None:
        self.backend, self.name = backend, name

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        first = self.name not in self.backend.runs
        self.backend.runs.append(self.name)
        self.backend.clock.now += self.backend.pace[self.name] / 1000 * (10 if first else 1)
        self.backend.shapes |= {value.shape for value in feeds.values()}
        return [np.zeros(1, np.float32)]

    def close(self) -> None:
        self.backend.closed += 1


@pytest.mark.parametrize(("dense", "sparse", "form"), [(800, 200, "sparse"), (200, 800, "dense"),
                                                       (200, 200, "dense")])
def test_the_faster_form_is_chosen(monkeypatch: pytest.MonkeyPatch, dense: float, sparse: float,
                                   form: str) -> None:
    clock = Clock()
    backend = Paced(clock, {"dense": dense, "sparse": sparse})
    monkeypatch.setattr(alias_choice, "CPU_BACKENDS", {"openvino": lambda: backend})
    monkeypatch.setattr(alias_choice, "time", clock)
    found = alias_choice.timed(SPEC, Path("dense.onnx"), Path("sparse.onnx"), ENTRY, "openvino",
                               "bf16", 2)
    assert found.runtime == "openvino bf16" and found.form == form
    assert (found.dense_ms, found.sparse_ms) == (pytest.approx(dense), pytest.approx(sparse))
    assert backend.runs == ["dense", "sparse"] * 4  # in turn
    assert backend.closed == 2
    assert backend.shapes == {(2, 9, 256, 128), (2, 7, 256, 128), (2, 8, 256, 128),
                              (2, 1, 256, 128)}
