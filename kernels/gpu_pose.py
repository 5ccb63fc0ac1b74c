"""Key points, the skeleton picture and I, U, V on a device: cpu/pose.py, skeleton.py, iuv.py."""

from collections.abc import Sequence

import numpy as np

from fuw.engine.arrays import F32, I32
from fuw.kernels.cpu.body25 import KEYPOINTS, PAIRS
from fuw.kernels.cpu.iuv import box_pixels
from fuw.kernels.cpu.pose import HAND_POINTS, HEATMAPS, MAX_PEAKS, STRIDE
from fuw.kernels.cpu.skeleton import skeleton_strokes
from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import GpuSteps, _grid, _quads


def _channels(maps: DeviceArray, first: int, count: int) -> DeviceArray:
    """`count` channels of the first sample of (n, c, h, w), as (count, h, w) on the same memory."""
    _, _, h, w = maps.shape
    start = maps.pointer + first * h * w * maps.dtype.itemsize
    return DeviceArray((count, h, w), maps.dtype, start, maps.owner)


class GpuPose(GpuSteps):
    """What follows OpenPose and DensePose; key points themselves are assembled on the host."""

    def enlarge(self, maps: DeviceArray) -> DeviceArray:
        """See cpu.pose.enlarge."""
        c, h, w = maps.shape
        fine = self.device.empty((c, h * STRIDE, w * STRIDE), np.float32)
        self._run_real("enlarge", _quads(w * STRIDE, h * STRIDE, c), maps, h, w, fine)
        return fine

    def heat_peaks(self, heatmaps: DeviceArray, offset: float = 0.0,
                   ) -> tuple[DeviceArray, DeviceArray]:
        """See cpu.pose.heat_peaks."""
        fine = self.enlarge(heatmaps)
        c, height, width = fine.shape
        rows = self.device.empty((c, height), np.int32)
        count = self.device.empty((c,), np.int32)
        peaks = self.device.empty((c, MAX_PEAKS, 3), np.float32)
        self.device.fill(rows, 0)
        self.device.fill(peaks, 0)
        self._run("peak_count", _quads(width, height, c), fine, height, width, rows)
        self._run("peak_write", _grid(height, c), fine, height, width, rows, float(offset), count,
                  peaks)
        return count, peaks

    def paf_scores(self, pafs: DeviceArray, count: DeviceArray, peaks: DeviceArray) -> DeviceArray:
        """See cpu.pose.paf_scores."""
        _, h, w = pafs.shape
        scores = self.device.empty((len(PAIRS), MAX_PEAKS, MAX_PEAKS), np.float32)
        pairs = self._table("pairs", lambda: np.array(PAIRS, np.int32))
        self._run_real("paf_scores", _grid(MAX_PEAKS, MAX_PEAKS, len(PAIRS)), pafs, h, w, pairs,
                       count, peaks, scores)
        return scores

    def heat_argmax(self, heatmaps: DeviceArray) -> DeviceArray:
        """See cpu.pose.heat_argmax."""
        fine = self.enlarge(heatmaps)
        c, height, width = fine.shape
        rows = self.device.empty((c, height, 2), np.float32)
        points = self.device.empty((c, 3), np.float32)
        self._run("row_max", _grid(height, c), fine, height, width, rows)
        self._run("map_max", _grid(c), rows, height, c, points)
        return points

    def find_peaks(self, net_output: DeviceArray, scale: float) -> tuple[I32, F32, F32]:
        """See cpu.pose.find_peaks; waits for the device, since people are put together on the
        host."""
        count, peaks = self.heat_peaks(_channels(net_output, 0, len(KEYPOINTS)), 0.5 / scale)
        pafs = _channels(net_output, HEATMAPS, net_output.shape[1] - HEATMAPS)
        found = self.home(count, peaks, self.paf_scores(pafs, count, peaks))
        return (np.asarray(found[0], np.int32), np.asarray(found[1], np.float32),
                np.asarray(found[2], np.float32))

    def find_hands(self, heatmaps: DeviceArray) -> F32:
        """See cpu.pose.find_hands; waits for the device."""
        hands, points = heatmaps.shape[:2]
        flat = heatmaps.reshaped(hands * points, *heatmaps.shape[2:])
        best = np.asarray(self.device.download(self.heat_argmax(flat)), np.float32)
        return best.reshape(hands, points, 3)[:, :HAND_POINTS]

    def draw_skeleton(self, body: F32, hands: F32 | None, height: int, width: int) -> DeviceArray:
        """See cpu.draw_skeleton; key points lie on the host."""
        return self.draw_skeletons([(body, hands)], height, width).reshaped(height, width, 3)

    def draw_skeletons(self, people: Sequence[tuple[F32, F32 | None]], height: int, width: int,
                       ) -> DeviceArray:
        """One picture (n, height, width, 3) for each body and its hands."""
        strokes = [skeleton_strokes(body, hands, height, width) for body, hands in people]
        first = np.cumsum([0, *map(len, strokes)]).astype(np.int32)
        flat = np.concatenate([*strokes, np.zeros((1, strokes[0].shape[1]), np.float32)])
        picture = self._u8(len(people), height, width, 3)
        self._run("draw_skeleton", _quads(width, height, len(people)), self.device.upload(flat),
                  self.device.upload(first), picture, height, width)
        return picture

    def compose_iuv(self, coarse: DeviceArray, fine: DeviceArray, u: DeviceArray, v: DeviceArray,
                    box: F32, height: int, width: int) -> DeviceArray:
        """See cpu.compose_iuv; the box lies on the host."""
        picture = self._u8(height, width, 3)
        self._run_real("compose_iuv", _quads(width, height), coarse, fine, u, v, *fine.shape[2:],
                       *box_pixels(box), picture, width)
        return picture
