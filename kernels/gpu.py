"""The steps of `kernels/cpu` on a device: the same names, device arrays in place of NumPy's.

Network tensors are f32 or f16 (`real`). Arrays may carry a batch in front: labels (n, H, W),
pictures (n, H, W, 3); the person may stay single, for many garments. Nothing here waits for
the device. Tables are made on the host once per size and stay on the device.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import numpy as np

from fuw.engine.arrays import F32, Any
from fuw.kernels.cpu.agnostic import Shape, arm_shapes, body_shapes, kept_table
from fuw.kernels.cpu.parse import TABLE_7, TABLE_13, lip_rules, schp_taps
from fuw.kernels.cpu.segment import blurred_taps
from fuw.kernels.cpu.segment import seg_noise as host_noise
from fuw.kernels.cpu.spans import spans
from fuw.kernels.cpu.warp import tps_inverse
from fuw.kernels.device import Argument, Device, DeviceArray, Grid
from fuw.kernels.parcel import Host, Parcel
from fuw.kernels.tables import Taps, bands

BLOCK = 128
Real = Literal["f32", "f16"]


def _grid(threads: int, rows: int = 1, samples: int = 1) -> Grid:
    return -(-threads // BLOCK), rows, samples


def _quads(width: int, rows: int = 1, samples: int = 1) -> Grid:
    """A thread for every four columns."""
    return _grid(-(-width // 4), rows, samples)


def _samples(array: DeviceArray, rank: int) -> int:
    """Batch of an array whose single sample has `rank` axes."""
    return array.shape[0] if len(array.shape) > rank else 1


class GpuSteps:
    """What all families share: launching, tables, kinds of memory."""

    def __init__(self, device: Device, real: Real = "f32") -> None:
        self.device, self.real = device, real
        self._dtype = np.dtype(np.float32 if real == "f32" else np.float16)
        self._tables: dict[object, DeviceArray] = {}
        self._banded: dict[object, tuple[DeviceArray, DeviceArray, int]] = {}

    def _run(self, kernel: str, grid: Grid, *arguments: Argument | int | float) -> None:
        checked = [np.int32(a) if isinstance(a, int) else np.float32(a) if isinstance(a, float)
                   else a for a in arguments]
        self.device.launch(kernel, grid, (BLOCK, 1, 1), *checked)

    def _run_real(self, kernel: str, grid: Grid, *arguments: Argument | int | float) -> None:
        """A kernel that exists for both kinds of network tensors."""
        self._run(f"{kernel}_{self.real}", grid, *arguments)

    def beside(self) -> AbstractContextManager[None]:
        """What is queued inside runs beside what is queued behind it, until `together`."""
        return self.device.branch()

    def together(self) -> None:
        """What is queued from here on runs after everything that ran beside."""
        self.device.join()

    def up(self, array: Any) -> DeviceArray:
        """An array of the host on the device."""
        return self.device.upload(array)

    def home(self, *arrays: DeviceArray) -> list[Host]:
        """The arrays on the host; one download, one wait."""
        parcel = Parcel(self.device, [(array.shape, array.dtype) for array in arrays])
        for array, place in zip(arrays, parcel.places, strict=True):
            self.device.copy(array, place)
        return parcel.open(self.device.download(parcel.block))

    def _u8(self, *shape: int) -> DeviceArray:
        return self.device.empty(shape, np.uint8)

    def _tensor(self, *shape: int) -> DeviceArray:
        return self.device.empty(shape, self._dtype)

    def _table(self, key: object, make: Callable[[], Any]) -> DeviceArray:
        if key not in self._tables:
            self._tables[key] = self.device.upload(np.ascontiguousarray(make()))
        return self._tables[key]

    def _taps(self, key: tuple[object, ...], make: Callable[[], Taps],
              ) -> tuple[DeviceArray, DeviceArray, int]:
        if key not in self._banded:  # whole or not at all: threads may share the steps
            taps = make()
            self._banded[key] = (self.device.upload(taps.first),
                                 self.device.upload(np.ascontiguousarray(taps.weight)), taps.width)
        return self._banded[key]


class GpuOps(GpuSteps):
    """The try-on steps and the label maps; inputs and masks of the other networks: gpu_fit.py."""

    # Labels.
    def _labels(self, kernel: str, planes: DeviceArray, height: int, width: int,
                key: tuple[object, ...], make: Callable[[], tuple[F32, F32]]) -> DeviceArray:
        n, classes, h, w = planes.shape
        rows = self._taps((*key, "rows"), lambda: bands(make()[0]))
        columns = self._taps((*key, "columns"), lambda: bands(make()[1], 4).transposed())
        out = self._u8(*((height, width) if n == 1 else (n, height, width)))
        self._run_real(kernel, _quads(width, height, n), planes, classes, h, w, *rows, *columns,
                       out, height, width)
        return out

    def schp_labels(self, logits: DeviceArray, height: int, width: int,
                    size: int = 473) -> DeviceArray:
        """See cpu.schp_labels."""
        h, w = logits.shape[2:]
        return self._labels("schp_labels", logits, height, width,
                            ("schp", h, w, height, width, size),
                            lambda: schp_taps(h, w, height, width, size))

    def seg_labels(self, probabilities: DeviceArray, height: int, width: int) -> DeviceArray:
        """See cpu.seg_labels."""
        h, w = probabilities.shape[2:]
        return self._labels("seg_labels", probabilities, height, width,
                            ("seg", h, w, height, width),
                            lambda: (blurred_taps(height, h), blurred_taps(width, w)))

    def _regroup(self, labels: DeviceArray, name: str, table: Any) -> DeviceArray:
        out = self._u8(*labels.shape)
        self._run("regroup", _grid(-(-labels.size // 16)), labels,
                  self._table(name, lambda: table), out, labels.size)
        return out

    def group13(self, parse: DeviceArray) -> DeviceArray:
        """See cpu.group13."""
        return self._regroup(parse, "group13", TABLE_13)

    def group7(self, parse13: DeviceArray) -> DeviceArray:
        """See cpu.group7."""
        return self._regroup(parse13, "group7", TABLE_7)

    def one_hot(self, labels: DeviceArray, n: int) -> DeviceArray:
        """See cpu.one_hot."""
        samples, (height, width) = _samples(labels, 2), labels.shape[-2:]
        out = self._tensor(samples, n, height, width)
        self._run_real("one_hot", _quads(height * width, 1, samples), labels, out, n,
                       height * width)
        return out

    def lip_to_viton(self, parse: DeviceArray, body: F32, iuv: DeviceArray | None = None,
                     ) -> DeviceArray:
        """See cpu.lip_to_viton; `body` lies on the host."""
        height, width = parse.shape
        out = self._u8(height, width)
        rules = self.device.upload(lip_rules(body, height).packed())
        self._run("lip_to_viton", _quads(width, height), parse, iuv, rules, out, height, width)
        return out

    # The person without the garment (3.1).
    def _spans(self, shapes: list[Shape], height: int, width: int) -> tuple[DeviceArray, int]:
        table = spans(shapes, height, width)
        return self.device.upload(table), len(table)

    def parse_agnostic(self, parse: DeviceArray, body: F32, scale: float = 1.0) -> DeviceArray:
        """See cpu.parse_agnostic; `body` lies on the host."""
        height, width = parse.shape
        out = self._u8(height, width)
        self._run("parse_agnostic", _quads(width, height), parse,
                  *self._spans(arm_shapes(body, 14, scale), height, width),
                  *self._spans(arm_shapes(body, 15, scale), height, width), out, height, width)
        return out

    def as_kept(self, parse: DeviceArray, ids: tuple[int, ...]) -> DeviceArray:
        """See cpu.as_kept."""
        return self._regroup(parse, f"kept{ids}", kept_table(ids))

    def image_agnostic(self, image: DeviceArray, parse: DeviceArray, body: F32,
                       scale: float = 1.0) -> DeviceArray:
        """See cpu.image_agnostic; `body` lies on the host."""
        height, width = parse.shape
        out = self._u8(height, width, 3)
        self._run("image_agnostic", _quads(width, height), image, parse,
                  *self._spans(body_shapes(body, scale), height, width), out, height, width)
        return out

    # Where the garment will be (3.2).
    def seg_noise(self, seed: int, h: int = 256, w: int = 192) -> DeviceArray:
        """See cpu.seg_noise: drawn on the host, so that a seed means the same everywhere."""
        return self.device.upload(host_noise(seed, h, w))

    def seg_input(self, mask: DeviceArray, cloth: DeviceArray, parse13: DeviceArray,
                  skeleton: DeviceArray, noise: DeviceArray) -> DeviceArray:
        """See cpu.seg_input; `mask` is u8 0..255 here."""
        n, _, h, w = noise.shape
        height, width = mask.shape[-2:]
        out = self._tensor(n, 21, h, w)
        self._run_real("seg_input", _grid(w, h, n), mask, cloth, parse13, skeleton, noise, out,
                       _samples(parse13, 2), height, width, h, w)
        return out

    # Deform the garment (3.3).
    def gmm_input(self, parse7: DeviceArray, skeleton: DeviceArray, agnostic: DeviceArray,
                  cloth: DeviceArray, h: int = 256, w: int = 192,
                  ) -> tuple[DeviceArray, DeviceArray]:
        """See cpu.gmm_input."""
        n, (height, width) = _samples(parse7, 2), parse7.shape[-2:]
        a, b = self._tensor(n, 7, h, w), self._tensor(n, 3, h, w)
        self._run_real("gmm_input", _grid(w, h, n), parse7, skeleton, agnostic, cloth, a, b,
                       _samples(skeleton, 3), height, width, h, w)
        return a, b

    def warp_garment(self, cloth: DeviceArray, mask: DeviceArray, theta: DeviceArray, height: int,
                     width: int) -> tuple[DeviceArray, DeviceArray]:
        """See cpu.warp_garment; `mask` is u8 0..255 here."""
        n, (h, w) = theta.shape[0], mask.shape[-2:]
        coefficients = self.device.empty((n, 28, 2), np.float32)
        self._run_real("tps_coefficients", (n, 1, 1), theta,
                       self._table("tps_inverse", tps_inverse), coefficients)
        W_c, W_m = self._tensor(n, 3, height, width), self._tensor(n, 1, height, width)
        self._run_real("warp_garment", _quads(width, height, n), cloth, mask, coefficients, W_c,
                       W_m, h, w, height, width)
        return W_c, W_m

    # Compose (3.4).
    def misalignment(self, upper: DeviceArray, warped_mask: DeviceArray) -> DeviceArray:
        """See cpu.misalignment; takes seg7 (n, 7, H, W) as well as its upper channel alone, since
        one channel of a batch is not contiguous."""
        n, groups, height, width = upper.shape
        out = self._tensor(n, 1, height, width)
        self._run_real("misalignment", _quads(height * width, 1, n), upper, groups, warped_mask,
                       out, height * width)
        return out

    def split_seg(self, seg7: DeviceArray, misalign: DeviceArray) -> DeviceArray:
        """See cpu.split_seg."""
        n, _, height, width = seg7.shape
        out = self._tensor(n, 8, height, width)
        self._run_real("split_seg", _quads(height * width, 1, n), seg7, misalign, out,
                       height * width)
        return out

    def alias_input(self, agnostic: DeviceArray, skeleton: DeviceArray, warped: DeviceArray,
                    ) -> DeviceArray:
        """See cpu.alias_input."""
        n, _, height, width = warped.shape
        out = self._tensor(n, 9, height, width)
        self._run_real("alias_input", _quads(height * width, 1, n), agnostic, skeleton, warped,
                       out, _samples(agnostic, 3), height * width)
        return out

    def to_image(self, x: DeviceArray, bad: DeviceArray | None = None) -> DeviceArray:
        """See cpu.to_image. `bad` i32 (1,), zero before: becomes 1 where x holds NaN or Inf."""
        n, _, height, width = x.shape
        bad = bad or self.device.empty((1,), np.int32)
        out = self._u8(*((height, width, 3) if n == 1 else (n, height, width, 3)))
        self._run_real("to_image", _quads(height * width, 1, n), x, out, bad, height * width)
        return out

    def to_mask(self, x: DeviceArray) -> DeviceArray:
        """See cpu.to_mask."""
        n, _, height, width = x.shape
        out = self._u8(*((height, width) if n == 1 else (n, height, width)))
        self._run_real("to_mask", _quads(height * width, 1, n), x, out, height * width)
        return out

    def look(self, x: DeviceArray, flag: DeviceArray) -> None:
        """Set `flag` i32 (1,), zero before, to 1 where x holds NaN or Inf: engine/finite.py."""
        self._run_real("look", _grid(-(-x.size // 16)), x, flag, x.size)
