"""CUDA through pycuda: one `Device` per GPU, on the primary context that TensorRT, ONNX Runtime and
torch share, with one stream and others beside it. Users need a driver and pycuda, no compiler.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fuw.engine import arrays
from fuw.engine.errors import BackendError, NoRoom
from fuw.kernels.build import FATBIN, source_hash
from fuw.kernels.device import Argument, DeviceArray, Grid
from fuw.kernels.driver import Driver
from fuw.kernels.nvrtc import compile_kernels
from fuw.kernels.pool import Event, Leases, Pool, Staging

log = logging.getLogger(__name__)

MIB, PAGE = 1 << 20, 4096
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
T = TypeVar("T")


def parse_device(name: str) -> int:
    """"cuda" or "cuda:1" -> the GPU's number."""
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdigit() or (number == "" and ":" not in name)):
        raise BackendError(f"'{name}' is no device; write cpu, cuda or cuda:1")
    return int(number or 0)


def fatbin_is_fresh() -> bool:
    """Whether the compiled kernels are those of the sources beside them."""
    record = FATBIN.with_name(FATBIN.name + ".json")
    if not (FATBIN.exists() and record.exists()):
        return False
    return bool(json.loads(record.read_text())["sources"] == source_hash())


def _driver() -> Any:
    """pycuda.driver, initialised.

    Raises:
        BackendError: pycuda or the NVIDIA driver is not there.
    """
    try:
        importlib.import_module("pycuda")
    except ImportError as error:
        raise BackendError("the CUDA kernels need pycuda; pip install 'fuw[gpu]'") from error
    try:
        driver = importlib.import_module("pycuda.driver")
        driver.init()
    except Exception as error:  # pycuda raises ImportError or its own, by what is missing
        raise BackendError(f"no NVIDIA driver answers ({error}); install one of version 580 or "
                           "later, or use --device cpu") from error
    return driver


