"""Which engine is taken, what is said where there is none, and the session's order of calls.

The session's own calls are held against a made-up runtime here; a real one needs a GPU.
"""

import ctypes
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from made_up_cuda import MadeUpCuda
from tiny import tiny_model

from fuw.engine import devices, trt
from fuw.engine.backend import Network, OpenOptions
from fuw.engine.devices import Device
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.ort import OrtCpu
from fuw.engine.ort_cuda import OrtCuda
from fuw.engine.store import Store
from fuw.engine.trt import TensorRt, TrtSession
from fuw.kernels.launch import CudaDevice

H200 = Device("cuda:0", "NVIDIA H200", "sm_90", 1 << 37, "580.65")
X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)


def _package(name: str) -> ModuleType:
    made = ModuleType(name)
    made.__version__ = "1.2"  # type: ignore[attr-defined]
    made.float32, made.int32 = "float32", "int32"  # type: ignore[attr-defined]
    made.ILogger = object  # type: ignore[attr-defined]
    return made


def test_without_a_package_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt, "PACKAGES", ("no_such_tensorrt",))
    with pytest.raises(BackendError, match="pip install tensorrt-rtx-cu13"):
        trt.package()


def test_a_broken_package_gives_way_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> ModuleType:
        if name == "tensorrt":
            raise OSError("libnvinfer.so.10: cannot open shared object file")
        return _package(name)

    monkeypatch.setattr(trt.importlib, "import_module", load)
    assert trt.package().__name__ == "tensorrt_rtx"


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trt, "package", lambda: _package("tensorrt"))
    monkeypatch.setattr(devices, "gpus", lambda: ([], ""))
    with pytest.raises(BackendError, match="no NVIDIA GPU answers .* --device cpu"):
        TensorRt().open(tiny_model(tmp_path), OpenOptions(device="cuda"))


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ([H200], ""))
    assert trt.gpu_named("cuda") == trt.gpu_named("cuda:0") == H200
    with pytest.raises(BackendError, match="no GPU cuda:1; there are cuda:0"):
        trt.gpu_named("cuda:1")


@pytest.mark.parametrize(("name", "found"), [("tensorrt", False), ("tensorrt_rtx", True)])
def test_an_engine_for_any_gpu_is_rtx_only(tmp_path: Path, name: str, found: bool) -> None:
    package, model, store = _package(name), tiny_model(tmp_path), Store(tmp_path / "engines")
    path = store.put(trt.engine_key(package, model, None), lambda p: _write(p, b"any"))
    assert (trt.find_engine(package, model, H200, store) == path) is found
    exact = store.put(trt.engine_key(package, model, H200), lambda p: _write(p, b"sm_90"))
    assert trt.find_engine(package, model, H200, store) == exact


def test_the_key_tells_what_has_changed(tmp_path: Path) -> None:
    package, model, store = _package("tensorrt"), tiny_model(tmp_path), Store(tmp_path / "engines")
    store.put(trt.engine_key(package, model, H200), lambda p: _write(p, b"engine"))
    newer = Device("cuda:0", "NVIDIA H200", "sm_90", 1 << 37, "590.10")
    assert store.explain(trt.engine_key(package, model, newer)) == "driver was 580.65, is 590.10"
    model.path.write_bytes(model.path.read_bytes() + b" ")
    assert "options was file=" in (store.explain(trt.engine_key(package, model, H200)) or "")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def test_no_engine_runs_in_onnxruntime_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
                                                   caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(trt, "package", lambda: _package("tensorrt"))
    monkeypatch.setattr(devices, "gpus", lambda: ([H200], ""))
    monkeypatch.setattr(OrtCuda, "open", lambda self, model, options: OrtCpu().open(model, options))
    with caplog.at_level(logging.WARNING), Network(
            tiny_model(tmp_path), TensorRt(),
            OpenOptions(1, "cuda:0", tmp_path / "trt")) as net:
        np.testing.assert_array_equal(net(X, X)[1], 2 * X)
    assert "tiny has no TensorRT engine (no engine of tiny was built here yet)" in caplog.text
    assert f"fuw-export --weights {tmp_path} --fp32 --backend trt --networks tiny" in caplog.text


