"""Pictures into the networks and garment masks out, on a device: cpu/fit*.py, cpu/mask.py."""

from collections.abc import Callable
from math import prod

import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, I32, Any
from fuw.engine.networks import IMAGENET_MEAN, IMAGENET_STD
from fuw.kernels import tables
from fuw.kernels.cpu.fit import schp_affine, warp_places
from fuw.kernels.cpu.fit_mask import antialias_taps
from fuw.kernels.cpu.fit_pose import (
    densepose_size,
    hand_matrices,
    openpose_input,
    openpose_scale,
)
from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import GpuSteps, _grid, _quads
from fuw.kernels.tables import bands, pillow_taps

NOTHING = np.int32(0x7FFFFFFF)  # what a least value starts from
OUTSIDE = -(1 << 20)  # a place, in 1/32 pixel, that is in no picture


Bands = tuple[DeviceArray, DeviceArray, int]  # of `Taps`, on the device


class GpuFit(GpuSteps):
    """Input recipes and masks; pictures are u8 (H, W, 3) RGB on the device."""

    def _crop(self, image: DeviceArray, places: tuple[DeviceArray, DeviceArray], table: str,
              make: Callable[[], F32]) -> DeviceArray:
        """(n, 3, h, w), B G R, from places x (n, w) and y (n, h)."""
        xs, ys = places
        (n, w), h = xs.shape, ys.shape[1]
        out = self._tensor(n, 3, h, w)
        self._run_real("crop", _grid(w, h, n), image, *image.shape[:2], xs, ys,
                       self._table(table, make), -1, out, h, w)
        return out

    def _places(self, key: object, make: Callable[[], tuple[I32, I32]],
                ) -> tuple[DeviceArray, DeviceArray]:
        return (self._table(("x", key), lambda: make()[0][None]),
                self._table(("y", key), lambda: make()[1][None]))

    def schp_input(self, image: DeviceArray, size: int = 473, mirrored: bool = False,
                   ) -> DeviceArray:
        """See cpu.schp_input; and the same, left for right."""
        height, width = image.shape[:2]

        def make() -> tuple[I32, I32]:
            xs, ys = warp_places(schp_affine(height, width, size), size, size)
            return (xs[::-1] if mirrored else xs), ys

        places = self._places(("schp", height, width, size, mirrored), make)
        return self._crop(image, places, "schp", tables.schp_table)

    def openpose_input(self, image: DeviceArray, net_height: int = 368,
                       net_width: int | None = None) -> tuple[DeviceArray, float]:
        """See cpu.openpose_input. Only shrinking runs here: a photo that is smaller than the
        network's input goes through the host, which enlarges by a cubic."""
        height, width = image.shape[:2]
        s, net_width, scale = openpose_scale(height, width, net_height, net_width)
        if s > 1:
            x, scale = openpose_input(np.asarray(self.device.download(image)), net_height,
                                      net_width)
            return self.device.upload(x.astype(self._dtype)), scale
        wide = net_width
        places = self._places(("openpose", height, width, net_height, wide), lambda: warp_places(
            np.array([[s, 0, 0], [0, s, 0]]), net_height, wide))
        return self._crop(image, places, "openpose", tables.openpose_table), scale

    def hand_input(self, image: DeviceArray, boxes: F32, size: int = 368) -> DeviceArray:
        """See cpu.hand_input; `boxes` lie on the host."""
        xs = np.full((2, size), OUTSIDE, np.int32)
        ys = np.full((2, size), OUTSIDE, np.int32)
        for i, matrix in enumerate(hand_matrices(boxes, size)):
            if matrix is not None:
                xs[i], ys[i] = warp_places(matrix, size, size, inverse=True)
        places = self.device.upload(xs), self.device.upload(ys)
        return self._crop(image, places, "openpose", tables.openpose_table)

    def _resized(self, image: DeviceArray, h: int, w: int, kind: Image.Resampling) -> DeviceArray:
        """Pillow's resize of u8 (H, W) or (H, W, 3); a pass that changes nothing is left out."""
        height, width = image.shape[:2]

        def taps(size: int, source: int) -> Bands | None:
            return None if size == source else self._taps(
                ("pillow", size, source, kind), lambda: pillow_taps(size, source, kind))

        return self._passed(image, h, w, taps(h, height), taps(w, width))

    def _passed(self, image: DeviceArray, h: int, w: int, down: Bands | None,
                across: Bands | None) -> DeviceArray:
        """Resized by the taps of each axis, if any.

        Across, then down, except where the height loses more than twice the pixels that the width
        does: the rule of Pillow 13, whose two roundings then come in the other order.
        """
        height, width = image.shape[:2]
        passes = [(self._across, w, across), (self._down, h, down)]
        if height - h > max(0, 2 * (width - w)):
            passes.reverse()
        for resize, size, taps in passes:
            if taps is not None:
                image = resize(image, size, taps)
        return image

    def _across(self, image: DeviceArray, w: int, taps: Bands) -> DeviceArray:
        height, width, *rest = image.shape
        out = self._u8(height, w, *rest)
        self._run("resize_across", _grid(w, height), image, width, rest[0] if rest else 1, *taps,
                  out, w)
        return out

    def _down(self, image: DeviceArray, h: int, taps: Bands) -> DeviceArray:
        _, *row = image.shape
        out = self._u8(h, *row)
        self._run("resize_down", _quads(prod(row), h), image, prod(row), *taps, out)
        return out

    def densepose_input(self, image: DeviceArray, shorter: int = 800) -> tuple[DeviceArray, F32]:
        """See cpu.densepose_input."""
        height, width = image.shape[:2]
        h, w = densepose_size(height, width, shorter)
        resized = self._resized(image, h, w, Image.Resampling.BILINEAR)
        padded_h, padded_w = -(-h // 32) * 32, -(-w // 32) * 32
        out = self._tensor(1, 3, padded_h, padded_w)
        self._run_real("planes", _quads(padded_w, padded_h), resized, h, w,
                       self._table("densepose", tables.densepose_table), -1, out, padded_h,
                       padded_w)
        return out, np.array([w / width, h / height] * 2, np.float32)

    def u2net_input(self, image: DeviceArray, size: int = 320) -> DeviceArray:
        """See cpu.u2net_input."""
        resized = self._resized(image, size, size, Image.Resampling.BICUBIC)
        top = self.device.empty((1,), np.int32)
        self.device.fill(top, 0)
        self._run("max_byte", _grid(-(-resized.size // 16)), resized, top, resized.size)
        table = self.device.empty((3, 256), np.float32)
        statistics = self._table("imagenet", lambda: np.array([IMAGENET_MEAN, IMAGENET_STD]))
        self._run("u2net_table", _grid(768), top, statistics, table)
        out = self._tensor(1, 3, size, size)
        self._run_real("planes", _quads(size, size), resized, size, size, table, 1, out, size, size)
        return out

    def tracer_input(self, image: DeviceArray, size: int = 640) -> DeviceArray:
        """See cpu.tracer_input."""
        height, width = image.shape[:2]
        rows = self._taps(("torch", size, height), lambda: bands(antialias_taps(size, height)))
        columns = self._taps(("torch", size, width), lambda: bands(antialias_taps(size, width)))
        down = self.device.empty((size, width, 3), np.float32)
        self._run("taps_down", _quads(width * 3, size), image, width * 3, *rows, down)
        out = self._tensor(1, 3, size, size)
        self._run_real("taps_across", _grid(size, size), down, width, *columns,
                       self._table("tracer", _tracer_scale), out, size, size)
        return out

    def u2net_mask(self, d0: DeviceArray, height: int, width: int) -> DeviceArray:
        """See cpu.u2net_mask."""
        span = self.device.empty((2,), np.int32)
        self.device.fill(span, int(NOTHING))
        self._run_real("min_max", _grid(-(-d0.size // 16)), d0, span, d0.size)
        return self._mask(d0, span, height, width, Image.Resampling.BICUBIC)

    def tracer_mask(self, mask: DeviceArray, height: int, width: int) -> DeviceArray:
        """See cpu.tracer_mask."""
        return self._mask(mask, None, height, width, Image.Resampling.BILINEAR)

    def _mask(self, unit: DeviceArray, span: DeviceArray | None, height: int, width: int,
              kind: Image.Resampling) -> DeviceArray:
        small = self._u8(*unit.shape[2:])
        self._run_real("to_bytes", _quads(unit.size), unit, span, small, unit.size)
        return self._resized(small, height, width, kind)

    def binary_mask(self, mask: DeviceArray) -> DeviceArray:
        """See cpu.binary_mask."""
        out = self._u8(*mask.shape)
        self._run("binary_mask", _quads(mask.size), mask, out, mask.size)
        return out


def _tracer_scale() -> Any:
    """(2, 3): factor and summand that take bytes to TRACER's normalised values."""
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    return np.array([1 / (255 * std), -mean / std], np.float32)