class CudaDevice:
    """`Device` on one GPU. Safe to call from several threads; never from a forked child."""

    def __init__(self, name: str = "cuda") -> None:
        """Open a GPU by name ("cuda", "cuda:1").

        Raises:
            BackendError: no pycuda, driver or such GPU, or the kernels do not load on it.
        """
        self._number = parse_device(name)
        self._cuda = cuda = _driver()
        count = cuda.Device.count()
        if self._number >= count:
            there = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0" if count else "none"
            raise BackendError(f"there is no GPU {name} on this machine; there is {there}")
        self._device, self._driver = cuda.Device(self._number), Driver()
        self.name = f"cuda:{self._number} {self._device.name()}"
        self._context = self._device.retain_primary_context()
        self._process, self._thread = os.getpid(), threading.get_ident()
        self._closed, self._users, self._recording = False, 0, False
        self._changed, self._queue = threading.Condition(), threading.RLock()
        self._functions: dict[str, Any] = {}
        self._pages: list[arrays.U8] = []
        self._graphs: list[Graph] = []
        self._lost: list[Pool] = []
        self._pool = Pool(cuda.mem_alloc, cuda.MemoryError)
        self._staging, self._leases = Staging(self._locked, self._mark), Leases(self._locked)
        self._streams, self._on, self._open = list[Any](), 0, 0
        self._ends, self._marks = list[Event](), list[Event]()
        self._module: Any = None
        self._fork: Any = None
        try:
            with self.current():
                # Streams that do not wait for the default one, on which others may be busy.
                self._streams.append(cuda.Stream(NON_BLOCKING))
                self._fork = self._mark()
                self._module = self._load()
        except BaseException:
            self.close()
            raise

    def _mark(self) -> Event:
        made: Event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        return made

    def _locked(self, size: int) -> arrays.U8:
        """Page-locked memory that is the host's own: it outlives the context, which pycuda's
        `pagelocked_empty` does not, and a picture may be in use long after its Fitter."""
        rounded_up = -(-size // PAGE) * PAGE
        whole = np.empty(rounded_up + PAGE, np.uint8)
        start = _first_page(whole) - whole.ctypes.data
        try:
            self._driver.lock_pages(_first_page(whole), rounded_up)
            self._pages.append(whole)
        except BackendError as error:  # a limit of the machine; CUDA then copies by way of its own
            log.warning("%s: memory is not page-locked, copies take longer: %s", self.name, error)
        return whole[start : start + size]

    def _load(self) -> Any:
        """The shipped fatbin; else, stale or refused by the driver, what NVRTC makes of the
        sources."""
        if fatbin_is_fresh():
            try:
                return self._cuda.module_from_buffer(FATBIN.read_bytes())
            except self._cuda.Error as error:
                refused = f"; the driver refused the compiled ones: {error}"
        else:
            refused = "; the compiled ones are stale or missing (make kernels)"
        try:
            return self._cuda.module_from_buffer(
                compile_kernels(self._device.compute_capability()))
        except (BackendError, self._cuda.Error) as error:
            raise BackendError(f"{self.name}: no kernels: {error}{refused}") from error

    @property
    def stream(self) -> int:
        """Handle of the stream that is queued on outside of branches."""
        return int(self._streams[0].handle)

    @property
    def recording(self) -> bool:
        """Whether what is queued now is noted and not run."""
        return self._recording

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in the calling thread, which may be any, and errors of CUDA
        BackendErrors; the device is not closed meanwhile."""
        if os.getpid() != self._process:
            raise BackendError("CUDA does not survive fork(): this process was forked after the "
                               "GPU was opened; start workers with the spawn method")
        with self._changed:
            if self._closed:
                raise BackendError(f"{self.name} was closed; open another Fitter")
            self._users += 1
        try:
            self._context.push()
            try:
                yield
            except self._cuda.MemoryError as error:
                raise self._no_room() from error
            except self._cuda.Error as error:
                raise BackendError(f"{self.name}: {error}") from error
            finally:
                self._context.pop()
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def _queueing(self) -> Iterator[Any]:
        """The stream to queue on, one thread at a time."""
        with self.current(), self._queue:
            yield self._streams[self._on]

    @contextmanager
    def queueing(self) -> Iterator[int]:
        """`current`, and this thread alone queues inside: on the stream of the handle given."""
        with self._queueing() as stream:
            yield int(stream.handle)

    def _no_room(self) -> NoRoom:
        free, total = self._cuda.mem_get_info()
        return NoRoom(f"{self.name} is out of memory ({free // MIB} of {total // MIB} MiB are "
                      "free); use a smaller batch, or close other programs on that GPU")

    def free_memory(self) -> int:
        """Bytes that are free once the pool gave up what it does not use."""
        with self._queueing():
            self._pool.trim()
            return int(self._cuda.mem_get_info()[0])

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory from a pool that keeps what is given back: no allocation once it is warm."""
        kind = np.dtype(dtype)
        with self._queueing():
            block = self._pool.take(prod(shape) * kind.itemsize)
        return DeviceArray(tuple(shape), kind, int(block.memory), block)

    def upload(self, array: arrays.Any, into: DeviceArray | None = None) -> DeviceArray:
        """Copy to the device, in the stream's order; the array may be changed right afterwards."""
        array = np.ascontiguousarray(array)
        target = into or self.empty(array.shape, array.dtype)
        if target.nbytes != array.nbytes:
            raise ValueError(f"{array.shape} {array.dtype} into {target.shape} {target.dtype}")
        if not array.nbytes:
            return target
        with self._queueing() as stream:
            buffer, copied = self._staging.take(array.nbytes)
            source = buffer[: array.nbytes]
            source[:] = array.reshape(-1).view(np.uint8)
            self._cuda.memcpy_htod_async(target.pointer, source, stream)
            copied.record(stream)
            self._staging.give_back(buffer, copied)
        return target

    def download(self, array: DeviceArray) -> arrays.Any:
        """Copy to the host; the only call here that waits, and other threads queue meanwhile."""
        if not array.nbytes:
            return np.empty(array.shape, array.dtype)
        with self.current():
            with self._queue:
                data, stream = self._leases.take(array.nbytes), self._streams[self._on]
                self._cuda.memcpy_dtoh_async(data, array.pointer, stream)
                done = self._marks.pop() if self._marks else self._mark()
                done.record(stream)
            done.synchronize()
            self._marks.append(done)
        return data.view(array.dtype).reshape(array.shape)

    def copy(self, array: DeviceArray, into: DeviceArray) -> None:
        """Copy on the device."""
        if into.nbytes != array.nbytes:
            raise ValueError(f"{array.shape} {array.dtype} into {into.shape} {into.dtype}")
        with self._queueing() as stream:
            self._cuda.memcpy_dtod_async(into.pointer, array.pointer, array.nbytes, stream)

    def fill(self, array: DeviceArray, value: int) -> None:
        """Set every 32-bit word."""
        with self._queueing() as stream:
            self._cuda.memset_d32_async(array.pointer, value & 0xFFFFFFFF, array.nbytes // 4,
                                        stream)

    def launch(self, kernel: str, grid: Grid, block: Grid, *arguments: Argument) -> None:
        """Queue a kernel by name; nothing waits."""
        with self._queueing() as stream:
            if kernel not in self._functions:
                self._functions[kernel] = self._module.get_function(kernel)
            self._functions[kernel](*map(_passed, arguments), grid=grid, block=block,
                                    stream=stream)

    @contextmanager
    def branch(self) -> Iterator[None]:
        """What is queued inside runs beside what is queued behind it, until `join`. Other threads
        wait; branches do not nest."""
        with self._queueing() as stream:
            self._open += 1
            if self._open == len(self._streams):
                self._streams.append(self._cuda.Stream(NON_BLOCKING))
                self._ends.append(self._mark())
            side = self._streams[self._open]
            self._fork.record(stream)
            side.wait_for_event(self._fork)
            self._pool.hold()  # memory given back on one stream may be in use on another
            self._on = self._open
            try:
                yield
            finally:
                self._on = 0
                self._ends[self._open - 1].record(side)

    def join(self) -> None:
        """What is queued from here on runs after every branch."""
        with self._queueing() as stream:
            for end in self._ends[: self._open]:
                stream.wait_for_event(end)
            self._open = 0
            self._pool.let_go()

    def record(self, work: Callable[[], T]) -> tuple[Graph, T]:
        """Run `work` once, then note what it queues as a CUDA graph; with what `work` returned the
        second time. The graph has memory of its own.

        Raises:
            BackendError: something that `work` queues cannot be noted.
            NoRoom: the memory does not suffice; what `work` made is then not to be used.
        """
        with self._queueing() as stream:
            shared, self._pool = self._pool, Pool(self._cuda.mem_alloc, self._cuda.MemoryError)
            own = self._pool
            try:
                work()  # compiles, uploads tables, and allocates what the second run finds again
                stream.synchronize()  # TensorRT sets itself up in its first run, to the end of it
                self._driver.begin_capture(stream.handle)
                self._recording = True
                try:
                    made = work()
                except BaseException:
                    self._driver.drop_capture(stream.handle)
                    raise
                finally:
                    self._recording = False
                graph = Graph(self, self._driver.end_capture(stream.handle), own)
            except BaseException as error:
                self._open = 0
                own.let_go()
                stream.synchronize()
                if isinstance(error, NoRoom):
                    own.close()  # for something smaller
                else:
                    own.trim()  # but what is in use, tables perhaps, until the device is closed
                    self._lost.append(own)
                raise
            finally:
                self._pool = shared
            self._graphs.append(graph)
        return graph, made

    def close(self) -> None:
        """Wait for what is under way, then give the context back; a second call does nothing."""
        if os.getpid() != self._process:
            return  # the parent's context is not the child's to give back
        with self._changed:
            if self._closed:
                return
            self._closed = True  # nobody enters any more
            while self._users:
                self._changed.wait()
        self._context.push()
        try:
            # After an error of the GPU every call fails; the context still has to go.
            steps = [stream.synchronize for stream in self._streams]
            steps += [graph.free for graph in self._graphs]
            steps += [pool.close for pool in (self._pool, *self._lost)]
            steps += [partial(self._driver.unlock_pages, _first_page(whole))
                      for whole in self._pages]
            for step in steps:
                try:
                    step()
                except (self._cuda.Error, BackendError) as error:
                    log.debug("%s: while closing: %s", self.name, error)
            for held in (self._functions, self._streams, self._graphs, self._lost, self._pages,
                         self._ends, self._marks):
                held.clear()
            self._module = self._fork = None
            del self._staging
        finally:
            self._context.pop()
            self._context.detach()
            if threading.get_ident() == self._thread:
                self._driver.forget()
            else:
                self._driver.release(self._number)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a GPU cannot be pickled; pickle host data and open the GPU again")


class Graph:
    """A recorded CUDA graph and the memory it works in."""

    def __init__(self, device: CudaDevice, handle: int, pool: Pool) -> None:
        self._device, self._handle, self._pool = device, handle, pool

    def launch(self) -> None:
        """Queue it; nothing waits."""
        with self._device._queueing() as stream:
            self._device._driver.launch(self._handle, stream.handle)

    def close(self) -> None:
        """Free it with its memory, once it has run; arrays made in it are not to be used after."""
        if not self._device._closed:
            with self._device._queueing() as stream:
                stream.synchronize()
                if self in self._device._graphs:
                    self._device._graphs.remove(self)
                    self.free()

    def free(self) -> None:
        """For the device, whose context is current."""
        self._device._driver.destroy(self._handle)
        self._pool.close()


def _first_page(whole: arrays.U8) -> int:
    """The address of the first page that lies in the memory."""
    return int(-(-whole.ctypes.data // PAGE) * PAGE)


def _passed(argument: Argument) -> Any:
    """A pointer or a typed scalar, as pycuda packs them."""
    if argument is None:
        return np.uintp(0)
    return np.uintp(argument.pointer) if isinstance(argument, DeviceArray) else argument
