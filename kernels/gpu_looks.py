"""Several looks at a picture on a device: cpu/looks.py. Only the starter networks look twice, so
what no kernel does goes through the host."""

from collections.abc import Sequence

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.spec import View
from fuw.kernels.cpu import looks
from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu_fit import GpuFit


class GpuLooks(GpuFit):
    """What a network is shown, and the mean of its answers."""

    def mirrored(self, x: DeviceArray) -> DeviceArray:
        """See cpu.looks.mirrored; through the host."""
        return self.up(looks.mirrored(np.asarray(self.device.download(x), self._dtype)))

    def schp_view(self, image: DeviceArray, view: View, size: int = 473) -> DeviceArray:
        """See cpu.looks.schp_view."""
        height, width = image.shape[:2]
        top, bottom = looks.rows_of(view, height, width)
        part = image.part(top * width * 3, bottom - top, width, 3)
        return self.schp_input(part, size, mirrored=view.mirrored)

    def mean_labels(self, logits: Sequence[DeviceArray], views: Sequence[View], height: int,
                    width: int, size: int = 473) -> DeviceArray:
        """See cpu.looks.mean_labels; through the host."""
        with np.errstate(invalid="ignore"):  # an answer that overflowed has raised its flag
            return self.up(looks.mean_labels(self._floats(logits), views, height, width, size))

    def mean_maps(self, maps: Sequence[DeviceArray], views: Sequence[View]) -> DeviceArray:
        """See cpu.looks.mean_maps; through the host."""
        return self.up(looks.mean_maps(self._floats(maps), views).astype(self._dtype))

    def _floats(self, arrays: Sequence[DeviceArray]) -> list[F32]:
        return [np.asarray(array, np.float32) for array in self.home(*arrays)]