def test_neither_engine_nor_onnxruntime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: OrtCuda, model: Any, options: Any) -> Any:
        raise BackendError("no CUDA provider")

    monkeypatch.setattr(trt, "package", lambda: _package("tensorrt"))
    monkeypatch.setattr(devices, "gpus", lambda: ([H200], ""))
    monkeypatch.setattr(OrtCuda, "open", refuse)
    with pytest.raises(BackendError, match=r"build it: fuw-export .*Without it: no CUDA provider"):
        TensorRt().open(tiny_model(tmp_path), OpenOptions(1, "cuda:0", tmp_path / "trt"))


def test_real_tensorrt_refuses_bytes_with_a_cause() -> None:
    package = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed",
                                  exc_type=ImportError)
    with pytest.raises(BackendError, match=r"seg: .*(does not run here|does not load).*--force"):
        trt.load(package, b"no engine at all" * 64, "seg")


def test_every_bit_of_a_diagnosis_has_words() -> None:
    package = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed",
                                  exc_type=ImportError)
    kinds = package.EngineInvalidityDiagnostics.__members__
    assert set(kinds) == set(trt.INVALID)
    assert trt.diagnosis(package, int(kinds["UNSUPPORTED_CC"]) | int(kinds["OLD_CUDA_DRIVER"])) == (
        "it was not built for this GPU's architecture, the NVIDIA driver is too old")


class MadeUpEngine:
    """The tiny network with TensorRT's calls, queued as kernels would be."""

    names = ("twice", "y", "x", "total")  # an engine's own order is no promise

    def __init__(self, device: CudaDevice | None, cuda: MadeUpCuda, ok: bool = True,
                 dtype: str = "float32", memory: bool = True) -> None:
        self.device, self.cuda, self.ok, self.dtype, self.memory = device, cuda, ok, dtype, memory
        self.num_io_tensors, self.addresses = 4, dict[str, int]()
        self.get_tensor_name: Callable[[int], str] = self.names.__getitem__
        self.device_memory_size_v2 = 123

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtype

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return X.shape

    def create_execution_context(self) -> "MadeUpEngine | None":
        assert self.cuda.contexts()[1] == 1, "TensorRT allocates in whatever context is current"
        return self if self.memory else None

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return address % 256 == 0

    def execute_async_v3(self, stream: int) -> bool:
        assert self.cuda.contexts()[1] > 0
        taken = dict(self.addresses)  # changed for the next run before this one has run

        def run() -> None:
            at = {name: np.ctypeslib.as_array((ctypes.c_float * X.size).from_address(address))
                  for name, address in taken.items()}
            at["total"][:] = at["x"] + at["y"]
            at["twice"][:] = 2 * at["x"]

        self.cuda.host(stream, run)
        return self.ok


def _session(cuda: MadeUpCuda, **known: Any) -> tuple[TrtSession, CudaDevice]:
    device = CudaDevice("cuda:1")
    engine = MadeUpEngine(device, cuda, **known)
    try:
        return TrtSession(_package("tensorrt"), engine, device, ["total", "twice"]), device
    except BackendError:
        device.close()  # as TensorRt.open does
        raise


def test_a_session_answers_from_host_to_host(cuda: MadeUpCuda) -> None:
    session, device = _session(cuda)
    first = session.run({"x": X, "y": X + 1})
    second = session.run({"x": X + 5, "y": X})
    np.testing.assert_array_equal(first[0], 2 * X + 1)
    np.testing.assert_array_equal(first[1], 2 * X)  # an answer outlives the next run
    np.testing.assert_array_equal(second[1], 2 * X + 10)
    assert session.memory == 123
    session.close()
    session.close()
    assert cuda.contexts() == (0, 0) and session.memory == 0
    with pytest.raises(BackendError, match="was closed"):
        session.run({"x": X, "y": X})


