"""A picture back into its photo, on a device: `Frame.paste_back` of engine/frame.py."""

from PIL import Image

from fuw.engine.frame import Patch
from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import _quads
from fuw.kernels.gpu_fit import Bands, GpuFit
from fuw.kernels.tables import pillow_taps


class GpuPaste(GpuFit):
    """Resize, soften, blend."""

    def put_back(self, photo: DeviceArray, picture: DeviceArray, patch: Patch,
                 region: DeviceArray | None = None) -> None:
        """Put `picture` u8 (h, w, 3) into `photo` u8 (H, W, 3), in place; with `region` u8 (h, w)
        only where that is 128 and more, softly. See `Frame.paste_back`."""
        x0, y0, x1, y1 = patch.box
        small = x1 - x0 > patch.width  # the photo shows it smaller than it is
        kind = Image.Resampling.LANCZOS if small else Image.Resampling.BICUBIC
        height, width = picture.shape[:2]
        down = self._part(patch.height, height, kind, y0, y1)
        across = self._part(patch.width, width, kind, x0, x1)
        size = patch.height, patch.width
        soft = None
        if region is not None:
            soft = self._soft(self._passed(region, *size, down, across), patch.blur)
        self.paste_back(photo, self._passed(picture, *size, down, across), patch.x, patch.y,
                        self.up(patch.rows), self.up(patch.columns), soft)

    def _part(self, size: int, source: int, kind: Image.Resampling, start: float, end: float,
              ) -> Bands | None:
        """Taps of a part; they are this photo's own, and not kept."""
        if (size, start, end) == (source, 0, source):
            return None
        taps = pillow_taps(size, source, kind, start, end)
        return self.up(taps.first), self.up(taps.weight), taps.width

    def _soft(self, region: DeviceArray, count: int) -> DeviceArray:
        """f32 (h, w): 1 inside the region, averaged twice over `count` pixels either way."""
        height, width = region.shape
        array, kernel = region, "soften_bytes"
        for down in (0, 1, 0, 1):
            soft = self.device.empty((height, width), "float32")
            self._run(kernel, _quads(width, height), array, soft, height, width, count // 2, down)
            array, kernel = soft, "soften"
        return array

    def paste_back(self, photo: DeviceArray, patch: DeviceArray, x0: int, y0: int,
                   rows: DeviceArray, columns: DeviceArray, region: DeviceArray | None = None,
                   ) -> None:
        """Blend `patch` u8 (h, w, 3) into `photo` u8 (H, W, 3) at x0, y0, in place, by rows f32 (h)
        times columns f32 (w) times region f32 (h, w): the last step of `Frame.paste_back`."""
        height, width = patch.shape[:2]
        self._run("paste_back", _quads(width, height), photo, photo.shape[1], x0, y0, patch, rows,
                  columns, region, width)
