"""In front of and behind the matcher (VITON-HD, section 3.3): thin-plate spline and sampling."""

import json
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, U8, Bool
from fuw.kernels.cpu.fit import signed
from fuw.kernels.cpu.parse import UPPER_GROUP, one_hot
from fuw.kernels.cpu.segment import garment

CONTROL = 5  # control points along each axis
SPAN = 0.9  # both the control points and the sampling grid span -0.9..0.9
BLOCK_ROWS = 32


def gmm_input(parse7: U8, skeleton: U8, agnostic: U8, cloth: U8, h: int = 256, w: int = 192,
              ) -> tuple[F32, F32]:
    """a (1, 7, h, w): upper mask 1, skeleton 3, agnostic 3; b (1, 3, h, w): the garment, unmasked.

    parse7 u8 (H, W), pictures RGB u8 (H, W, 3). Shrunk by nearest neighbour as Torch does it: pixel
    floor(i * H / h), at 1024x768 every fourth from 0.
    """
    rows = np.arange(h) * parse7.shape[0] // h
    columns = np.arange(w) * parse7.shape[1] // w
    pick = np.ix_(rows, columns)
    upper = one_hot(parse7[pick], UPPER_GROUP + 1)[:, UPPER_GROUP:]
    a = np.concatenate([upper, signed(skeleton[pick]), signed(agnostic[pick])], 1)
    return a, signed(cloth[pick])


def control_points() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """X and Y (25,) of the control points. The official code swaps what its meshgrid returns, so X
    changes slowly: point 5 r + c has X = coordinates[r], Y = coordinates[c]."""
    coordinates = np.linspace(-SPAN, SPAN, CONTROL)
    return np.repeat(coordinates, CONTROL), np.tile(coordinates, CONTROL)


