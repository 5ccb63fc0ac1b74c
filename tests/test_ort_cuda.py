"""No silent CPU: what is said without a GPU, and the bound session on the CPU's memory."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tiny import tiny_model

from fuw.engine import ort_cuda
from fuw.engine.backend import Network, OpenOptions
from fuw.engine.errors import BackendError
from fuw.engine.ort_cuda import PROVIDER, BoundSession, OrtCuda

X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)


def _bound(folder: Path) -> BoundSession:
    model = tiny_model(folder)
    session = ort.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    return BoundSession(ort, session, model, "cpu")


def test_an_onnxruntime_without_cuda_says_how_to_replace_it(tmp_path: Path) -> None:
    if PROVIDER in ort.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(BackendError, match=r"no CUDA provider.*pip uninstall onnxruntime && pip "
                                           r"install onnxruntime-gpu"):
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda"))


def test_a_session_that_fell_back_is_an_error(monkeypatch: pytest.MonkeyPatch,
                                              tmp_path: Path) -> None:
    """As onnxruntime-gpu behaves without a driver: it lists CUDA and opens on the CPU."""
    asked: list[Any] = []

    def silently(file: Any, settings: Any, providers: list[Any]) -> Any:
        asked.extend(providers)
        return ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])

    fake = SimpleNamespace(SessionOptions=ort.SessionOptions, InferenceSession=silently)
    monkeypatch.setattr(ort_cuda, "_onnxruntime", lambda: fake)
    with pytest.raises(BackendError, match=r"tiny: ONNX Runtime fell back to CPUExecutionProvider: "
                                           r"cuda:1 .*--device cpu"):
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda:1"))
    assert [name for name, _ in asked] == [PROVIDER]  # asked for alone
    assert asked[0][1]["device_id"] == "1"
    with pytest.raises(BackendError, match="fell back"):
        ort_cuda.check("cuda")


def test_no_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(file: Any, settings: Any, providers: list[Any]) -> Any:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1\nat x.cc:1")

    fake = SimpleNamespace(SessionOptions=ort.SessionOptions, InferenceSession=full)
    monkeypatch.setattr(ort_cuda, "_onnxruntime", lambda: fake)
    with pytest.raises(BackendError, match="out of memory .*smaller batch or --size") as caught:
        OrtCuda().open(tiny_model(tmp_path), OpenOptions(device="cuda"))
    assert "x.cc" not in str(caught.value)


def test_an_answer_outlives_the_next_run(tmp_path: Path) -> None:
    session = _bound(tmp_path)
    total, twice = session.run({"x": X, "y": X + 1})
    session.run({"x": X + 100, "y": X})
    np.testing.assert_array_equal(total, 2 * X + 1)
    np.testing.assert_array_equal(twice, 2 * X)


def test_threads_take_turns(tmp_path: Path) -> None:
    session, wrong = _bound(tmp_path), list[int]()

    def work(k: int) -> None:
        for _ in range(50):
            if not np.array_equal(session.run({"x": X + k, "y": X})[0], 2 * X + k):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closed_twice_and_then_used(tmp_path: Path) -> None:
    session = _bound(tmp_path)
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
