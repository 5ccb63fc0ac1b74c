"""The CUDA device without CUDA: what it says if something is missing, what it asks pycuda for."""

import json
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from made_up_cuda import MadeUpCuda

from fuw.engine.errors import BackendError
from fuw.kernels import build, launch, nvrtc
from fuw.kernels.gpu import GpuOps
from fuw.kernels.pool import rounded


def test_without_pycuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(BackendError, match="need pycuda; pip install"):
        launch.CudaDevice()


def test_without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(BackendError, match="no NVIDIA driver answers .* --device cpu"):
        launch.CudaDevice()


@pytest.mark.parametrize("name, number", [("cuda", 0), ("cuda:0", 0), ("cuda:13", 13)])
def test_device_names(name: str, number: int) -> None:
    assert launch.parse_device(name) == number


@pytest.mark.parametrize("name", ["cpu", "cuda:", "cuda:x", "cuda:-1", "gpu", ""])
def test_wrong_device_names(name: str) -> None:
    with pytest.raises(BackendError, match="write cpu, cuda or cuda:1"):
        launch.parse_device(name)


def test_second_gpu(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice("cuda:1")
    assert device.name == "cuda:1 Made-up" and device._context.handle == 2
    device.close()
    with pytest.raises(BackendError, match="no GPU cuda:2 .* cuda:0 to cuda:1"):
        launch.CudaDevice("cuda:2")


def test_no_gpu_at_all(cuda: MadeUpCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda.Device, "count", staticmethod(lambda: 0))
    with pytest.raises(BackendError, match="there is none"):
        launch.CudaDevice()


def test_memory_and_launch(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    there = device.upload(labels)
    np.testing.assert_array_equal(device.download(there), labels)
    with pytest.raises(ValueError, match="into"):
        device.upload(labels[:2], there)
    words = device.empty((3,), np.int32)
    device.fill(words, -2)
    assert device.download(words).tolist() == [-2, -2, -2]
    out = GpuOps(device, "f16").one_hot(there, 7)
    assert out.shape == (1, 7, 4, 5) and out.dtype == np.float16
    assert device.download(out)[0, 3].astype(int).ravel().tolist() == [0, 0, 0, 1] + [0] * 16
    assert device.upload(np.empty((0, 8, 2), np.int16)).size == 0
    device.close()


def test_a_part_lies_inside(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    whole = device.upload(np.arange(20, dtype=np.int32))
    assert device.download(whole.part(8, 3)).tolist() == [2, 3, 4]
    with pytest.raises(ValueError, match="not inside"):
        whole.part(72, 3)
    device.close()


def test_memory_is_used_again(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    first = device.empty((5, 7), np.float32)
    pointer = first.pointer
    assert device.empty((5, 7), np.float32).pointer != pointer
    view = first.reshaped(35)
    del first
    assert device.empty((5, 7), np.float32).pointer != pointer, "a view still uses it"
    del view
    assert device.empty((6, 6), np.float32).pointer == pointer
    before = cuda.used()
    for _ in range(20):
        device.upload(np.zeros(100, np.float32))
    assert cuda.used() == before
    device.close()


def test_uploads_go_through_locked_pages(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    held = [device.upload(values.T + k) for k in range(5)]  # not contiguous, and none has run yet
    for k, there in enumerate(held):
        np.testing.assert_array_equal(device.download(there), values.T + k)
    assert cuda.counts()["unlocked"] == 0
    assert len(device._staging._buffers[512]) == 5
    for _ in range(9):
        device.download(device.upload(values))
    assert len(device._staging._buffers[512]) == 5
    device.close()


def test_memory_that_cannot_be_locked_is_copied_all_the_same(
        cuda: MadeUpCuda, caplog: pytest.LogCaptureFixture) -> None:
    device = launch.CudaDevice()

    def refuse(address: int, size: int) -> None:
        raise BackendError("cuMemHostRegister: not permitted")

    device._driver.lock_pages = refuse  # type: ignore[method-assign]
    with caplog.at_level("WARNING"):
        assert device.download(device.upload(np.arange(3))).tolist() == [0, 1, 2]
    assert "not page-locked" in caplog.text
    device.close()


def test_block_sizes_waste_little() -> None:
    for size in [0, 1, 512, 513, 4097, 10**6, 786432 * 9 * 4, 2**31 + 1]:
        block = rounded(size)
        assert size <= block and block % 512 == 0 and block <= max(size * 1.126, size + 512)


def test_forked_child_is_refused(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    child = os.fork()
    if child == 0:
        try:
            device.empty((1,), np.uint8)
        except BackendError as error:
            device.close()  # the parent's context is not the child's to give back
            os._exit(0 if "spawn" in str(error) and cuda.contexts() == (1, 0) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert device.empty((1,), np.uint8).nbytes == 1
    device.close()


def test_close_gives_everything_back_and_then_refuses(cuda: MadeUpCuda) -> None:
    device = launch.CudaDevice()
    held = device.upload(np.zeros(10_000, np.uint8))
    device.close()
    device.close()
    assert cuda.contexts() == (0, 0) and cuda.used() == 0 and held.nbytes
    with pytest.raises(BackendError, match="was closed"):
        device.empty((1,), np.uint8)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(device)


def _refusing(cuda: MadeUpCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that takes no fatbin."""
    load = cuda.module_from_buffer

    def refuse(image: bytes) -> object:
        if image != b"ptx":
            raise cuda.Error("no kernel image is available")
        return load(image)

    monkeypatch.setattr(cuda, "module_from_buffer", refuse)


def test_refused_fatbin_falls_back_to_nvrtc(cuda: MadeUpCuda, monkeypatch: pytest.MonkeyPatch,
                                            ) -> None:
    asked: list[tuple[int, int]] = []

    def compiled(capability: tuple[int, int]) -> bytes:
        asked.append(capability)
        return b"ptx"

    _refusing(cuda, monkeypatch)
    monkeypatch.setattr(launch, "compile_kernels", compiled)
    device = launch.CudaDevice()
    assert asked == [(9, 0)] and device._module.image == b"ptx"
    device.close()


def test_neither_fatbin_nor_nvrtc(cuda: MadeUpCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(capability: tuple[int, int]) -> bytes:
        raise BackendError("NVRTC is not installed")

    _refusing(cuda, monkeypatch)
    monkeypatch.setattr(launch, "compile_kernels", none)
    with pytest.raises(BackendError, match="NVRTC is not installed; the driver refused"):
        launch.CudaDevice()


def test_a_stale_fatbin_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fatbin = tmp_path / "fuw.fatbin"
    monkeypatch.setattr(launch, "FATBIN", fatbin)
    assert not launch.fatbin_is_fresh()
    fatbin.write_bytes(b"x")
    record = tmp_path / "fuw.fatbin.json"
    record.write_text(json.dumps({"sources": build.source_hash()}))
    assert launch.fatbin_is_fresh()
    record.write_text(json.dumps({"sources": "of another day"}))
    assert not launch.fatbin_is_fresh()


def test_nvrtc_compiles_every_kernel() -> None:
    try:
        nvrtc.library()
    except BackendError as error:
        pytest.skip(str(error))
    ptx = nvrtc.compile_kernels((7, 5))
    assert b".entry warp_garment_f16" in ptx and b".target sm_75" in ptx


def test_nvrtc_that_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "LIBRARIES", ("libno-such-thing.so",))
    with pytest.raises(BackendError, match="pip install nvidia-cuda-nvrtc"):
        nvrtc.compile_kernels((9, 0))
