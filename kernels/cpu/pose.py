"""Heat maps and part affinity fields (PAFs) of OpenPose: enlarge, find peaks, score limbs.

The CPU build of OpenPose is the definition. Maps are f32 (C, h, w) in network cells; peaks are in
pixels of the maps enlarged 8 times, which is the network's input size.
"""

from functools import cache

import cv2
import numpy as np

from fuw.engine.arrays import F32, I32, I64, Bool
from fuw.kernels.cpu.body25 import KEYPOINTS, PAIRS

STRIDE = 8  # network pixels per map cell
HEATMAPS = 26  # of BODY_25's 78 channels; the PAFs follow
HAND_POINTS = 21  # of the hand network's 22 channels
MAX_PEAKS = 127  # of one keypoint
PEAK_THRESHOLD = np.float32(0.05)
_CUBIC = -0.75  # OpenCV's; the GPU build of OpenPose uses -0.5
_OVERSHOOT = 1.9  # 1.375 ** 2, and room for rounding
_REFINE = 3  # half window of the peak's centre of mass
_SAMPLES = (5, 25)  # along a limb, at least and at most
_PAF_THRESHOLD = 0.05
_PAF_SHARE = 0.95  # of the samples that must exceed it
_GATHER_LIMIT = 1024  # limbs beyond which enlarging the whole field is cheaper


def enlarge(maps: F32) -> F32:
    """Return maps (C, 8 h, 8 w): separable cubic, half-pixel centres, edges repeated."""
    c, h, w = maps.shape
    out = np.empty((c, h * STRIDE, w * STRIDE), np.float32)
    for source, target in zip(maps, out, strict=True):
        cv2.resize(source, (w * STRIDE, h * STRIDE), dst=target, interpolation=cv2.INTER_CUBIC)
    return out


def _ceiling(maps: F32) -> F32:
    """A bound (C, h, w) that no enlarged pixel of a cell exceeds, from the 5x5 cells around it.

    The cubic's weights add up to 1, their absolute values to at most `_OVERSHOOT`.
    """
    kernel = np.ones((5, 5), np.uint8)
    out = np.empty_like(maps)
    for source, target in zip(maps, out, strict=True):
        highest, lowest = cv2.dilate(source, kernel), cv2.erode(source, kernel)
        np.subtract(highest, lowest, out=target)
        target *= (_OVERSHOOT - 1) / 2
        target += highest
    return out


def _enlarge_where(heatmap: F32, active: Bool, margin: int) -> tuple[F32, int, int]:
    """`enlarge` only the box around the active cells and `margin` cells more.

    Returns:
        The part of the enlarged map, equal to the bit, and the row and column where it lies.
    """
    rows, columns = np.flatnonzero(active.any(1)), np.flatnonzero(active.any(0))
    cut, inner = [], []
    for found, size in ((rows, heatmap.shape[0]), (columns, heatmap.shape[1])):
        first, last = max(found[0] - margin, 0), min(found[-1] + margin + 1, size)
        wide = max(first - 2, 0), min(last + 2, size)  # what the cubic's taps see
        cut.append(slice(*wide))
        inner.append(slice((first - wide[0]) * STRIDE, (last - wide[0]) * STRIDE))
    part = heatmap[cut[0], cut[1]]
    height, width = part.shape[0] * STRIDE, part.shape[1] * STRIDE
    enlarged = np.empty((height, width), np.float32)
    cv2.resize(part, (width, height), dst=enlarged, interpolation=cv2.INTER_CUBIC)
    top, left = (c.start * STRIDE + i.start for c, i in zip(cut, inner, strict=True))
    return enlarged[inner[0], inner[1]], top, left


def heat_peaks(heatmaps: F32, offset: float = 0.0) -> tuple[I32, F32]:
    """Find the local maxima of every enlarged heat map above 0.05.

    Args:
        heatmaps: (C, h, w).
        offset: added to x and y.

    Returns:
        count (C,) i32 and peaks (C, 127, 3) f32 in scan order: x and y refined to the centre of
        mass of the 7x7 window, score at the maximum itself; unused rows are 0.
    """
    height, width = heatmaps.shape[1] * STRIDE, heatmaps.shape[2] * STRIDE
    count = np.zeros(len(heatmaps), np.int32)
    peaks = np.zeros((len(heatmaps), MAX_PEAKS, 3), np.float32)
    active = _ceiling(heatmaps) > PEAK_THRESHOLD
    for c in np.flatnonzero(active.any((1, 2))):
        # one cell of margin: what lies outside is below the threshold, but refines peaks
        fine, top, left = _enlarge_where(heatmaps[c], active[c], 1)
        y, x = _maxima(fine, top, left, height, width)
        y, x = y[:MAX_PEAKS], x[:MAX_PEAKS]
        count[c] = len(y)
        peaks[c, : len(y), :2] = _refined(fine, y, x) + (left, top)
        peaks[c, : len(y), :2] += np.float32(offset)
        peaks[c, : len(y), 2] = fine[y, x]
    return count, peaks