def radial(squared: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """U(r) = r^2 log r^2 (no factor 1/2), 0 at r = 0, of r^2."""
    result: npt.NDArray[np.float64] = squared * np.log(np.where(squared == 0, 1.0, squared))
    return result


@lru_cache(maxsize=1)
def tps_inverse() -> F32:
    """Inverse (28, 28) of `tps_system()`: a constant of the model, read from tps_inverse.json.

    The official code inverts in float32 at run time, and what its LAPACK rounds away (1e-5) moves
    a sharp print by up to 4e-4 of the warped garment. So the numbers it got are kept, which also
    makes the warp the same on every machine.
    """
    rows = json.loads((Path(__file__).parents[1] / "tps_inverse.json").read_text())["inverse"]
    return np.array(rows, np.float32)


def tps_system() -> npt.NDArray[np.float64]:
    """The spline's equations (28, 28): [[K, P], [P^T, 0]] with P = [1, X, Y]."""
    x, y = control_points()
    n = x.size
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = radial((x[:, None] - x) ** 2 + (y[:, None] - y) ** 2)
    system[:n, n:] = np.stack([np.ones(n), x, y], 1)
    system[n:, :n] = system[:n, n:].T
    return system


def tps_coefficients(theta: F32) -> F32:
    """theta (50,), X offsets then Y offsets -> (28, 2): weights of 25 U's, then of 1, X, Y."""
    x, y = control_points()
    target = np.stack([x, y], 1).astype(np.float32) + theta.reshape(2, -1).T
    return tps_inverse()[:, : x.size] @ target


@lru_cache(maxsize=2)
def _basis(height: int, width: int) -> F32:
    """(rows, columns, 28) of U's, 1, X, Y over the upper left quarter; 22 MB at 1024x768.

    The control points lie symmetrically, so the other quarters are this one with the weights of
    mirrored points exchanged.
    """
    px, py = control_points()
    y = np.linspace(-SPAN, SPAN, height)[: (height + 1) // 2, None]
    x = np.linspace(-SPAN, SPAN, width)[None, : (width + 1) // 2]
    basis = np.empty((y.size, x.size, px.size + 3), np.float32)
    for k in range(px.size):
        basis[:, :, k] = radial((x - px[k]) ** 2 + (y - py[k]) ** 2)
    basis[:, :, -3] = 1
    basis[:, :, -2] = x
    basis[:, :, -1] = y
    return basis


def _mirrored(coefficients: F32) -> F32:
    """(28, 8): the coefficients as the four quarters need them, in the order UL, UR, LL, LR."""
    n = CONTROL * CONTROL
    index = np.arange(n).reshape(CONTROL, CONTROL)  # [x, y]
    columns = []
    for flip_y in (1, -1):
        for flip_x in (1, -1):
            mirrored = coefficients.copy()
            mirrored[:n] = coefficients[index[::flip_x, ::flip_y].ravel()]
            mirrored[-2:] *= np.array([[flip_x], [flip_y]], np.float32)
            columns.append(mirrored)
    return np.concatenate(columns, 1)


def _grid_rows(height: int, width: int, weights: F32, first: int, last: int,
               ) -> list[tuple[int, F32]]:
    """Grid rows first..last-1 of the upper half, and their mirror images: top row, (rows, W, 2)."""
    basis = _basis(height, width)[first:last]
    rows, half = basis.shape[:2]
    quarters = (basis.reshape(-1, basis.shape[2]) @ weights).reshape(rows, half, 4, 2)
    blocks = []
    for lower in (False, True):
        block = np.empty((rows, width, 2), np.float32)
        left, right = quarters[:, :, 2 * lower], quarters[:, :, 2 * lower + 1]
        if lower:
            left, right = left[::-1], right[::-1]
        block[:, :half] = left
        block[:, half:] = right[:, : width // 2][:, ::-1]
        blocks.append((height - last if lower else first, block))
    return blocks


def tps_grid(theta: F32, height: int, width: int) -> F32:
    """The whole sampling grid (height, width, 2) of x, y; -1..1 spans the picture. For tests and
    benchmarks: `warp_garment` never keeps it."""
    weights = _mirrored(tps_coefficients(theta.reshape(-1)))
    grid = np.empty((height, width, 2), np.float32)
    for first in range(0, (height + 1) // 2, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, (height + 1) // 2)
        for top, block in _grid_rows(height, width, weights, first, last):
            grid[top : top + len(block)] = block
    return grid


def warp_garment(cloth: U8, mask: U8 | Bool, theta: F32, height: int, width: int,
                 ) -> tuple[F32, F32]:
    """Bend the garment by `theta` (1, 50) -> W_c f32 (1, 3, H, W) in -1..1, W_m f32 (1, 1, H, W).

    cloth RGB u8 (h, w, 3), mask u8 (h, w) 0..255 (128 and more is garment) or bool. Bilinear, the
    border repeated, align_corners False (Torch's grid_sample default). theta = 0 is not the
    identity but an enlargement by 1 / 0.9: the grid spans the control points, not the picture.
    """
    pixels = np.empty((*mask.shape, 4), np.uint8)
    pixels[:, :, :3], pixels[:, :, 3] = cloth, garment(mask)
    weights = _mirrored(tps_coefficients(theta.reshape(-1)))
    out = np.empty((4, height, width), np.float32)
    for first in range(0, (height + 1) // 2, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, (height + 1) // 2)
        for top, block in _grid_rows(height, width, weights, first, last):
            _sample(pixels.view(np.uint32)[:, :, 0], block, out[:, top : top + len(block)])
    out[:3] *= np.float32(2 / 255)
    out[:3] -= np.float32(1)
    return out[None, :3], out[None, 3:]


def _sample(pixels: npt.NDArray[np.uint32], grid: F32, out: F32) -> None:
    """Sample four bytes at once; `out` (4, rows, W) gets them as f32, unscaled."""
    height, width = pixels.shape
    left, fx = _position(grid[:, :, 0], width)
    top, fy = _position(grid[:, :, 1], height)
    right = np.minimum(left + 1, width - 1)
    bottom = np.minimum(top + 1, height - 1) * width
    top *= width
    above, below = (_between(_planes(pixels, row + left), _planes(pixels, row + right), fx)
                    for row in (top, bottom))
    out[:] = _between(above, below, fy)


def _between(low: F32, high: F32, part: F32) -> F32:
    """low + (high - low) * part, in the memory of both."""
    high -= low
    high *= part
    low += high
    return low


def _planes(pixels: npt.NDArray[np.uint32], index: npt.NDArray[np.intp]) -> F32:
    """The four bytes of the pixels at flat `index` (rows, W) as f32 (4, rows, W)."""
    tap = pixels.reshape(-1).take(index, mode="clip").view(np.uint8)
    planes = np.empty((4, *index.shape), np.float32)
    for plane, values in zip(planes, cv2.split(tap.reshape(*index.shape, 4)), strict=True):
        plane[:] = values
    return planes


def _position(coordinate: F32, size: int) -> tuple[npt.NDArray[np.intp], F32]:
    """-1..1 -> the lower neighbour's index and the part beyond it, clamped to the picture."""
    at = ((coordinate + np.float32(1)) * np.float32(size) - np.float32(1)) * np.float32(0.5)
    np.clip(at, 0, size - 1, out=at)
    low = at.astype(np.int32)
    at -= low
    return low.astype(np.intp), at
