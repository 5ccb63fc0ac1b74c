"""What Pillow draws as spans: for every shape and row, the first and last column it covers.

The CUDA kernels test pixels against these, so the agnostic maps come out as Pillow's without
drawing on the host. Rules are those of Pillow's `Draw.c`, written anew: points are cut to integers,
polygons cover from the rounded first to the rounded last crossing of a row, ellipses are traced by
their quarter.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fuw.kernels.cpu.agnostic import Shape

I16 = npt.NDArray[np.int16]
Corner = tuple[float, float]
EMPTY = (1, 0)  # first > last: nothing


def spans(shapes: list[Shape], height: int, width: int) -> I16:
    """i16 (count, height, 2): first and last column of each part of each shape; empty is (1, 0).

    A polygon that is not convex becomes two parts, so count may exceed the number of shapes.
    """
    parts: list[I16] = []
    for shape in shapes:
        points = [(int(x), int(y)) for x, y in shape.points]
        if shape.kind == "ellipse":
            parts.append(_ellipse(points, height))
        elif shape.kind == "box":
            (x0, y0), (x1, y1) = points
            parts.append(_polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], height))
        else:
            corners = _wide_line(points, shape.width) if shape.kind == "line" else points
            parts += [_polygon(part, height) for part in _convex_parts(corners)]
    table = np.stack(parts) if parts else np.empty((0, height, 2), np.int16)
    # Clipped to where 16 bits suffice; columns outside the picture are never asked for.
    return np.clip(table, -1, width).astype(np.int16)


def _round_half_out(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    v = np.asarray(value, np.float64)
    return np.copysign(np.floor(np.abs(v) + 0.5), v)


def _round_half_in(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    v = np.asarray(value, np.float64)
    return np.copysign(np.ceil(np.abs(v) - 0.5), v)


def _wide_line(ends: list[tuple[int, int]], width: int) -> list[tuple[int, int]]:
    """The quadrilateral that Pillow fills for a line: its half widths round apart."""
    (x0, y0), (x1, y1) = ends
    dx, dy = x1 - x0, y1 - y0
    length, half = float(np.hypot(dx, dy)), (width - 1) / 2
    if length == 0:
        return [ends[0]] * 4
    most, least = float(_round_half_out(half)) / length, float(_round_half_in(half)) / length
    left, right = int(_round_half_in(least * dy)), int(_round_half_in(most * dy))
    up, down = int(_round_half_out(least * dx)), int(_round_half_out(most * dx))
    return [(x0 - left, y0 + down), (x1 - left, y1 + down), (x1 + right, y1 - up),
            (x0 + right, y0 - up)]


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _convex_parts(corners: list[tuple[int, int]]) -> list[list[Corner]]:
    """A quadrilateral as itself, or where it is a bow tie or has a notch, as two triangles."""
    turns = [_turn(corners[i - 1], corners[i], corners[(i + 1) % 4]) for i in range(4)]
    inward = [i for i in range(4) if turns[i] < 0]
    if len(inward) in (0, 4):
        return [list(corners)]
    if len(inward) == 2:
        for i in (0, 1):  # do the sides i -> i+1 and i+2 -> i+3 cross?
            a, b, c, d = (corners[(i + k) % 4] for k in range(4))
            if _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0:
                share = _turn(c, d, a) / (_turn(c, d, a) - _turn(c, d, b))
                cross = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
                return [[a, cross, d], [cross, b, c]]
        return [list(corners)]
    notch = inward[0] if len(inward) == 1 else next(i for i in range(4) if turns[i] >= 0)
    a, b, c, d = (corners[(notch + k) % 4] for k in range(4))
    return [[a, b, c], [a, c, d]]


def _polygon(corners: list[Corner], height: int) -> I16:
    """Spans (height, 2) of a convex polygon, sides included."""
    rows = np.arange(height, dtype=np.float64)[:, None]
    start = np.array(corners, np.float64)
    end = np.roll(start, -1, 0)
    low, high = np.minimum(start, end)[:, 1], np.maximum(start, end)[:, 1]
    flat = start[:, 1] == end[:, 1]
    slope = (end[:, 0] - start[:, 0]) / np.where(flat, 1, end[:, 1] - start[:, 1])
    at = start[:, 0] + (rows - start[:, 1]) * slope
    outside = (rows < low) | (rows > high)
    first = np.where(outside, np.inf, np.where(flat, np.minimum(start, end)[:, 0], at)).min(1)
    last = np.where(outside, -np.inf, np.where(flat, np.maximum(start, end)[:, 0], at)).max(1)
    table = np.empty((height, 2), np.int16)
    table[:] = EMPTY
    hit = np.isfinite(first)
    table[hit, 0] = np.clip(_round_half_out(first[hit]), -9999, 9999)
    table[hit, 1] = np.clip(_round_half_in(last[hit]), -9999, 9999)
    return table


def _ellipse(box: list[tuple[int, int]], height: int) -> I16:
    (x0, y0), (x1, y1) = box
    table = np.empty((height, 2), np.int16)
    table[:] = EMPTY
    a, b = x1 - x0, y1 - y0
    if a < 0 or b < 0:
        return table
    reach = _quarter(a, b)
    rows = y0 + np.arange(b + 1)
    inside = (rows >= 0) & (rows < height)
    far = reach[np.abs(2 * np.arange(b + 1) - b) // 2]
    table[rows[inside], 0] = x0 + (a - far[inside]) // 2
    table[rows[inside], 1] = x0 + (a + far[inside]) // 2
    return table


@lru_cache(maxsize=64)
def _quarter(a: int, b: int) -> npt.NDArray[np.int64]:
    """Farthest x (in half pixels from the centre) of every row of an ellipse, from its middle row.

    Pillow walks from the side to the pole, each time to that of three neighbours which is nearest
    to the curve; a row's reach is where the walk enters it.
    """
    aa, bb, target = a * a, b * b, a * a * b * b
    x, y = a, b % 2
    reach = [x]
    while y <= b and (x, y) != (a % 2, b):
        up, left = aa * (y + 2) ** 2 - target, bb * (x - 2) ** 2
        least, step = abs(bb * x * x + up), (x, y + 2)
        if x > 1 and abs(left + up) < least:
            least, step = abs(left + up), (x - 2, y + 2)
        if x > 1 and abs(left + aa * y * y - target) < least:
            step = (x - 2, y)
        if step[1] > y:
            reach.append(step[0])
        x, y = step
    # A flat ellipse may step past its pole, and its last rows are a point wide.
    reach += [a % 2] * (b // 2 + 1 - len(reach))
    return np.array(reach[: b // 2 + 1], np.int64)