def _maxima(fine: F32, top: int, left: int, height: int, width: int) -> tuple[I64, I64]:
    """Rows and columns, within `fine`, of its maxima over 8 neighbours, in scan order.

    The official rule at the edges of the whole map (height, width): a maximum must be strictly
    higher than its neighbours inside, may tie with them on the four lines one pixel from an edge
    (all along, so where such a line meets the edge as well), and is never taken elsewhere on it.
    """
    highest = cv2.dilate(fine, np.ones((3, 3), np.uint8))
    row, column = np.nonzero((fine >= highest) & (fine > PEAK_THRESHOLD))
    y, x = row + top, column + left
    line = (y == 1) | (y == height - 2) | (x == 1) | (x == width - 2)
    edge = (y == 0) | (y == height - 1) | (x == 0) | (x == width - 1)
    around, _ = _window(fine, row, column, 1)
    equal = (around == fine[row, column][:, None, None]).sum((1, 2))
    keep = line | (~edge & (equal == 1))  # one: itself
    return row[keep], column[keep]


def _window(fine: F32, y: I64, x: I64, half: int) -> tuple[F32, Bool]:
    """Values (n, 2 half + 1, 2 half + 1) around n pixels, and where they lie inside `fine`."""
    steps = np.arange(-half, half + 1)
    rows, columns = y[:, None] + steps, x[:, None] + steps
    last_y, last_x = fine.shape[0] - 1, fine.shape[1] - 1
    rows_in = np.minimum(np.maximum(rows, 0), last_y)
    columns_in = np.minimum(np.maximum(columns, 0), last_x)
    inside = (rows == rows_in)[:, :, None] & (columns == columns_in)[:, None, :]
    return fine[rows_in[:, :, None], columns_in[:, None, :]], inside


def _refined(fine: F32, y: I64, x: I64) -> F32:
    """Centre of mass (n, 2) x, y of the positive values within 3 pixels of each maximum."""
    window, inside = _window(fine, y, x, _REFINE)
    mass = np.where(inside & (window > 0), window, 0).astype(np.float64)
    steps = np.arange(-_REFINE, _REFINE + 1)
    total = mass.sum((1, 2))
    return np.stack([x + (mass.sum(1) @ steps) / total,
                     y + (mass.sum(2) @ steps) / total], 1).astype(np.float32)


