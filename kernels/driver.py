"""What pycuda has no binding for, asked of the NVIDIA driver itself: CUDA graphs, page-locking of
memory that is ours, and the end of a primary context. By ctypes, on the handles of pycuda's own
objects; signatures as in cuda.h 13.0.

Read in pycuda's source (2026.1), not seen on a GPU: `register_host_memory` sets an array's base
twice, which NumPy refuses; `Context.detach` leaves a released primary context on the thread's
stack, and from another thread than the one that took it does not release it at all.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

from fuw.engine.errors import BackendError

LIBRARY = "nvcuda.dll" if os.name == "nt" else "libcuda.so.1"
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do (ONNX Runtime's, torch's) is theirs.
THREAD_LOCAL = 1

_OUT = POINTER(c_void_p)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, c_void_p, c_uint64),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuMemHostRegister_v2": (c_void_p, c_size_t, c_uint),
    "cuMemHostUnregister": (c_void_p,),
    "cuCtxPopCurrent_v2": (_OUT,),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
}


class Driver:
    """The calls by purpose. The context must be current, but for `forget` and `release`."""

    def __init__(self) -> None:
        """Raises BackendError where the library or an entry of it is not there."""
        try:
            library = ctypes.CDLL(LIBRARY)
            self._calls = {name: getattr(library, name) for name in SIGNATURES}
        except (OSError, AttributeError) as error:
            raise BackendError(f"the NVIDIA driver does not answer ({error}); install one of "
                               "version 580 or later, or use --device cpu") from error
        for name, types in SIGNATURES.items():
            self._calls[name].argtypes, self._calls[name].restype = types, c_int

    def _call(self, name: str, *arguments: Any) -> None:
        if status := self._calls[name](*arguments):
            words = c_char_p()
            self._calls["cuGetErrorString"](status, byref(words))
            raise BackendError(f"{name}: {(words.value or b'unknown error').decode()} ({status})")

    def begin_capture(self, stream: int) -> None:
        """From here on, what this thread queues on the stream is noted and not run."""
        self._call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """The noted graph, ready to launch; raises BackendError where something in it cannot be."""
        graph, ready = c_void_p(), c_void_p()
        self._call("cuStreamEndCapture", stream, byref(graph))
        try:
            self._call("cuGraphInstantiateWithFlags", byref(ready), graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        return ready.value or 0

    def drop_capture(self, stream: int) -> None:
        """End a capture that failed, whatever the driver says of it."""
        graph = c_void_p()
        self._calls["cuStreamEndCapture"](stream, byref(graph))
        if graph.value:
            self._calls["cuGraphDestroy"](graph)

    def launch(self, graph: int, stream: int) -> None:
        """Queue the graph."""
        self._call("cuGraphLaunch", graph, stream)

    def destroy(self, graph: int) -> None:
        """Free what `end_capture` gave."""
        self._call("cuGraphExecDestroy", graph)

    def lock_pages(self, address: int, size: int) -> None:
        """Page-lock host memory, so that CUDA copies from and to it while the host goes on."""
        self._call("cuMemHostRegister_v2", address, size, 0)

    def unlock_pages(self, address: int) -> None:
        """Undo `lock_pages`; the memory stays."""
        self._call("cuMemHostUnregister", address)

    def forget(self) -> None:
        """Take the topmost context off this thread's stack; a dead one may not even want that."""
        self._calls["cuCtxPopCurrent_v2"](byref(c_void_p()))

    def release(self, number: int) -> None:
        """Give back one hold on the primary context of GPU `number`, alive or dead."""
        self._calls["cuDevicePrimaryCtxRelease_v2"](number)
