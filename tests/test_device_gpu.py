"""What only a GPU can show of `CudaDevice` and of a fit that stays on it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from narrow import hold, hold_person

import fuw
from fuw.engine.device_fit import FIT_NETS
from fuw.engine.errors import BackendError
from fuw.engine.fitter import Fitter
from fuw.engine.trt import TrtSession
from fuw.kernels.launch import CudaDevice

pytestmark = pytest.mark.gpu
EXAMPLES = Path(fuw.__file__).parent / "examples"


@pytest.fixture
def device() -> Iterator[CudaDevice]:
    gpu = CudaDevice("cuda")
    yield gpu
    gpu.close()


def test_branches_join(device: CudaDevice) -> None:
    for value in range(50):
        a = device.upload(np.full(1 << 20, value, np.int32))
        with device.branch():
            b = device.empty((1 << 20,), np.int32)
            device.copy(a, b)
        device.fill(device.empty((1 << 20,), np.int32), -1)
        device.join()
        device.fill(a, -2)
        assert (device.download(b) == value).all()


def test_a_recording_runs_again(device: CudaDevice) -> None:
    place, out = (device.empty((1 << 20,), np.int32) for _ in range(2))
    device.fill(place, 0)

    def work() -> None:
        middle = device.empty((1 << 20,), np.int32)
        with device.branch():
            device.copy(place, middle)
        device.fill(out, -1)
        device.join()
        device.copy(middle, out)

    graph, _ = device.record(work)
    for value in range(20):
        device.upload(np.full(1 << 20, value, np.int32), place)
        graph.launch()
        assert (device.download(out) == value).all()
    graph.close()


def test_what_cannot_be_recorded_does_no_harm(device: CudaDevice) -> None:
    a = device.upload(np.arange(5, dtype=np.int32))
    with pytest.raises(BackendError):
        device.record(lambda: device.download(a))
    assert device.download(a).tolist() == [0, 1, 2, 3, 4] and not device.recording


def test_opened_and_closed_in_any_thread() -> None:
    """Contexts are per thread: a second device after a first, closed elsewhere than opened."""
    for _ in range(3):
        gpu = CudaDevice("cuda")
        data = gpu.download(gpu.upload(np.arange(1000)))
        closing = threading.Thread(target=gpu.close)
        closing.start()
        closing.join()
        assert data.tolist() == list(range(1000)), "a download outlives its device"
    again = CudaDevice("cuda")
    assert again.download(again.upload(np.arange(3))).tolist() == [0, 1, 2]
    again.close()


@pytest.mark.parametrize("backend", ["trt", "ort-cuda"])
def test_a_fit_on_the_gpu_is_the_cpus(backend: str) -> None:
    """Starter weights in fp32; a network without an engine runs in ONNX Runtime."""
    with Fitter.open(backend="ort-cpu") as cpu:
        person, garment = (cpu.person(EXAMPLES / "person_1.jpg"),
                           cpu.garment(EXAMPLES / "garment_1.jpg"))
        want = cpu.fit(person, garment)
    with Fitter.open(device="cuda:0", backend=backend, precision="fp32") as gpu:
        hold_person(gpu.person(EXAMPLES / "person_1.jpg"), person)
        made = gpu.garment(EXAMPLES / "garment_1.jpg")
        assert (made.mask != garment.mask).mean() < 1e-3
        first, *rest = gpu.fit(person, [garment] * 3)
        hold(first, want)
        assert all(np.array_equal(fit.image, first.image) for fit in rest)
        engines = [type(gpu.nets[name].open()) is TrtSession for name in FIT_NETS]
        assert gpu.recorded == all(engines), "TensorRT's engines make one CUDA graph"
