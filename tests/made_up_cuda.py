"""pycuda.driver over the made-up driver (made_up_driver.cpp), as far as kernels/launch.py asks for
it. Contexts are as strict as pycuda's: nothing works but in a thread that has pushed one."""

import ctypes
import threading
import types
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

COUNTED = ("launches", "uploads", "downloads", "copies", "fills", "graphs", "unlocked", "pushes")
ORDERS = {"program": 0, "late": 1, "early": 2, "random": 3}
HOST = ctypes.CFUNCTYPE(None, c_void_p)


class Error(Exception):
    pass


class MemoryError_(Error):
    pass


class MadeUpCuda(types.ModuleType):
    """The module; `library` is what shim_device.build made."""

    Error, MemoryError, LogicError = Error, MemoryError_, Error

    def __init__(self, library: Path) -> None:
        super().__init__("pycuda.driver")
        self.path, self.library = library, ctypes.CDLL(str(library))
        self.library.made_up_used.restype = c_size_t
        self.library.made_up_room.argtypes = (c_size_t,)
        self._kept: list[object] = []
        cuda = self

        class Context:
            def __init__(self, number: int) -> None:
                self.handle = cuda.handle("cuDevicePrimaryCtxRetain", c_int(number))
                self.valid, self.thread = True, threading.get_ident()

            def push(self) -> None:
                assert self.valid, "a context that was detached"
                cuda.call("cuCtxPushCurrent_v2", c_void_p(self.handle))

            @staticmethod
            def pop() -> None:
                cuda.handle("cuCtxPopCurrent_v2")

            def detach(self) -> None:
                # As pycuda does it: in the thread of its birth pushed and left there, else nothing.
                if threading.get_ident() == self.thread:
                    self.push()
                    cuda.call("cuDevicePrimaryCtxRelease_v2", c_int(0))
                self.valid = False

        class Device:
            def __init__(self, number: int) -> None:
                self.number = number

            @staticmethod
            def count() -> int:
                found = c_int()
                cuda.call("cuDeviceGetCount", byref(found))
                return found.value

            def name(self) -> str:
                return "Made-up"

            def compute_capability(self) -> tuple[int, int]:
                return 9, 0

            def retain_primary_context(self) -> Context:
                return Context(self.number)

        class Stream:
            def __init__(self, flags: int = 0) -> None:
                self.handle = cuda.handle("cuStreamCreate", flags)

            def synchronize(self) -> None:
                cuda.call("cuStreamSynchronize", c_void_p(self.handle))

            def wait_for_event(self, event: "Event") -> None:
                cuda.call("cuStreamWaitEvent", c_void_p(self.handle), c_void_p(event.handle), 0)

        class Event:
            def __init__(self, flags: int = 0) -> None:
                self.handle = cuda.handle("cuEventCreate", flags)

            def record(self, stream: Stream) -> None:
                cuda.call("cuEventRecord", c_void_p(self.handle), c_void_p(stream.handle))

            def query(self) -> bool:
                status = cuda.library.cuEventQuery(c_void_p(self.handle))
                assert status in (0, 600), status
                return bool(status == 0)

            def synchronize(self) -> None:
                cuda.call("cuEventSynchronize", c_void_p(self.handle))

        class Allocation:
            def __init__(self, address: int) -> None:
                self.address = address

            def __int__(self) -> int:
                return self.address

            def free(self) -> None:
                cuda.call("cuMemFree_v2", c_uint64(self.address))

        class Module:
            def __init__(self, image: bytes) -> None:
                self.image = image
                cuda.handle("cuModuleLoadData", image)

            def get_function(self, name: str) -> Any:
                address = cuda.handle("cuModuleGetFunction", None, name.encode())

                def launch(*arguments: Any, grid: tuple[int, ...], block: tuple[int, ...],
                           stream: Stream) -> None:
                    kinds = {"L": c_uint64, "i": c_int, "f": ctypes.c_float}
                    values = [kinds[a.dtype.char](a.item()) for a in arguments]
                    pointers = (c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
                    cuda.call("cuLaunchKernel", c_void_p(address), *grid, *block, 0,
                              c_void_p(stream.handle), pointers, None)

                return launch

        self.Context, self.Device, self.Stream, self.Event = Context, Device, Stream, Event
        self.Allocation, self.module_from_buffer = Allocation, Module
        self.event_flags = types.SimpleNamespace(DISABLE_TIMING=2, DEFAULT=0)

    def init(self) -> None:
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self.library, name)(*arguments):
            raise (MemoryError_ if status == 2 else Error)(f"{name} failed: {status}")

    def handle(self, name: str, *arguments: Any) -> int:
        made = c_void_p()
        self.call(name, byref(made), *arguments)
        return made.value or 0

    def mem_alloc(self, size: int) -> Any:
        address = c_uint64()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(size))
        return self.Allocation(address.value)

    def mem_get_info(self) -> tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self.call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value, total.value

    def memcpy_htod_async(self, to: int, source: np.ndarray, stream: Any) -> None:
        self.call("cuMemcpyHtoDAsync_v2", c_uint64(to), c_void_p(source.ctypes.data),
                  c_size_t(source.nbytes), c_void_p(stream.handle))

    def memcpy_dtoh_async(self, to: np.ndarray, source: int, stream: Any) -> None:
        assert to.flags.writeable
        self.call("cuMemcpyDtoHAsync_v2", c_void_p(to.ctypes.data), c_uint64(source),
                  c_size_t(to.nbytes), c_void_p(stream.handle))

    def memcpy_dtod_async(self, to: int, source: int, size: int, stream: Any) -> None:
        self.call("cuMemcpyDtoDAsync_v2", c_uint64(to), c_uint64(source), c_size_t(size),
                  c_void_p(stream.handle))

    def memset_d32_async(self, to: int, value: int, count: int, stream: Any) -> None:
        self.call("cuMemsetD32Async", c_uint64(to), value, c_size_t(count),
                  c_void_p(stream.handle))

    # What only tests ask for.

    def host(self, stream: int, work: Any) -> None:
        """Queue a call of Python, as a network's kernels would be queued; it is recorded too."""
        function = HOST(lambda _: work())
        self._kept.append(function)
        status = self.library.made_up_host(c_void_p(stream), function, None)
        if status:
            raise RuntimeError(f"operation failed due to a previous error during capture: {status}")

    def counts(self) -> dict[str, int]:
        """What ran since the last call."""
        found = (ctypes.c_long * 8)()
        self.library.made_up_counts(found)
        return dict(zip(COUNTED, found, strict=True))

    def order(self, name: str, seed: int = 1) -> None:
        """In which order what may run in any order does."""
        self.library.made_up_order(ORDERS[name], seed)

    def room(self, size: int = 6 << 30) -> None:
        """How large the GPU's memory is."""
        self.library.made_up_room(size)

    def used(self) -> int:
        """Bytes of device memory that are allocated."""
        return int(self.library.made_up_used())

    def contexts(self) -> tuple[int, int]:
        """Holds on the primary context, and contexts on this thread's stack."""
        return divmod(self.library.made_up_contexts(), 100)


def install(monkeypatch: Any, library: Path) -> MadeUpCuda:
    """Put the made-up pycuda and driver in the place of the real ones."""
    import sys

    from fuw.kernels import driver, launch

    cuda = MadeUpCuda(library)
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    monkeypatch.setattr(driver, "LIBRARY", str(library))
    monkeypatch.setattr(launch, "fatbin_is_fresh", lambda: True)
    cuda.library.made_up_reset()
    cuda.room()
    cuda.order("program")
    cuda.counts()
    return cuda
