"""A run of one case of the table of kernel operations: made-up inputs, and what is compared."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from made_up import standing

from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import Real
from fuw.kernels.steps import Steps

Array = npt.NDArray[np.generic]


@dataclass
class Run:
    """One run of one case: made-up inputs in, pairs of (ours, twin's) out."""

    steps: Steps
    height: int
    width: int
    n: int
    shift: bool = False  # arrays lie one element behind where wide accesses would be straight
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    @property
    def real(self) -> np.dtype[np.generic]:
        return np.dtype(np.float32 if self.steps.real == "f32" else np.float16)

    def up(self, array: Array) -> DeviceArray:
        if not self.shift:
            return self.steps.device.upload(array)
        block = self.steps.device.empty((array.nbytes + array.itemsize,), np.uint8)
        place = block.part(array.itemsize, *array.shape, dtype=array.dtype)
        return self.steps.device.upload(array, place)

    def down(self, array: DeviceArray) -> Array:
        return self.steps.device.download(array).copy()  # only so many stay page-locked

    def picture(self, *lead: int) -> npt.NDArray[np.uint8]:
        return self.rng.integers(0, 256, (*lead, self.height, self.width, 3), dtype=np.uint8)

    def labels(self, top: int, *lead: int) -> npt.NDArray[np.uint8]:
        """Blocks of labels, with some single pixels."""
        shape = (*lead, -(-self.height // 5), -(-self.width // 7))
        blocks = self.rng.integers(0, top, shape, dtype=np.uint8)
        big = blocks.repeat(5, -2).repeat(7, -1)[..., : self.height, : self.width].copy()
        spots = self.rng.random(big.shape) < 0.1
        big[spots] = self.rng.integers(0, top, int(spots.sum()), dtype=np.uint8)
        return big

    def mask(self, *lead: int) -> npt.NDArray[np.uint8]:
        soft = self.rng.integers(0, 256, (*lead, self.height, self.width), dtype=np.uint8)
        soft[..., 0, :2] = 127, 128
        return soft

    def tensor(self, *shape: int) -> npt.NDArray[np.float32]:
        """Uniform in -1..1, of values that the run's kind of float can hold."""
        values = self.rng.uniform(-1, 1, shape).astype(self.real)
        return values.astype(np.float32)

    def upr(self, tensor: npt.NDArray[np.float32]) -> DeviceArray:
        return self.up(tensor.astype(self.real))

    def body(self) -> npt.NDArray[np.float32]:
        body = standing(self.height, self.width)
        body[4] = 0  # a wrist that nobody saw
        return body


@dataclass(frozen=True)
class Pair:
    """Ours and the twin's. share: of elements that may differ by more than atol (0: none)."""

    ours: Array
    twin: Array
    atol: float = 0.0
    share: float = 0.0

    def check(self, real: Real) -> None:
        assert self.ours.shape == self.twin.shape
        ours, twin = self.ours.astype(np.float64), self.twin.astype(np.float64)
        atol = self.atol if self.ours.dtype != np.float16 else max(self.atol, 1e-3) + 1e-3 * np.abs(
            twin)
        unequal = float((~(np.abs(ours - twin) <= atol)).mean())
        assert unequal <= self.share, f"{unequal:.2e} of elements differ, allowed {self.share:.2e}"
