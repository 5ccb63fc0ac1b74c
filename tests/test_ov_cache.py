"""Compiled OpenVINO models: kept, found again, made anew when anything differs or is damaged."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ov = pytest.importorskip("openvino", reason="OpenVINO is not installed")
tiny = pytest.importorskip("tiny", reason="onnx, which makes the test's network, is not installed")

from fuw.engine.backend import Model, OpenOptions  # noqa: E402
from fuw.engine.files import sha256  # noqa: E402
from fuw.engine.ov import OpenVino  # noqa: E402
from fuw.engine.store import stores  # noqa: E402


@pytest.fixture
def model(tmp_path: Path) -> Model:
    made: Model = tiny.tiny_model(tmp_path)
    return made


def answer(model: Model, cache: Path | None, **options: Any) -> list[Any]:
    session = OpenVino().open(model, OpenOptions(cache=cache, **options))
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


def test_kept_and_found_again(model: Model, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "openvino"
    wanted = answer(model, None)
    assert not cache.exists()
    for _ in range(2):
        assert all(map(np.array_equal, answer(model, cache), wanted))
        assert len(engines(cache)) == 1
    entry = stores(cache.parent)[0].entries()[0]
    assert entry.key and entry.key.network == model.spec.name and not entry.problem


def test_the_second_time_nothing_is_compiled(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(model, tmp_path / "cache")

    def no(*args: Any) -> Any:
        raise AssertionError("compiled again")

    monkeypatch.setattr(ov.Core, "compile_model", no)
    answer(model, tmp_path / "cache")


@pytest.mark.parametrize("damage", ["cut", "zeros", "record"])
def test_a_damaged_engine_is_made_anew(model: Model, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    wanted = answer(model, cache)
    engine = engines(cache)[0]
    data = engine.read_bytes()
    if damage == "record":
        engine.with_suffix(".json").write_text("{")
    else:
        half = len(data) // 2
        engine.write_bytes(data[:half] + bytes(len(data) - half) * (damage == "zeros"))
    assert all(map(np.array_equal, answer(model, cache), wanted))
    assert engine.stat().st_size == len(data)


def test_an_engine_that_the_runtime_refuses_is_made_anew(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    wanted = answer(model, cache)
    store, engine = stores(tmp_path)[0], engines(cache)[0]
    key = store.entries()[0].key
    assert key is not None
    store.discard(key)
    store.put(key, lambda path: (path.write_bytes(b"not a model"), None)[1])
    with caplog.at_level(logging.WARNING):
        assert all(map(np.array_equal, answer(model, cache), wanted))
    assert "compiling anew" in caplog.text and engine.stat().st_size > 100


def test_another_precision_file_or_setting_is_another_engine(model: Model, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    answer(model, cache)
    answer(model, cache, threads=1)
    answer(replace(model, sha256=sha256(model.path)), cache)
    os.utime(model.path, (1, 1))
    answer(model, cache)
    assert len(engines(cache)) == 4


def test_an_unusable_cache_costs_a_warning_and_not_the_run(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = answer(model, None)
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for cache in (tmp_path / "file" / "below", tmp_path / "open"):
        caplog.clear()
        assert all(map(np.array_equal, answer(model, cache), wanted))
        assert len(caplog.records) == 1 and "cannot be used" in caplog.text