def test_runs_are_queued_and_recorded(cuda: MadeUpCuda) -> None:
    session, device = _session(cuda)
    x, y = device.upload(X), device.upload(X)
    cuda.counts()
    queued = [session.queue({"x": x, "y": y}) for _ in range(3)]
    assert not any(cuda.counts()[k] for k in ("uploads", "downloads", "copies"))
    np.testing.assert_array_equal(device.download(queued[1][0]), 2 * X)
    graph, (total, _) = device.record(lambda: session.queue({"x": x, "y": y}))
    device.upload(X + 3, x)
    graph.launch()
    np.testing.assert_array_equal(device.download(total), 2 * X + 3)
    session.close()


def test_an_engine_that_allocates_is_not_recorded(cuda: MadeUpCuda) -> None:
    session, device = _session(cuda)
    session._context.is_stream_capturable = lambda stream: False
    x = device.upload(X)
    with pytest.raises(BackendError, match="allocates memory while it runs"):
        device.record(lambda: session.queue({"x": x, "y": x}))
    np.testing.assert_array_equal(device.download(session.queue({"x": x, "y": x})[1]), 2 * X)
    session.close()


def test_a_plan_answers_on_a_device_of_its_own(cuda: MadeUpCuda, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """What a proof asks of an engine that has no name yet."""
    to_trt = pytest.importorskip("fuw.export.to_trt", reason="onnx is not installed")
    monkeypatch.setattr(trt, "package", lambda: _package("tensorrt"))
    monkeypatch.setattr(trt, "load", lambda package, plan, name: MadeUpEngine(
        None, cuda, memory=plan == b"good"))
    model = tiny_model(tmp_path)
    got = to_trt.answers(b"good", model, [X, X + 1], "cuda:1")
    np.testing.assert_array_equal(got[0], 2 * X + 1)
    np.testing.assert_array_equal(got[1], 2 * X)
    with pytest.raises(NoRoom):
        to_trt.answers(b"large", model, [X, X])
    assert cuda.contexts() == (0, 0)


def test_a_shared_device_stays_open(cuda: MadeUpCuda) -> None:
    device = CudaDevice()
    session = TrtSession(_package("tensorrt"), MadeUpEngine(device, cuda), device,
                         ["total", "twice"], owns=False)
    session.close()
    assert device.empty((3,), np.float32).nbytes == 12
    device.close()


def test_a_run_that_fails_is_an_error(cuda: MadeUpCuda) -> None:
    session, _ = _session(cuda, ok=False)
    with pytest.raises(BackendError, match="does not run the engine.*--backend ort-cuda"):
        session.run({"x": X, "y": X})
    session.close()


def test_an_engine_with_half_floats_outside_is_not_ours(cuda: MadeUpCuda) -> None:
    with pytest.raises(BackendError, match="twice is not float32"):
        _session(cuda, dtype="float16")


def test_no_memory_for_an_engine(cuda: MadeUpCuda) -> None:
    with pytest.raises(NoRoom, match="smaller batch"):
        _session(cuda, memory=False)


@pytest.mark.gpu
def test_an_engine_on_the_gpu(tmp_path: Path) -> None:
    from fuw.export.to_trt import BuildOptions, build_engine

    model = tiny_model(tmp_path)
    build_engine(model, BuildOptions(cache=tmp_path))
    with Network(model, TensorRt(), OpenOptions(device="cuda:0", cache=tmp_path / "trt")) as net:
        total, twice = net(X, X + 1)
        assert type(net.open()).__name__ == "TrtSession"
    np.testing.assert_array_equal(total, 2 * X + 1)
    np.testing.assert_array_equal(twice, 2 * X)
