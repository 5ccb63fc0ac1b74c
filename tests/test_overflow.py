"""A parse map too busy for the sparse ALIAS runs on the dense one, and the log says so once."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fuw.engine.arrays import F32
from fuw.engine.backend import Model, Network, OpenOptions
from fuw.engine.networks import network
from fuw.engine.overflow import CAPACITY, open_share
from fuw.engine.weights import Entry, find_models, write_manifest
from fuw.export.alias_case import alias_inputs, person_map

SPEC = network("alias")
SIZES = {"height": 256, "width": 128}
DENSE = Model(SPEC, "official", Path("dense.onnx"), "fp32", SIZES)
SPARSE = replace(DENSE, path=Path("sparse.onnx"), form="sparse", dense=DENSE)


class Told:
    """A backend whose sessions answer with the name of their file."""

    name = "told"

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []

    def open(self, model: Model, options: OpenOptions) -> "ToldSession":
        self.opened.append(model.path.name)
        return ToldSession(self, model.path.name)


class ToldSession:
    def __init__(self, backend: Told, name: str) -> None:
        self.backend, self.name = backend, name

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        return [np.full(1, float(self.name == "dense.onnx"), np.float32)]

    def close(self) -> None:
        self.backend.closed.append(self.name)


def checkerboard() -> np.ndarray:
    rows, columns = np.mgrid[:256, :128]
    return ((rows + columns) % 2).astype(np.int64)


def test_the_share_of_open_windows_is_that_of_a_plain_count() -> None:
    ids = person_map(256, 128)
    seg = alias_inputs(ids)[1]
    framed = np.pad(ids, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (5, 5))
    mixed = (windows != windows[:, :, 2:3, 2:3]).any((2, 3)).mean()
    assert open_share(seg) == pytest.approx(mixed, abs=1e-9)
    assert open_share(np.concatenate((seg, np.zeros_like(seg)))) == pytest.approx(mixed / 2)


@pytest.mark.parametrize("name", ["checkerboard", "noise", "one channel of two", "fractional"])
def test_busy_maps_are_open_everywhere(name: str) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 7, (256, 128))
    seg = alias_inputs(noise if name == "noise" else checkerboard())[1]
    if name == "one channel of two":  # not one-hot, equal sums
        seg = np.stack([np.full((256, 128), 0.5), rng.random((256, 128))])[None].astype(np.float32)
    if name == "fractional":
        seg = rng.random((1, 7, 256, 128), np.float32)
    assert open_share(seg) > 0.9


def test_one_label_and_a_person_are_not() -> None:
    assert open_share(alias_inputs(np.full((256, 128), 3))[1]) == 0
    assert open_share(alias_inputs(person_map(1024, 768))[1]) < CAPACITY / 2


def test_a_busy_map_runs_dense_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    backend = Told()
    net = Network(SPARSE, backend, OpenOptions())
    torn, person = alias_inputs(checkerboard()), alias_inputs(np.full((256, 128), 3))
    with caplog.at_level(logging.WARNING):
        assert [net(*inputs)[0][0] for inputs in (person, torn, torn, person)] == [0, 1, 1, 0]
    assert backend.opened == ["sparse.onnx", "dense.onnx"]
    (line,) = caplog.messages
    assert "alias: 100 % of" in line and "past 15 % it overflows" in line and "dense.onnx" in line
    net.close()
    assert sorted(backend.closed) == ["dense.onnx", "sparse.onnx"]


def test_without_a_dense_file_the_sparse_one_answers(caplog: pytest.LogCaptureFixture) -> None:
    backend = Told()
    with Network(replace(SPARSE, dense=None), backend, OpenOptions()) as net:
        assert net(*alias_inputs(checkerboard()))[0][0] == 0
    assert "for want of a dense file" in caplog.text
    assert backend.opened == ["sparse.onnx"]


def test_other_networks_are_not_watched() -> None:
    backend = Told()
    with Network(DENSE, backend, OpenOptions()) as net:
        assert isinstance(net.open(), ToldSession)


def test_the_manifest_names_the_form_and_the_dense_file(tmp_path: Path) -> None:
    sizes = SPEC.sizes("official")
    entry = Entry("alias.fp32.onnx", "alias", "official", "fp32", sizes, SPEC.hash("official"),
                  "made up", "", extra={"form": "sparse", "dense": "alias.fp32.dense.onnx",
                                        "dense_sha256": "a" * 64})
    write_manifest(tmp_path, [entry])
    found = find_models(tmp_path, "fp32", (1024, 768))["alias"]
    assert found.form == "sparse" and found.dense is not None
    assert found.dense.path == tmp_path / "alias.fp32.dense.onnx"
    assert (found.dense.sha256, found.dense.form) == ("a" * 64, "")
    write_manifest(tmp_path, [replace(entry, extra={"form": "sparse", "dense": "../x.onnx"})])
    assert find_models(tmp_path, "fp32", (1024, 768))["alias"].dense is None