def paf_scores(pafs: F32, count: I32, peaks: F32) -> F32:
    """Score every possible limb: how well the field points from one peak to the other.

    Args:
        pafs: (52, h, w).
        count, peaks: (25,) and (25, 127, 3), as `heat_peaks` gives them.

    Returns:
        (26, 127, 127) f32, for each of `PAIRS` and each peak of its first and second keypoint: the
        mean of the samples above 0.05 where more than 95 % of them are; just over 0.05 for two
        peaks that nearly coincide; else 0.
    """
    scores = np.zeros((len(PAIRS), MAX_PEAKS, MAX_PEAKS), np.float32)
    pair, i, j = (np.concatenate(column) for column in zip(*(
        _every(p, int(count[a]), int(count[b])) for p, (a, b, _) in enumerate(PAIRS)), strict=True))
    table = np.array(PAIRS)
    a, b = peaks[table[pair, 0], i, :2], peaks[table[pair, 1], j, :2]
    if len(pair) <= _GATHER_LIMIT:
        scores[pair, i, j] = _gathered(pafs, table[pair, 2], a, b)
        return scores
    for p in np.unique(pair):  # a crowd, or noise
        of = np.flatnonzero(pair == p)
        field = enlarge(pafs[table[p, 2] :][:2])
        for part in np.array_split(of, -(-len(of) // _GATHER_LIMIT)):
            x, y, used = _line(a[part], b[part], field.shape[2], field.shape[1])
            scores[p, i[part], j[part]] = _limb_scores(
                field[:, y, x], a[part], b[part], used, field[0].size)
    return scores


def _every(pair: int, first: int, second: int) -> tuple[I64, I64, I64]:
    """All combinations of the peaks of a pair: the pair itself, first peak, second peak."""
    i, j = np.divmod(np.arange(first * second), max(second, 1))
    return np.full(len(i), pair), i, j


def _gathered(pafs: F32, channel: I64, a: F32, b: F32) -> F32:
    """Scores (n,) of limbs a -> b (n, 2), the fields evaluated only where they are sampled."""
    height, width = pafs.shape[1] * STRIDE, pafs.shape[2] * STRIDE
    x, y, used = _line(a, b, width, height)
    field = np.stack([_cubic_at(pafs, channel[:, None] + k, y, x) for k in (0, 1)])
    return _limb_scores(field, a, b, used, height * width)


def _line(a: F32, b: F32, width: int, height: int) -> tuple[I64, I64, Bool]:
    """Pixels (n, 25) x and y of the samples from `a` towards `b`, and which of them are used."""
    step = (b - a).astype(np.float32)
    longest = np.abs(step).max(1, initial=0)
    count = (np.sqrt(5 * longest) + np.float32(0.5)).astype(np.int64).clip(*_SAMPLES)
    k = np.arange(_SAMPLES[1])
    each = (step / count[:, None].astype(np.float32)).astype(np.float32)
    points = a[:, None, :] + k[None, :, None].astype(np.float32) * each[:, None, :]
    points = (points + np.float32(0.5)).astype(np.int64)
    x, y = points[..., 0].clip(0, width - 1), points[..., 1].clip(0, height - 1)
    return x, y, k < count[:, None]


def _limb_scores(field: F32, a: F32, b: F32, used: Bool, area: int) -> F32:
    """Scores (n,) of limbs a -> b (n, 2) from the field (2, n, 25) at their samples."""
    step = b - a
    length = np.sqrt((step * step).sum(1))
    unit = step / np.maximum(length, 1e-6)[:, None]
    dots = unit[:, :1] * field[0] + unit[:, 1:] * field[1]
    counted = used & (dots > _PAF_THRESHOLD)
    hits = counted.sum(1)
    mean = np.where(counted, dots, 0).sum(1) / np.maximum(hits, 1)
    accepted = hits > _PAF_SHARE * used.sum(1)
    near = length < np.sqrt(area) / 150
    scores = np.where(accepted, mean, np.where(near, PEAK_THRESHOLD + 1e-6, 0))
    return np.where(length > 1e-6, scores, 0).astype(np.float32)


@cache
def _cubic_taps() -> F32:
    """(8, 4) weights of the four cells around each of the eight positions inside a cell."""
    t = ((np.arange(STRIDE) + 0.5) / STRIDE - 0.5) % 1.0
    distance = np.abs(np.stack([t + 1, t, 1 - t, 2 - t], 1))
    d, p = distance, _CUBIC
    near = ((p + 2) * d - (p + 3)) * d * d + 1
    far = ((p * d - 5 * p) * d + 8 * p) * d - 4 * p
    return np.where(d <= 1, near, far).astype(np.float32)


def _cubic_at(maps: F32, channel: I64, y: I64, x: I64) -> F32:
    """Values of `enlarge(maps)` at single pixels, without enlarging."""
    height, width = maps.shape[1:]
    taps, around = _cubic_taps(), np.arange(-1, 3)
    rows = ((y[..., None] - STRIDE // 2) // STRIDE + around).clip(0, height - 1)
    columns = ((x[..., None] - STRIDE // 2) // STRIDE + around).clip(0, width - 1)
    patch = maps[channel[..., None, None], rows[..., :, None], columns[..., None, :]]
    out: F32 = np.einsum("...ij,...i,...j->...", patch, taps[y % STRIDE], taps[x % STRIDE])
    return out


def heat_argmax(heatmaps: F32) -> F32:
    """Return (C, 3) f32 x, y, value of the highest pixel of every enlarged map (C, h, w)."""
    best = np.empty((len(heatmaps), 3), np.float32)
    ceiling = _ceiling(heatmaps)
    for c, heatmap in enumerate(heatmaps):
        # The pixels around the highest cell reach some value; only cells that could reach it too
        # need to be looked at.
        near, _, _ = _enlarge_where(heatmap, heatmap == heatmap.max(), 0)
        fine, top, left = _enlarge_where(heatmap, ceiling[c] >= near.max(), 0)
        y, x = np.divmod(int(fine.argmax()), fine.shape[1])
        best[c] = x + left, y + top, fine[y, x]
    return best


def find_peaks(net_output: F32, scale: float) -> tuple[I32, F32, F32]:
    """Everything that people are put together from.

    Args:
        net_output: (1, 78, h, w) of BODY_25: 26 heat maps, 52 PAF channels.
        scale: image pixels per network pixel (`openpose_input`).

    Returns:
        count (25,) and peaks (25, 127, 3) as `heat_peaks`, scores as `paf_scores`.
    """
    maps = np.ascontiguousarray(net_output[0], np.float32)
    # OpenPose adds half an image pixel; it does so before the limbs are scored.
    count, peaks = heat_peaks(maps[: len(KEYPOINTS)], 0.5 / scale)
    return count, peaks, paf_scores(maps[HEATMAPS:], count, peaks)


def find_hands(heatmaps: F32) -> F32:
    """Return (2, 21, 3) f32 x, y, value: the highest pixels of both hands' maps (2, 22, h, w)."""
    # a network that overflowed saw no hand: score 0, not a crash
    maps = np.nan_to_num(heatmaps[:, :HAND_POINTS].astype(np.float32), posinf=0.0)
    return np.stack([heat_argmax(hand) for hand in maps])
