"""No silent CPU: what is said without a GPU, and the bound session on the CPU's memory."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from made_up import at_once
from made_up_cuda import MadeUpCuda
from tiny import tiny_model

from fuw.engine import ort_cuda
from fuw.engine.backend import Network, OpenOptions
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.ort_cuda import PROVIDER, BoundSession, OrtCuda
from fuw.kernels.launch import CudaDevice

STRICT = "session.disable_cpu_ep_fallback"
# the words of onnxruntime's inference_session.cc
REFUSAL = ("This session contains graph nodes that are assigned to the default CPU EP, but "
           "fallback to CPU EP has been explicitly disabled by the user.")
X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)


class Queued:
    """A session whose runs wait in the stream, as on a GPU."""

    def __init__(self, session: Any, device: CudaDevice, cuda: MadeUpCuda) -> None:
        self.session, self.device, self.cuda = session, device, cuda
        self.io_binding = session.io_binding

    def run_with_iobinding(self, binding: Any, settings: Any) -> None:
        assert settings.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        self.cuda.host(self.device.stream, lambda: self.session.run_with_iobinding(binding))


@pytest.fixture
def session(cuda: MadeUpCuda, tmp_path: Path) -> Iterator[BoundSession]:
    model, device = tiny_model(tmp_path), CudaDevice()
    opened = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    bound = BoundSession(ort, Queued(opened, device, cuda), model, device, "cpu")
    yield bound
    bound.close()
    assert cuda.contexts() == (0, 0)


def test_an_onnxruntime_without_cuda_says_how_to_replace_it(tmp_path: Path) -> None:
    if PROVIDER in ort.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(BackendError, match=r"no CUDA provider.*pip uninstall onnxruntime && pip "
                                           r"install onnxruntime-gpu"):
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda"))


class Settings:
    """Session options that can be read again."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


def test_a_session_that_fell_back_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                              cuda: MadeUpCuda) -> None:
    """As onnxruntime-gpu behaves without a driver: it lists CUDA and opens on the CPU."""
    asked: list[Any] = []

    def silently(file: Any, settings: Any, providers: list[Any]) -> Any:
        asked.extend(providers)
        if settings.entries.get(STRICT) == "1":
            raise RuntimeError(REFUSAL)
        return ort.InferenceSession(file, providers=["CPUExecutionProvider"])

    fake = SimpleNamespace(SessionOptions=Settings, InferenceSession=silently)
    monkeypatch.setattr(ort_cuda, "_onnxruntime", lambda: fake)
    with pytest.raises(BackendError, match=r"tiny: ONNX Runtime fell back to CPUExecutionProvider: "
                                           r"cuda:1 .*--device cpu"):
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda:1"))
    assert {name for name, _ in asked} == {PROVIDER}  # asked for alone
    assert asked[0][1]["device_id"] == "1" and int(asked[0][1]["user_compute_stream"]) > 0
    assert cuda.contexts() == (0, 0), "the GPU that was opened for it is closed"
    with pytest.raises(BackendError, match="fell back"):
        ort_cuda.check("cuda")


def test_nodes_on_the_cpu_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                   cuda: MadeUpCuda, caplog: pytest.LogCaptureFixture) -> None:
    class Mixed:
        def get_providers(self) -> list[str]:
            return [PROVIDER, "CPUExecutionProvider"]

    def mixed(file: Any, settings: Any, providers: list[Any]) -> Mixed:
        if settings.entries.get(STRICT) == "1":
            raise RuntimeError(REFUSAL)
        return Mixed()

    fake = SimpleNamespace(SessionOptions=Settings, InferenceSession=mixed,
                           RunOptions=ort.RunOptions)
    monkeypatch.setattr(ort_cuda, "_onnxruntime", lambda: fake)
    with caplog.at_level(logging.WARNING):
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda")).close()
    assert "tiny: ONNX Runtime puts some of its nodes on the CPU" in caplog.text


def test_no_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                   cuda: MadeUpCuda) -> None:
    def full(file: Any, settings: Any, providers: list[Any]) -> Any:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1\nat x.cc:1")

    fake = SimpleNamespace(SessionOptions=ort.SessionOptions, InferenceSession=full)
    monkeypatch.setattr(ort_cuda, "_onnxruntime", lambda: fake)
    with pytest.raises(NoRoom, match="out of memory .*smaller batch or --size") as caught:
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda"))
    assert "x.cc" not in str(caught.value)


def test_an_answer_outlives_the_next_run(session: BoundSession) -> None:
    total, twice = session.run({"x": X, "y": X + 1})
    session.run({"x": X + 100, "y": X})
    np.testing.assert_array_equal(total, 2 * X + 1)
    np.testing.assert_array_equal(twice, 2 * X)


def test_threads_take_turns(session: BoundSession) -> None:
    wrong = list[int]()

    def work(k: int) -> None:
        for _ in range(50):
            if not np.array_equal(session.run({"x": X + k, "y": X})[0], 2 * X + k):
                wrong.append(k)

    at_once(work)
    assert not wrong


def test_closed_twice_and_then_used(session: BoundSession) -> None:
    session.close()
    session.close()
    with pytest.raises(BackendError, match="was closed"):
        session.run({"x": X, "y": X})


@pytest.mark.gpu
def test_the_gpu_answers_as_the_cpu_does(tmp_path: Path) -> None:
    with Network(tiny_model(tmp_path), OrtCuda(), OpenOptions(device="cuda:0")) as net:
        total, twice = net(X, X + 1)
    np.testing.assert_array_equal(total, 2 * X + 1)
    np.testing.assert_array_equal(twice, 2 * X)
