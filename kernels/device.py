"""What a device that runs our kernels must offer, and its arrays. CUDA's is in launch.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Protocol

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

    def reshaped(self, *shape: int) -> "DeviceArray":
        """The same memory under another shape of equal size."""
        if prod(shape) != self.size:
            raise ValueError(f"{self.shape} holds {self.size} elements, {shape} {prod(shape)}")
        return DeviceArray(shape, self.dtype, self.pointer, self.owner)


Argument = DeviceArray | Scalar | None  # None is a null pointer


class Device(Protocol):
    """Memory and launches, in the order given (one stream)."""

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> DeviceArray:
        """Memory with anything in it."""

    def upload(self, array: Any, into: DeviceArray | None = None) -> DeviceArray:
        """Copy to the device."""

    def download(self, array: DeviceArray) -> Any:
        """Copy to the host; waits for what is under way."""

    def fill(self, array: DeviceArray, value: int) -> None:
        """Set every 32-bit word."""

    def launch(self, kernel: str, grid: Grid, block: Grid, *arguments: Argument) -> None:
        """Queue a kernel by name."""
