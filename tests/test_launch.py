"""The CUDA device without CUDA: what it says if something is missing, what it asks pycuda for."""

import json
import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fuw.engine.errors import BackendError
from fuw.kernels import build, launch, nvrtc
from fuw.kernels.gpu import GpuOps
from fuw.kernels.pool import rounded


class FakeError(Exception):
    pass


class FakeMemoryError(FakeError):
    pass


class FakeCuda(types.ModuleType):
    """pycuda.driver as far as launch.py uses it; memory is the host's, kernels are only noted."""

    Error, MemoryError, LogicError = FakeError, FakeMemoryError, FakeError

    def __init__(self) -> None:
        super().__init__("pycuda.driver")
        self.calls: list[tuple[object, ...]] = []
        self.depth, self.gpus, self.full, self.refuses = 0, 2, False, False
        self.memory: dict[int, bytearray] = {}
        fake = self

        class Context:
            def push(self) -> None:
                fake.depth += 1

            def pop(self) -> None:
                fake.depth -= 1

            def detach(self) -> None:
                fake.calls.append(("detach",))

        class Device:
            def __init__(self, number: int) -> None:
                fake.calls.append(("device", number))

            @staticmethod
            def count() -> int:
                return fake.gpus

            def name(self) -> str:
                return "Fake"

            def compute_capability(self) -> tuple[int, int]:
                return 9, 0

            def retain_primary_context(self) -> Context:
                return Context()

        class Stream:
            def synchronize(self) -> None:
                fake.calls.append(("synchronize",))

        class Module:
            def get_function(self, name: str) -> object:
                return lambda *a, **k: fake.calls.append((name, a, k["grid"], k["block"]))

        class Event:
            def record(self, stream: object) -> None:
                pass

            def query(self) -> bool:
                return fake.copied

        self.Device, self.Stream, self.Module, self.Event = Device, Stream, Module, Event
        self.copied, self.pinned = True, 0

    def init(self) -> None:
        pass

    def mem_get_info(self) -> tuple[int, int]:
        return 5 << 20, 100 << 20

    def module_from_buffer(self, data: bytes) -> object:
        assert self.depth > 0
        if self.refuses:
            raise FakeError("no kernel image is available")
        self.calls.append(("module", len(data)))
        return self.Module()

    def pagelocked_empty(self, size: int, dtype: type) -> np.ndarray:
        assert self.depth > 0
        self.pinned += 1
        return np.empty(size, dtype)

    def mem_alloc(self, size: int) -> int:
        assert self.depth > 0
        if self.full:
            raise FakeMemoryError("out of memory")
        address = 4096 * (len(self.memory) + 1)
        self.memory[address] = bytearray(size)
        return address

    def memcpy_htod_async(self, target: int, array: np.ndarray, stream: object) -> None:
        assert self.depth > 0
        self.memory[target][: array.nbytes] = array.tobytes()

    def memcpy_dtoh_async(self, array: np.ndarray, source: int, stream: object) -> None:
        array.view(np.uint8).reshape(-1)[:] = np.frombuffer(
            self.memory[source], np.uint8, array.nbytes)

    def memset_d32_async(self, target: int, value: int, count: int, stream: object) -> None:
        self.memory[target][: 4 * count] = np.full(count, value, np.uint32).tobytes()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", fake)
    monkeypatch.setattr(launch, "fatbin_is_fresh", lambda: True)
    monkeypatch.setattr(launch, "FATBIN", build.FOLDER / "common.cuh")  # any bytes do
    yield fake
    assert fake.depth == 0, "a context was left pushed"


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


def test_second_gpu(cuda: FakeCuda) -> None:
    assert launch.CudaDevice("cuda:1").name == "cuda:1 Fake"
    assert ("device", 1) in cuda.calls
    with pytest.raises(BackendError, match="no GPU cuda:2 .* cuda:0 to cuda:1"):
        launch.CudaDevice("cuda:2")
    cuda.gpus = 0
    with pytest.raises(BackendError, match="there is none"):
        launch.CudaDevice()


