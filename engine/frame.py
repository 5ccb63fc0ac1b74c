"""`Frame`: where a picture was cut from a photo, how to cut it, and how to put it back.

Coordinates of points are pixel indices (the centre of the first pixel is 0, 0), as OpenPose
writes them; inside, edges count (that centre is 0.5, 0.5).
"""

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fuw.engine.arrays import F32, U8
from fuw.engine.errors import InputError

Points = npt.NDArray[np.floating]

# Pillow first halves in whole steps if it shrinks by more than this; nobody can see it.
_REDUCING_GAP = 3.0


@dataclass(frozen=True)
class Frame:
    """A rectangle in a photo that becomes a picture of `size`; what lies outside gets `ground`.

    photo_size, size: (height, width). x, y: the rectangle's centre in the photo, in pixel edges.
    scale: picture pixels per photo pixel. angle: degrees by which the photo is turned clockwise.
    """

    photo_size: tuple[int, int]
    size: tuple[int, int]
    x: float
    y: float
    scale: float
    ground: tuple[int, int, int]
    angle: float = 0.0

    @property
    def left(self) -> float:
        """The photo's column, in edges, where the picture begins (angle 0)."""
        return self.x - self.size[1] / 2 / self.scale

    @property
    def top(self) -> float:
        """The photo's row, in edges, where the picture begins (angle 0)."""
        return self.y - self.size[0] / 2 / self.scale

    def apply(self, photo: U8) -> U8:
        """Cut u8 (H, W, 3) of `size` from the photo; pixels that need no resampling are copied.

        Shrinks by Pillow's Lanczos, enlarges by its bicubic (both antialiased); a turn that is no
        quarter turn adds OpenCV's bicubic.
        """
        self._check(photo)
        return self._cut(photo, self.ground, mask=False)

    def apply_mask(self, mask: U8) -> U8:
        """Cut u8 (H, W) of `size` from a mask of the photo; bilinear, antialiased, 0 outside."""
        self._check(mask)
        return self._cut(mask, 0, mask=True)

    def apply_labels(self, labels: U8) -> U8:
        """Cut u8 (H, W) or (H, W, C) of `size` from label ids of the photo: nearest, 0 outside."""
        self._check(labels)
        back = np.linalg.inv(self._matrix())
        height, width = self.size
        x = back[0, 0] * (np.arange(width) + 0.5) + back[0, 2]
        y = back[1, 1] * (np.arange(height) + 0.5) + back[1, 2]
        if self.angle:
            raise ValueError("labels of a turned frame cannot be cut")
        columns, rows = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        cut: U8 = labels[np.clip(rows, 0, labels.shape[0] - 1)][:, np.clip(columns, 0,
                                                                       labels.shape[1] - 1)]
        cut[(rows < 0) | (rows >= labels.shape[0])] = 0
        cut[:, (columns < 0) | (columns >= labels.shape[1])] = 0
        return cut

    def to_original(self, points: Points) -> F32:
        """Points (..., 2 or 3: x, y, score) of the picture -> of the photo; score 0 stays 0, 0."""
        return self._move(points, np.linalg.inv(self._matrix()).astype(np.float64))

    def to_frame(self, points: Points) -> F32:
        """Points (..., 2 or 3: x, y, score) of the photo -> of the picture; score 0 stays 0, 0."""
        return self._move(points, self._matrix())

    def paste_back(self, photo: U8, fitted: U8, region: U8 | None = None,
                   seam: float = 0.03) -> U8:
        """Put the picture `fitted` (u8, `size`) back into a copy of the photo, at its resolution.

        The change is blended in over `seam` (share of the pasted width) along every edge that
        lies inside the photo. `region` (u8, `size`, 128 and more inside): only there, with the
        same softness, so that everything else stays the photo's own.
        """
        self._check(photo)
        out, patch = photo.copy(), self.patch(seam)
        if patch is None:
            return out
        size = patch.height, patch.width
        alpha = patch.rows[:, None] * patch.columns
        if region is not None:
            alpha *= _soft(_resized(region, size, patch.box, 1 / self.scale), patch.seam)
        under = out[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width]
        under[:] = _blend(under, _resized(fitted, size, patch.box, 1 / self.scale), alpha)
        return out

    def patch(self, seam: float = 0.03) -> "Patch | None":
        """Where `paste_back` puts the picture, and how softly; None where the photo shows none of
        it."""
        if self.angle:
            raise ValueError("a turned frame cannot be pasted back")
        x0, x1 = _whole(self.left, self.size[1] / self.scale, self.photo_size[1])
        y0, y1 = _whole(self.top, self.size[0] / self.scale, self.photo_size[0])
        if x1 <= x0 or y1 <= y0:
            return None
        # Pillow refuses a box that leaves its picture by a rounding error.
        box = (max(0.0, (x0 - self.left) * self.scale), max(0.0, (y0 - self.top) * self.scale),
               min(float(self.size[1]), (x1 - self.left) * self.scale),
               min(float(self.size[0]), (y1 - self.top) * self.scale))
        width = max(1.0, seam * (x1 - x0))
        return Patch(x0, y0, y1 - y0, x1 - x0, box, width,
                     _ramp(y1 - y0, width, y0 > 0, y1 < self.photo_size[0]),
                     _ramp(x1 - x0, width, x0 > 0, x1 < self.photo_size[1]))

    def _check(self, a: U8) -> None:
        if a.shape[:2] != self.photo_size:
            raise InputError(f"the picture is {a.shape[1]}x{a.shape[0]}, but its frame was made "
                             f"for {self.photo_size[1]}x{self.photo_size[0]}; give the mask or "
                             "photo at the size of the photo that was framed")

    def _matrix(self) -> npt.NDArray[np.float64]:
        """3x3, photo edges -> picture edges; y points down: a clockwise turn is (c, -s; s, c)."""
        a = np.deg2rad(self.angle)
        c, s = self.scale * np.cos(a), self.scale * np.sin(a)
        height, width = self.size
        return np.array([[c, -s, width / 2 - c * self.x + s * self.y],
                         [s, c, height / 2 - s * self.x - c * self.y], [0, 0, 1]])

    def _move(self, points: Points, matrix: npt.NDArray[np.float64]) -> F32:
        moved = np.array(points, np.float32)
        xy = np.asarray(points, np.float64)[..., :2] + 0.5
        moved[..., :2] = xy @ matrix[:2, :2].T + matrix[:2, 2] - 0.5
        if moved.shape[-1] == 3:  # a missing key point is 0, 0, 0 everywhere
            moved[moved[..., 2] == 0] = 0
        return moved

    def _cut(self, a: U8, ground: int | tuple[int, int, int], mask: bool) -> U8:
        turns = round(self.angle / 90) % 4
        tilt = self.angle - 90 * round(self.angle / 90)
        if turns:
            a = np.ascontiguousarray(np.rot90(a, -turns))
        x, y = _turned(self.x, self.y, self.photo_size, turns)
        if tilt:
            return _tilted(a, (x, y), self.scale, tilt, self.size, ground)
        height, width = self.size
        left, top = x - width / 2 / self.scale, y - height / 2 / self.scale
        out = filled((*self.size, *a.shape[2:]), ground)
        x0, x1 = _covered(left, a.shape[1], self.scale, width)
        y0, y1 = _covered(top, a.shape[0], self.scale, height)
        if x1 > x0 and y1 > y0:
            box = (max(0.0, left + x0 / self.scale), max(0.0, top + y0 / self.scale),
                   min(float(a.shape[1]), left + x1 / self.scale),
                   min(float(a.shape[0]), top + y1 / self.scale))
            out[y0:y1, x0:x1] = _resized(a, (y1 - y0, x1 - x0), box, self.scale, mask)
        return out


