"""Fabric: flat front and back textures in the pattern's layout, and wrinkle height maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fuw.starter.figures.mesh import Array

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """The rectangle of flat pattern space (dm) that a texture covers, and its pixels per dm."""

    px: float
    x0: float = -5.7
    y1: float = 6.9
    across: float = 11.4
    down: float = 8.5

    @property
    def shape(self) -> tuple[int, int]:
        """Texture height and width in pixels."""
        return int(self.down * self.px), int(self.across * self.px)

    def pixels(self, flat: Array) -> F32:
        """Flat positions (n, 2) dm -> texture pixels (n, 2)."""
        return np.stack(
            [(flat[:, 0] - self.x0) * self.px, (self.y1 - flat[:, 1]) * self.px], 1
        ).astype(np.float32)


@dataclass(frozen=True)
class Fabric:
    """Textures f32 (h, w, 3) sRGB 0..1; opacity (h, w) 0..1 where the cloth is sheer, else None."""

    layout: Layout
    front: F32
    back: F32
    trim: F32 | None  # colour of hem, cuffs and neck band; None: as the cloth
    name: str
    opacity: F32 | None = None

    def over(self, ground: Array) -> tuple[F32, F32]:
        """Front and back textures as seen over a ground colour (3,)."""
        if self.opacity is None:
            return self.front, self.back
        a, g = self.opacity[..., None], np.asarray(ground, np.float32)
        return self.front * a + g * (1 - a), self.back * a + g * (1 - a)


def colour(rng: np.random.Generator) -> F32:
    """A clothing colour, sRGB 0..1: many neutrals, some saturated."""
    if rng.random() < 0.45:
        g = rng.choice([0.04, 0.07, 0.12, 0.25, 0.45, 0.7, 0.85, 0.93]) + rng.normal() * 0.02
        return np.clip(g + rng.normal(size=3) * 0.015, 0.02, 0.97).astype(np.float32)
    hsv = np.array([[[rng.integers(180), rng.integers(40, 210), rng.integers(50, 250)]]], np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32) / 255


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size: float,
    stretch: tuple[float, float] = (1, 1),
) -> F32:
    """Smooth noise (h, w) of unit deviation, with features of about `size` pixels."""
    k = max(1, int(size))
    n = rng.standard_normal((shape[0] // k + 2, shape[1] // k + 2), np.float32)
    n = cv2.GaussianBlur(n, (0, 0), 1.2 * stretch[0], sigmaY=1.2 * stretch[1])
    n = cv2.resize(n, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(n / (n.std() + 1e-6), np.float32)


def read_photo(path: Path) -> F32:
    """A photo as f32 (h, w, 3) sRGB 0..1."""
    return cv2.imread(str(path))[..., ::-1].astype(np.float32) / 255


def wrinkles(rng: np.random.Generator, layout: Layout, strength: float, knit: bool = False) -> F32:
    """Height map in the layout: long soft folds, a few sharp ones; knit adds fine ribs."""
    h, w = layout.shape
    k = layout.px / 90
    lh, lw = h // 3, w // 3
    out = np.zeros((lh, lw), np.float32)
    for _ in range(3):
        n = noise(rng, (lh * 2, lw * 2), rng.uniform(7, 16) * k, (0.8, 3.0))
        turn = cv2.getRotationMatrix2D((lw, lh), rng.uniform(-60, 60), 1)
        n = cv2.warpAffine(n, turn, (lw * 2, lh * 2), borderMode=cv2.BORDER_REFLECT)
        n = n[lh // 2 : lh // 2 + lh, lw // 2 : lw // 2 + lw]
        envelope = np.clip(noise(rng, (lh, lw), 40 * k) * 0.5 + 0.5, 0, 1.3)
        sharp = rng.random() < 0.5
        out += ((1 - 1.2 * abs(n).clip(0, 1.5)) if sharp else n * 0.8) * envelope
    out = cv2.resize(cv2.GaussianBlur(out, (0, 0), max(0.6, 1.2 * k)), (w, h)) * np.float32(
        strength
    )
    if knit:
        ribs = np.sin(
            np.arange(w, dtype=np.float32) * np.float32(6.28 / (rng.uniform(0.09, 0.2) * layout.px))
        )
        out += ribs[None] * np.float32(0.12)
    return out
