"""The distinct 5x5 windows of a label map: what the sparse ALIAS makes table rows for.

Its CPU form finds them inside the graph (`fuw.export.nets.patterns`), in shapes that follow the
data. Here they come in arrays of fixed size, for graphs and engines with static shapes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, I32, I64, Bool

SNAP = np.float32(1e-6)  # nearer to 0 or 1 than this is clean: the warped mask leaves residues
REACH = 2  # two 3x3 convolutions see two pixels in each direction
SIDE = 2 * REACH + 1
PLACES = SIDE * SIDE
MOST_LABELS = 14  # with the outside and what is no label, a window's code has 4 bits


class Windows(NamedTuple):
    """The distinct windows of one level.

    Attributes:
        rows: (n, h, w), each pixel's window, counted in the order of their first pixels.
        places: (capacity, 25), where each window's pixels lie in the flat label map, in its first
            channel; -1 outside of the picture, and in rows that are left over.
        overflow: there are more windows than the capacity; rows are 0 then and places -1.
    """

    rows: I32
    places: I32
    overflow: bool


def windows(labels: F32, step: int, capacity: int) -> Windows:
    """Number the windows of every `step`-th pixel of a label map.

    Two windows are one where all of their 25 labels agree; what is outside of the picture is a
    label of its own. A window with a pixel that is not one-hot (within SNAP) stands for itself.

    Args:
        labels: (n, channels, H, W).
        capacity: rows there is room for, over all samples.

    Raises:
        ValueError: more channels than a window's code can tell apart.
    """
    n, channels, height, width = labels.shape
    check_channels(channels)
    h, w = height // step, width // step
    codes = _codes(labels[:, :, : h * step : step, : w * step : step])
    first = _first(codes, channels)
    chosen = np.flatnonzero(first == np.arange(first.size))
    places = np.full((capacity, PLACES), -1, np.int32)
    if len(chosen) > capacity:
        return Windows(np.zeros((n, h, w), np.int32), places, True)
    number = np.zeros(first.size, np.int32)
    number[chosen] = np.arange(len(chosen))
    sample, y, x = np.unravel_index(chosen, (n, h, w))
    reach = np.arange(-REACH, REACH + 1)
    ys = y[:, None, None] + reach[:, None]
    xs = x[:, None, None] + reach
    at = (sample[:, None, None] * channels * height + ys * step) * width + xs * step
    inside = (ys >= 0) & (ys < h) & (xs >= 0) & (xs < w)
    places[: len(chosen)] = np.where(inside, at, -1).reshape(-1, PLACES)
    return Windows(number[first].reshape(n, h, w), places, False)


def check_channels(channels: int) -> None:
    """Raises ValueError for more channels than a window's code can tell apart."""
    if channels > MOST_LABELS:
        raise ValueError(f"a label map of {channels} channels; windows of at most {MOST_LABELS} "
                         "labels can be told apart")


def _codes(labels: F32) -> I64:
    """(n, h, w): the label of a pixel, else channels + 1; `channels` is the outside."""
    hot = np.abs(labels - 1) <= SNAP
    clean = (hot | (np.abs(labels) <= SNAP)).all(1) & (hot.sum(1) == 1)
    codes: I64 = np.where(clean, hot.argmax(1), labels.shape[1] + 1)
    return codes


def _first(codes: I64, channels: int) -> npt.NDArray[np.intp]:
    """For every pixel the first one, in their order, that has the same window."""
    framed = np.pad(codes, ((0, 0), (REACH,) * 2, (REACH,) * 2), constant_values=channels)
    seen = np.lib.stride_tricks.sliding_window_view(framed, (SIDE, SIDE), (1, 2))
    alone = (seen > channels).any((-2, -1)).ravel()
    # 25 codes of 4 bits, in two numbers; whole windows are compared, nothing is hashed.
    packed = np.zeros((2, alone.size), np.int64)
    for i in range(PLACES):
        half = packed[i % 2]
        half |= seen[..., i // SIDE, i % SIDE].ravel() << 4 * (i // 2)
    return _first_equal(packed[0], packed[1], alone)


def _first_equal(upper: I64, lower: I64, alone: Bool) -> npt.NDArray[np.intp]:
    """Index of the first pair equal to each pair; of itself where `alone`."""
    first = np.arange(upper.size)
    shared = np.flatnonzero(~alone)
    order = shared[np.lexsort((lower[shared], upper[shared]))]  # stable: least index first
    begins = np.ones(order.size, bool)
    begins[1:] = (np.diff(upper[order]) != 0) | (np.diff(lower[order]) != 0)
    if order.size:
        first[order] = order[begins][np.cumsum(begins) - 1]
    return first
