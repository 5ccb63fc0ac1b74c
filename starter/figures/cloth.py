"""The paint of cloth: textures, trim bands, wrinkles."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Pixels, Surface
from fuw.starter.figures.raster import sample


def spread(image: F32, mask: Array) -> F32:
    """Fill everything outside a mask with the colour of the nearest pixel inside."""
    outside = (mask == 0).astype(np.uint8)
    _, label = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = np.flatnonzero(mask.ravel() > 0)
    source = np.zeros(label.max() + 1, np.int64)
    source[label.ravel()[inside]] = inside
    return np.ascontiguousarray(image.reshape(-1, 3)[source[label]])


@dataclass(frozen=True)
class ClothPaint:
    """Textures looked up per pixel, a trim band along the cut edges, wrinkles as height."""

    lib: ctypes.CDLL
    textures: tuple[F32, F32]  # front, back
    uv: F32  # (n, 2) texture pixels
    back: F32  # (n,) 1 on the back panel
    folds: F32  # height map in layout pixels
    fold_uv: F32
    height: float  # bump pixels per unit of the height map
    fields: F32 | None = None  # (n, 3+) cut fields, for the trim band
    trim: F32 | None = None
    trim_height: float = 0.0
    neck_band: bool = True
    inside: float = 0.65  # brightness of the cloth's other side
    gloss: float = 0.01

    def __call__(self, px: Pixels) -> Surface:
        a = px.at(np.column_stack([self.uv, self.fold_uv, self.back]))
        on_back = a[:, 4] > 0.5
        rgb = sample(self.lib, self.textures[0], a[:, :2])
        if self.textures[1] is not self.textures[0]:
            rgb[on_back] = sample(self.lib, self.textures[1], a[on_back, :2])
        bump = sample(self.lib, self.folds, a[:, 2:4]) * np.float32(self.height)
        if self.fields is not None:
            f = px.at(self.fields)
            band = (f[:, 0] < 0.12) | (f[:, 1] < 0.1)
            if self.neck_band:
                band |= f[:, 2] < 0.12
            if self.trim is not None:
                rgb[band] = self.trim * np.float32(0.97)
            bump += band * np.float32(self.trim_height)
        rgb[px.normal[:, 2] < 0] *= np.float32(self.inside)
        return Surface(rgb, self.gloss, bump)