@dataclass(frozen=True)
class Patch:
    """A part of a photo that a picture is put back into.

    Attributes:
        x, y, height, width: of the part, pixels of the photo.
        box: of the picture that it shows: x0, y0, x1, y1 in edges.
        seam: photo pixels over which a region's edge is softened.
        rows, columns: f32 (height,), (width,) whose product is the picture's share, 0..1.
    """

    x: int
    y: int
    height: int
    width: int
    box: tuple[float, float, float, float]
    seam: float
    rows: F32
    columns: F32

    @property
    def tiny(self) -> bool:
        """Whether Pillow would first halve the picture, as it does for one that is shown at less
        than a sixth of its size."""
        return max((self.box[2] - self.box[0]) / self.width,
                   (self.box[3] - self.box[1]) / self.height) >= 2 * _REDUCING_GAP

    @property
    def blur(self) -> int:
        """Pixels that a region's edge is averaged over, twice; odd."""
        return _blur(self.seam)


def filled(shape: tuple[int, ...], ground: int | tuple[int, ...]) -> U8:
    """u8 of one colour. Row after row: by the pixel it would take ten times as long."""
    out = np.empty(shape, np.uint8)
    out[:1] = ground
    out[1:] = out[:1]
    return out


def _covered(start: float, length: int, scale: float, size: int) -> tuple[int, int]:
    """First and last (exclusive) picture pixel that the photo covers at least by half."""
    first, last = round(-start * scale), round((length - start) * scale)
    return max(0, first), min(size, last)


