"""What "auto" becomes, and which files follow from it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_model

from fuw.engine import choose as choosing
from fuw.engine import devices, fitter
from fuw.engine.choose import Choice, choose
from fuw.engine.devices import Device
from fuw.engine.errors import BackendError
from fuw.engine.fitter import Options

GPUS = [Device(f"cuda:{i}", "NVIDIA H200", "sm_90", 1 << 37, "580.65") for i in range(2)]


def _machine(monkeypatch: pytest.MonkeyPatch, gpus: list[Device], *working: str) -> None:
    """A machine with these GPUs, on which these backends open."""
    monkeypatch.setattr(devices, "gpus", lambda: (gpus, ""))
    monkeypatch.setattr(choosing, "_problem",
                        lambda name, device: "" if name in working else f"{name} is missing")


def test_without_a_gpu_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, [], "trt", "ort-cuda")
    assert choose().device == "cpu" and choose().stored == "fp32"


@pytest.mark.parametrize(("working", "want"), [
    (("trt", "ort-cuda"), Choice("trt", "cuda:0", "fp16")),
    (("ort-cuda",), Choice("ort-cuda", "cuda:0", "fp16")),
])
def test_auto_takes_a_gpu_that_opens(monkeypatch: pytest.MonkeyPatch, working: tuple[str, ...],
                                     want: Choice) -> None:
    _machine(monkeypatch, GPUS, *working)
    assert choose() == want and choose().stored == "fp16"


@pytest.mark.parametrize("working", [(), ("trt",)])
def test_auto_leaves_a_gpu_that_does_not(monkeypatch: pytest.MonkeyPatch, working: tuple[str, ...],
                                         caplog: pytest.LogCaptureFixture) -> None:
    _machine(monkeypatch, GPUS, *working)
    with caplog.at_level(logging.WARNING):
        assert choose().device == "cpu"
    assert "NVIDIA H200 is not used: ort-cuda is missing" in caplog.text


def test_a_gpu_that_was_asked_for_is_never_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, GPUS)
    with pytest.raises(BackendError, match="cuda:1 cannot be used: trt: trt is missing; ort-cuda:"):
        choose("cuda:1")
    _machine(monkeypatch, [])
    with pytest.raises(BackendError, match="no NVIDIA GPU answers.*--device cpu"):
        choose("cuda")


@pytest.mark.parametrize(("device", "backend", "precision", "want"), [
    ("cuda:1", "auto", "fp32", Choice("trt", "cuda:1", "fp32")),
    ("cuda", "ort-cuda", "auto", Choice("ort-cuda", "cuda:0", "fp16")),
    ("auto", "trt", "bf16", Choice("trt", "cuda:0", "bf16")),
    ("auto", "ort-cpu", "auto", Choice("ort-cpu", "cpu", "fp32")),
])
def test_a_wish_is_met(monkeypatch: pytest.MonkeyPatch, device: str, backend: str, precision: str,
                       want: Choice) -> None:
    _machine(monkeypatch, GPUS, "trt", "ort-cuda")
    assert choose(device, backend, precision) == want


@pytest.mark.parametrize(("device", "backend", "precision", "words"), [
    ("cuda", "openvino", "auto", "openvino computes on a CPU, not on cuda:0"),
    ("cpu", "trt", "auto", "trt needs a GPU"),
    ("cuda", "ort-cuda", "bf16", "ort-cuda computes in fp16 or fp32 on a GPU, not bf16"),
    ("cpu", "ort-cpu", "fp16", "computes in fp32 on a CPU, not fp16"),
    ("cuda:2", "auto", "auto", "there is no GPU cuda:2; there are cuda:0, cuda:1"),
    ("tpu", "auto", "auto", "'tpu' is no device; write cpu, cuda or cuda:1"),
])
def test_what_cannot_be(monkeypatch: pytest.MonkeyPatch, device: str, backend: str, precision: str,
                        words: str) -> None:
    _machine(monkeypatch, GPUS, "trt", "ort-cuda")
    with pytest.raises(BackendError, match=words):
        choose(device, backend, precision)


def _files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Weights with "a" in both precisions and "b" in fp32 only."""
    plain = tiny_model(folder)
    low = replace(plain, precision="fp16", path=folder / "tiny.fp16.onnx")
    have = {"fp32": {"a": plain, "b": plain}, "fp16": {"a": low}}

    def find(weights: Any, precision: str, size: Any, batch: int = 1) -> dict[str, Any]:
        return have.get(precision, {})

    monkeypatch.setattr(fitter, "find_models", find)


def test_a_gpu_takes_reduced_files_and_names_those_it_lacks(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _files(monkeypatch, tmp_path)
    choice = Choice("trt", "cuda:0", "fp16")
    with caplog.at_level(logging.WARNING):
        models = fitter._models(Options(), choice)
    assert {name: model.precision for name, model in models.items()} == {"a": "fp16", "b": "fp32"}
    assert "no fp16 files of b, which run in fp32" in caplog.text
    assert set(fitter._models(Options(precision="fp16"), choice)) == {"a"}  # asked for: no mixing


def test_a_cpu_lowers_the_fp32_file_itself(monkeypatch: pytest.MonkeyPatch,
                                           tmp_path: Path) -> None:
    _files(monkeypatch, tmp_path)
    models = fitter._models(Options(), Choice("openvino", "cpu", "bf16"))
    assert {(m.precision, m.path.name) for m in models.values()} == {("bf16", "tiny.fp32.onnx")}
