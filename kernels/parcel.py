"""Several arrays of a device that go home together."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from fuw.kernels.device import Device, DeviceArray

ALIGNED = 256  # bytes: where arrays begin
Host = npt.NDArray[Any]


class Parcel:
    """Arrays one behind the other in one block, which one download brings home.

    Attributes:
        block: u8, the whole memory.
        places: an array in it for each of the shapes and kinds.
    """

    def __init__(self, device: Device, kinds: Sequence[tuple[tuple[int, ...], npt.DTypeLike]],
                 ) -> None:
        self._kinds = [(shape, np.dtype(kind)) for shape, kind in kinds]
        self._starts, total = list[int](), 0
        for shape, kind in self._kinds:
            self._starts.append(total)
            total += -(-prod(shape) * kind.itemsize // ALIGNED) * ALIGNED
        self.block = device.empty((total,), np.uint8)
        self.places: list[DeviceArray] = [
            self.block.part(start, *shape, dtype=kind)
            for start, (shape, kind) in zip(self._starts, self._kinds, strict=True)]

    def open(self, data: Host) -> list[Host]:
        """The arrays in the downloaded block; they share its memory."""
        return [data[start : start + prod(shape) * kind.itemsize].view(kind).reshape(shape)
                for start, (shape, kind) in zip(self._starts, self._kinds, strict=True)]
