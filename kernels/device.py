"""What a device that runs our kernels must offer, and its arrays. CUDA's is in launch.py."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import prod
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import Any

Scalar = np.int32 | np.float32
Grid = tuple[int, int, int]


@dataclass(frozen=True)
class DeviceArray:
    """Contiguous memory on a device; `owner` keeps it alive."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    pointer: int
    owner: object = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.size * self.dtype.itemsize

    def part(self, first: int, *shape: int, dtype: npt.DTypeLike | None = None) -> "DeviceArray":
        """An array of `shape` in the same memory, `first` bytes behind the start."""
        made = DeviceArray(shape, np.dtype(dtype or self.dtype), self.pointer + first, self.owner)
        if not 0 <= first <= self.nbytes - made.nbytes:
            raise ValueError(f"{shape} at byte {first} is not inside {self.shape} {self.dtype}")
        return made

    def reshaped(self, *shape: int) -> "DeviceArray":
        """The same memory under another shape of equal size."""
        if prod(shape) != self.size:
            raise ValueError(f"{self.shape} holds {self.size} elements, {shape} {prod(shape)}")
        return DeviceArray(shape, self.dtype, self.pointer, self.owner)


Argument = DeviceArray | Scalar | None  # None is a null pointer
T = TypeVar("T")


class Recorded(Protocol):
    """Work that was queued once and can be queued again as one (a CUDA graph)."""

    def launch(self) -> None:
        """Queue it; nothing waits."""

    def close(self) -> None:
        """Free what it holds."""


class Device(Protocol):
    """Memory and launches. What is queued runs in the order given, but for branches."""

    name: str

    @property
    def stream(self) -> int:
        """Handle of the stream that is queued on outside of branches."""

    @property
    def recording(self) -> bool:
        """Whether what is queued now is noted and not run."""

    def current(self) -> AbstractContextManager[None]:
        """The device's context is this thread's own inside; errors of CUDA become BackendError."""

    def queueing(self) -> AbstractContextManager[int]:
        """`current`, and this thread alone queues inside: on the stream of the handle given, for
        runtimes that queue by themselves."""

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory with anything in it."""

    def upload(self, array: Any, into: DeviceArray | None = None) -> DeviceArray:
        """Copy to the device."""

    def download(self, array: DeviceArray) -> Any:
        """Copy to the host; waits for what is under way."""

    def copy(self, array: DeviceArray, into: DeviceArray) -> None:
        """Copy on the device."""

    def fill(self, array: DeviceArray, value: int) -> None:
        """Set every 32-bit word."""

    def launch(self, kernel: str, grid: Grid, block: Grid, *arguments: Argument) -> None:
        """Queue a kernel by name."""

    def branch(self) -> AbstractContextManager[None]:
        """What is queued inside runs beside what is queued behind it, until `join`."""

    def join(self) -> None:
        """What is queued from here on runs after every branch."""

    def record(self, work: Callable[[], T]) -> tuple[Recorded, T]:
        """Run `work` once, then note what it queues; with what `work` returned of it."""

    def free_memory(self) -> int:
        """Bytes that could be allocated."""

    def close(self) -> None:
        """Wait for what is under way and give the device back."""