def test_memory_and_launch(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    there = device.upload(labels)
    np.testing.assert_array_equal(device.download(there), labels)
    with pytest.raises(ValueError, match="into"):
        device.upload(labels[:2], there)
    words = device.empty((3,), np.int32)
    device.fill(words, -2)
    assert device.download(words).tolist() == [-2, -2, -2]
    cuda.calls.clear()
    out = GpuOps(device, "f16").one_hot(there, 7)
    assert out.shape == (1, 7, 4, 5) and out.dtype == np.float16
    (name, arguments, grid, block), = cuda.calls
    assert name == "one_hot_f16" and grid == (1, 1, 1) and block == (128, 1, 1)
    assert [type(a) for a in arguments] == [np.uintp, np.uintp, np.int32, np.int32]
    assert [int(a) for a in arguments] == [there.pointer, out.pointer, 7, 20]


def test_nothing_waits_between_upload_and_download(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    ops = GpuOps(device)
    cloth = device.upload(np.zeros((8, 6, 3), np.uint8))
    mask = device.upload(np.zeros((8, 6), np.uint8))
    theta = device.upload(np.zeros((1, 50), np.float32))
    W_c, W_m = ops.warp_garment(cloth, mask, theta, 8, 6)
    seg7 = ops.one_hot(mask, 7)
    ops.split_seg(seg7, ops.misalignment(seg7, W_m))
    ops.to_image(W_c)
    assert ("synchronize",) not in cuda.calls


def test_memory_is_used_again(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    first = device.empty((5, 7), np.float32)
    pointer = first.pointer
    assert device.empty((5, 7), np.float32).pointer != pointer
    view = first.reshaped(35)
    del first
    assert device.empty((5, 7), np.float32).pointer != pointer, "a view still uses it"
    del view
    assert device.empty((6, 6), np.float32).pointer == pointer
    for _ in range(20):
        device.upload(np.zeros(100, np.float32))
    assert len(cuda.memory) == 2


def test_uploads_go_through_locked_pages(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for _ in range(5):
        there = device.upload(values.T)  # not contiguous
    np.testing.assert_array_equal(device.download(there), values.T)
    assert cuda.pinned == 1
    cuda.copied = False  # what is under way keeps its pages
    device.upload(values)
    assert cuda.pinned == 2
    assert device.upload(np.empty((0, 8, 2), np.int16)).size == 0


def test_block_sizes_waste_little() -> None:
    for size in [0, 1, 512, 513, 4097, 10**6, 786432 * 9 * 4, 2**31 + 1]:
        block = rounded(size)
        assert size <= block and block % 512 == 0 and block <= max(size * 1.126, size + 512)


def test_unused_memory_goes_before_an_error(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    device.empty((1000,), np.uint8)  # given back at once
    room = iter([True, False])
    allocate = cuda.mem_alloc

    def once_full(size: int) -> int:
        if next(room):
            raise FakeMemoryError("out of memory")
        return allocate(size)

    device._pool._allocate = once_full  # type: ignore[assignment]
    held = device.empty((5000,), np.uint8)
    assert held.pointer and not any(device._pool._free.values())


def test_no_room_says_how_much(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    cuda.full = True
    with pytest.raises(BackendError, match=r"out of memory \(5 of 100 MiB are free\).*batch"):
        device.empty((9,), np.float32)


def test_forked_child_is_refused(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    device = launch.CudaDevice()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(BackendError, match="spawn"):
        device.empty((1,), np.uint8)
    device.close()  # the parent's context is not the child's to give back
    assert ("detach",) not in cuda.calls


def test_close_waits_and_then_refuses(cuda: FakeCuda) -> None:
    device = launch.CudaDevice()
    device.close()
    device.close()
    assert cuda.calls[-2:] == [("synchronize",), ("detach",)]
    with pytest.raises(BackendError, match="was closed"):
        device.empty((1,), np.uint8)
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(device)


def test_refused_fatbin_falls_back_to_nvrtc(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch,
                                            ) -> None:
    asked: list[tuple[int, int]] = []

    def compiled(capability: tuple[int, int]) -> bytes:
        asked.append(capability)
        cuda.refuses = False
        return b"ptx"

    cuda.refuses = True
    monkeypatch.setattr(launch, "compile_kernels", compiled)
    launch.CudaDevice()
    assert asked == [(9, 0)] and cuda.calls[-1] == ("module", 3)


def test_neither_fatbin_nor_nvrtc(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(capability: tuple[int, int]) -> bytes:
        raise BackendError("NVRTC is not installed")

    cuda.refuses = True
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
