"""CUDA through pycuda: one `Device` per GPU, on the primary context that TensorRT, ONNX Runtime and
torch share, with one stream. Users need a driver and pycuda, no compiler.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fuw.engine import arrays
from fuw.engine.errors import BackendError
from fuw.kernels.build import FATBIN, source_hash
from fuw.kernels.device import Argument, DeviceArray, Grid
from fuw.kernels.nvrtc import compile_kernels
from fuw.kernels.pool import Pool, Staging

MIB = 1 << 20


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
        number = parse_device(name)
        self._cuda = driver = _driver()
        count = driver.Device.count()
        if number >= count:
            there = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda:0" if count else "none"
            raise BackendError(f"there is no GPU {name} on this machine; there is {there}")
        self._device = driver.Device(number)
        self.name = f"cuda:{number} {self._device.name()}"
        self._context = self._device.retain_primary_context()
        self._process, self._closed, self._lock = os.getpid(), False, threading.RLock()
        self._functions: dict[str, Any] = {}
        with self._current():
            self.stream = driver.Stream()
            self._pool = Pool(driver.mem_alloc, driver.MemoryError)
            self._staging = Staging(lambda size: driver.pagelocked_empty(size, np.uint8),
                                    driver.Event)
            self._module = self._load()

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

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Make the context current in the calling thread, which may be any."""
        if os.getpid() != self._process:
            raise BackendError("CUDA does not survive fork(): this process was forked after the "
                               "GPU was opened; start workers with the spawn method")
        with self._lock:
            if self._closed:
                raise BackendError(f"{self.name} was closed; open another Fitter")
            self._context.push()
            try:
                yield
            except self._cuda.MemoryError as error:
                raise BackendError(self._no_room()) from error
            except self._cuda.Error as error:
                raise BackendError(f"{self.name}: {error}") from error
            finally:
                self._context.pop()

    def _no_room(self) -> str:
        free, total = self._cuda.mem_get_info()
        return (f"{self.name} is out of memory ({free // MIB} of {total // MIB} MiB are free); use "
                "a smaller batch, or close other programs on that GPU")

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory from a pool that keeps what is given back: no allocation once it is warm."""
        kind = np.dtype(dtype)
        with self._current():
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
        with self._current():
            buffer, copied = self._staging.take(array.nbytes)
            source = buffer[: array.nbytes]
            source[:] = array.reshape(-1).view(np.uint8)
            self._cuda.memcpy_htod_async(target.pointer, source, self.stream)
            copied.record(self.stream)
            self._staging.give_back(buffer, copied)
        return target

    def download(self, array: DeviceArray) -> arrays.Any:
        """Copy to the host; the only call here that waits."""
        result = np.empty(array.shape, array.dtype)
        with self._current():
            self._cuda.memcpy_dtoh_async(result, array.pointer, self.stream)
            self.stream.synchronize()
        return result

    def fill(self, array: DeviceArray, value: int) -> None:
        """Set every 32-bit word."""
        with self._current():
            self._cuda.memset_d32_async(array.pointer, value & 0xFFFFFFFF, array.nbytes // 4,
                                        self.stream)

    def launch(self, kernel: str, grid: Grid, block: Grid, *arguments: Argument) -> None:
        """Queue a kernel by name; nothing waits."""
        with self._current():
            if kernel not in self._functions:
                self._functions[kernel] = self._module.get_function(kernel)
            self._functions[kernel](*map(_passed, arguments), grid=grid, block=block,
                                    stream=self.stream)

    def close(self) -> None:
        """Wait for what is under way, then give the context back; a second call does nothing."""
        with self._lock:
            if self._closed or os.getpid() != self._process:
                return
            with self._current():
                self.stream.synchronize()
                self._functions.clear()
                del self._module, self._staging
                self._pool.close()
            self._closed = True
            self._context.detach()

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a GPU cannot be pickled; pickle host data and open the GPU again")


def _passed(argument: Argument) -> Any:
    """A pointer or a typed scalar, as pycuda packs them."""
    if argument is None:
        return np.uintp(0)
    return np.uintp(argument.pointer) if isinstance(argument, DeviceArray) else argument