def _whole(start: float, length: float, limit: int) -> tuple[int, int]:
    """First and last (exclusive) photo pixel that the picture covers wholly."""
    return max(0, math.ceil(start - 1e-6)), min(limit, math.floor(start + length + 1e-6))


def _turned(x: float, y: float, size: tuple[int, int], turns: int) -> tuple[float, float]:
    """Where the point x, y (edges) lies after `turns` clockwise quarter turns of the photo."""
    height, width = size
    return ((x, y), (height - y, x), (width - x, height - y), (y, width - x))[turns]


def _resized(a: U8, size: tuple[int, int], box: tuple[float, float, float, float], scale: float,
             mask: bool = False) -> U8:
    """The part `box` (x0, y0, x1, y1 in edges) of `a`, resized to `size` (height, width)."""
    x0, y0, x1, y1 = (round(v) for v in box)
    if scale == 1 and max(abs(v - round(v)) for v in box) < 1e-6 and (y1 - y0, x1 - x0) == size:
        return a[y0:y1, x0:x1]
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    kind = Image.Resampling.BILINEAR if mask else kind
    box = (min(box[0], box[2] - 1e-3), min(box[1], box[3] - 1e-3), box[2], box[3])
    small = Image.fromarray(a).resize(size[::-1], kind, box=box, reducing_gap=_REDUCING_GAP)
    return np.asarray(small)


def _tilted(a: U8, centre: tuple[float, float], scale: float, tilt: float,
            size: tuple[int, int], ground: int | tuple[int, int, int]) -> U8:
    """Turn by a few degrees: shrink first (antialiased), then one bicubic warp."""
    height, width = a.shape[:2]
    shrink = min(1.0, scale)
    fit = max(1, round(height * shrink)), max(1, round(width * shrink))
    if fit != (height, width):
        a = _resized(a, fit, (0, 0, width, height), shrink)
    sx, sy = fit[1] / width, fit[0] / height
    radians = np.deg2rad(tilt)
    c, s = np.cos(radians), np.sin(radians)
    linear = scale * np.array([[c, -s], [s, c]]) / np.array([sx, sy])
    offset = np.array([size[1], size[0]]) / 2 - linear @ (np.array(centre) * (sx, sy))
    offset += linear @ (0.5, 0.5) - 0.5  # OpenCV counts pixel centres
    colour = ground if isinstance(ground, tuple) else (ground,)
    turned = cv2.warpAffine(a, np.column_stack([linear, offset]), size[::-1],
                            flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT,
                            borderValue=colour)
    return cast(U8, turned)


def _ramp(length: int, width: float, first: bool, last: bool) -> F32:
    """1 inside, falling smoothly to 0 over `width` at the ends that ask for it."""
    at = np.arange(length, dtype=np.float32) + np.float32(0.5)
    distance = np.full(length, np.inf, np.float32)
    if first:
        distance = np.minimum(distance, at)
    if last:
        distance = np.minimum(distance, length - at)
    t = np.clip(distance / width, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _soft(region: U8, width: float) -> F32:
    inside = np.where(region >= 128, np.float32(1), np.float32(0))
    return cast(F32, cv2.blur(cv2.blur(inside, (k := _blur(width), k)), (k, k)))


def _blur(width: float) -> int:
    return 1 + 2 * int(width / 4)


def _blend(under: U8, over: U8, alpha: F32) -> U8:
    mixed = under + (over.astype(np.float32) - under) * alpha[..., None]
    return np.rint(mixed).astype(np.uint8)
