"""What a runtime made of a file: kept, found again, made anew when anything differs."""

import logging
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ort = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
tiny = pytest.importorskip("tiny", reason="onnx, which makes the test's network, is not installed")

from fuw.engine.backend import Backend, Model, OpenOptions  # noqa: E402
from fuw.engine.errors import CheckpointError  # noqa: E402
from fuw.engine.folders import cache_folder  # noqa: E402
from fuw.engine.ort import OrtCpu  # noqa: E402
from fuw.engine.ov import OpenVino  # noqa: E402
from fuw.engine.silent_openvino import load_openvino  # noqa: E402
from fuw.engine.store import stores  # noqa: E402

if find_spec("openvino") is None:
    pytest.skip("OpenVINO is not installed", allow_module_level=True)
ov = load_openvino()
RUNTIMES = {"openvino": OpenVino(), "ort-cpu": OrtCpu()}


@pytest.fixture(scope="module")
def cache_of_a_module() -> Path:
    """Where a Fitter of a module's fixture keeps what it compiles."""
    return cache_folder()


def test_no_test_touches_the_users_own_cache(cache_of_a_module: Path,
                                             tmp_path_factory: pytest.TempPathFactory) -> None:
    assert cache_of_a_module.is_relative_to(tmp_path_factory.getbasetemp())


@pytest.fixture
def model(tmp_path: Path) -> Model:
    made: Model = tiny.tiny_model(tmp_path)
    return made


@pytest.fixture(params=RUNTIMES)
def backend(request: pytest.FixtureRequest) -> Backend:
    chosen: Backend = RUNTIMES[request.param]
    return chosen


def answer(backend: Backend, model: Model, cache: Path | None, **options: Any) -> list[Any]:
    session = backend.open(model, OpenOptions(cache=cache, **options))
    shapes = [t.shape(model.sizes, model.batch) for t in model.spec.inputs]
    rng = np.random.default_rng(0)
    feeds = {t.name: rng.standard_normal(shape).astype(np.float32)
             for t, shape in zip(model.spec.inputs, shapes, strict=True)}  # fmt: skip
    try:
        return session.run(feeds)
    finally:
        session.close()


def engines(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.engine"))


def test_kept_and_found_again(backend: Backend, model: Model, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / backend.name
    wanted = answer(backend, model, None)
    assert not cache.exists()
    for _ in range(2):
        assert all(map(np.array_equal, answer(backend, model, cache), wanted))
        assert len(engines(cache)) == 1
    entry = stores(cache.parent)[0].entries()[0]
    assert entry.key and entry.key.network == model.spec.name and not entry.problem
    assert entry.key.runtime == {"ort-cpu": "onnxruntime"}.get(backend.name, backend.name)


def test_the_second_time_nothing_is_compiled(
    backend: Backend, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(backend, model, tmp_path / "cache")
    opened: list[str] = []
    session = ort.InferenceSession

    def no(*args: Any) -> Any:
        raise AssertionError("compiled again")

    def noted(path: str, settings: Any, **options: Any) -> Any:
        opened.append(path)
        assert settings.graph_optimization_level == ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return session(path, settings, **options)

    monkeypatch.setattr(ov.Core, "compile_model", no)
    monkeypatch.setattr(ort, "InferenceSession", noted)
    answer(backend, model, tmp_path / "cache")
    assert opened == ([str(engines(tmp_path / "cache")[0])] if backend.name == "ort-cpu" else [])


@pytest.mark.parametrize("damage", ["cut", "zeros", "record"])
def test_a_damaged_engine_is_made_anew(backend: Backend, model: Model, tmp_path: Path,
                                       damage: str) -> None:
    cache = tmp_path / "cache"
    wanted = answer(backend, model, cache)
    engine = engines(cache)[0]
    data = engine.read_bytes()
    if damage == "record":
        engine.with_suffix(".json").write_text("{")
    else:
        half = len(data) // 2
        engine.write_bytes(data[:half] + bytes(len(data) - half) * (damage == "zeros"))
    assert all(map(np.array_equal, answer(backend, model, cache), wanted))
    assert engine.stat().st_size == len(data)


def test_an_engine_that_the_runtime_refuses_is_made_anew(
    backend: Backend, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    wanted = answer(backend, model, cache)
    store, engine = stores(tmp_path)[0], engines(cache)[0]
    key = store.entries()[0].key
    assert key is not None
    store.discard(key)
    store.put(key, lambda path: (path.write_bytes(b"not a model"), None)[1])
    with caplog.at_level(logging.WARNING):
        assert all(map(np.array_equal, answer(backend, model, cache), wanted))
    assert "does not load" in caplog.text and engine.stat().st_size > 100


def test_another_precision_file_or_setting_is_another_engine(backend: Backend, model: Model,
                                                             tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    answer(backend, model, cache)
    answer(backend, replace(model, precision="bf16"), cache)
    os.utime(model.path, (1, 1))
    answer(backend, model, cache)
    assert len(engines(cache)) == 3
    answer(backend, model, cache, threads=1)  # OpenVINO compiles for a number of threads
    assert len(engines(cache)) == (4 if backend.name == "openvino" else 3)


def test_another_version_of_the_runtime_makes_it_anew(
    backend: Backend, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    answer(backend, model, cache)
    monkeypatch.setattr(ov if backend.name == "openvino" else ort, "__version__", "99.0")
    answer(backend, model, cache)
    versions = {e.key.runtime_version for e in stores(tmp_path)[0].entries() if e.key}
    assert len(versions) == 2 and "99.0" in versions


def test_a_file_that_is_gone_is_named(backend: Backend, model: Model, tmp_path: Path) -> None:
    model.path.unlink()
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(CheckpointError, match="there is no such file"):
            backend.open(model, OpenOptions(cache=cache))


def test_an_unusable_cache_costs_a_warning_and_not_the_run(
    backend: Backend, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = answer(backend, model, None)
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for cache in (tmp_path / "file" / "below", tmp_path / "open"):
        caplog.clear()
        assert all(map(np.array_equal, answer(backend, model, cache), wanted))
        assert len(caplog.records) == 1 and "cannot be used" in caplog.text


def test_no_room_for_the_optimised_graph(model: Model, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch,
                                         caplog: pytest.LogCaptureFixture) -> None:
    """ONNX Runtime itself writes the file, and fails in its own way."""
    wanted, session = answer(OrtCpu(), model, None), ort.InferenceSession

    def full(path: str, settings: Any, **options: Any) -> Any:
        if settings.optimized_model_filepath:
            raise RuntimeError("No space left on device")
        return session(path, settings, **options)

    monkeypatch.setattr(ort, "InferenceSession", full)
    assert all(map(np.array_equal, answer(OrtCpu(), model, tmp_path / "cache"), wanted))
    assert "not kept: No space left" in caplog.text and engines(tmp_path / "cache") == []
