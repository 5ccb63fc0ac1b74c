"""How good an answer is: overlap, key points, likeness of pictures, difference of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, U8

F64 = npt.NDArray[np.float64]
NECK, MID_HIP = 1, 8  # BODY_25


@dataclass
class Overlap:
    """Intersection over union per class, summed over pictures (so large pictures weigh more)."""

    classes: int
    both: F64 = field(init=False)
    either: F64 = field(init=False)
    true: F64 = field(init=False)

    def __post_init__(self) -> None:
        self.both, self.either, self.true = (np.zeros(self.classes) for _ in range(3))

    def add(self, found: U8, truth: U8) -> None:
        """Count a picture; two label maps of one shape, ids from `classes` on are not scored."""
        if found.shape != truth.shape:
            raise ValueError(f"label maps of {found.shape} and {truth.shape} cannot be compared")
        for c in range(self.classes):
            a, b = found == c, truth == c
            self.both[c] += np.count_nonzero(a & b)
            self.either[c] += np.count_nonzero(a | b)
            self.true[c] += np.count_nonzero(b)

    def iou(self) -> list[float]:
        """Per class; nan where a class is in no truth and no answer."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return [float(v) for v in self.both / self.either]

    def mean(self) -> float:
        """Mean over the classes that occur, be it in an answer only (which counts 0)."""
        return float(np.nanmean(self.iou()))

    def mean_of_true(self) -> float:
        """Mean over the classes that occur in a truth."""
        iou = np.array(self.iou())[self.true > 0]
        return float(iou.mean()) if len(iou) else float("nan")


def mask_iou(found: U8, truth: U8, threshold: int = 128) -> float:
    """IoU of two soft masks, each cut at `threshold`; 1 where both are empty."""
    a, b = found >= threshold, truth >= threshold
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 1.0


def key_points_right(found: F32 | None, truth: F32, share: float = 0.1) -> tuple[int, int]:
    """PCK: how many of the true joints lie within `share` of the torso length, and of how many.

    Args:
        found, truth: (25, 3) x, y, score; a joint with score 0 is missing. `found` None: nobody.
        share: of the distance from neck to mid-hip in `truth`.
    """
    known = truth[:, 2] > 0
    if not (known[NECK] and known[MID_HIP]):
        return 0, 0  # no torso to measure by
    reach = share * float(np.linalg.norm(truth[NECK, :2] - truth[MID_HIP, :2]))
    if found is None:
        return 0, int(known.sum())
    near = np.linalg.norm(found[:, :2] - truth[:, :2], axis=1) <= reach
    return int((near & known & (found[:, 2] > 0)).sum()), int(known.sum())


def ssim(a: U8, b: U8, where: npt.NDArray[np.bool_] | None = None) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian 11x11, sigma 1.5, mean of the channels.

    Args:
        a, b: u8 (H, W, 3).
        where: mean over these pixels only.
    """
    x, y = a.astype(np.float32), b.astype(np.float32)

    def blur(v: F32) -> F32:
        return cv2.GaussianBlur(v, (11, 11), 1.5).astype(np.float32, copy=False)

    mx, my = blur(x), blur(y)
    vx, vy = blur(x * x) - mx * mx, blur(y * y) - my * my
    cov = blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    score = score.mean(2)
    return float(score.mean() if where is None else score[where].mean())


def psnr(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic], peak: float) -> float:
    """Peak signal to noise ratio, dB; infinity where both are the same."""
    mse = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if mse == 0 else float(10 * np.log10(peak**2 / mse))


def colour_difference(a: U8, b: U8, where: npt.NDArray[np.bool_]) -> float:
    """Median CIEDE2000 over the pixels `where`; u8 sRGB (H, W, 3). nan where there are none."""
    if not where.any():
        return float("nan")
    la, lb = (lab_of(p[where]) for p in (a, b))
    return float(np.median(ciede2000(la, lb)))


def lab_of(pixels: U8) -> F64:
    """CIE Lab (n, 3) of sRGB colours u8 (n, 3)."""
    scaled = (pixels.astype(np.float32) / 255)[None]
    lab: F64 = cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab)[0].astype(np.float64)
    return lab


def ciede2000(a: F64, b: F64) -> F64:
    """Colour difference of Lab colours (n, 3) (Sharma, Wu, Dalal 2005, equations 2 to 22)."""
    c_mean = (np.hypot(a[:, 1], a[:, 2]) + np.hypot(b[:, 1], b[:, 2])) / 2
    g = 0.5 * (1 - np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)))
    l1, c1, h1 = _polar(a, g)
    l2, c2, h2 = _polar(b, g)
    dh = _turn(h2 - h1)
    dh = np.where(c1 * c2 == 0, 0.0, dh)
    dl, dc = l2 - l1, c2 - c1
    dH = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2))
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = _mean_hue(h1, h2, c1 * c2)
    t = (1 - 0.17 * np.cos(np.radians(hm - 30)) + 0.24 * np.cos(np.radians(2 * hm))
         + 0.32 * np.cos(np.radians(3 * hm + 6)) - 0.20 * np.cos(np.radians(4 * hm - 63)))
    sl = 1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rc = 2 * np.sqrt(cm**7 / (cm**7 + 25.0**7))
    rt = -np.sin(np.radians(60 * np.exp(-(((hm - 275) / 25) ** 2)))) * rc
    total = (dl / sl) ** 2 + (dc / sc) ** 2 + (dH / sh) ** 2 + rt * (dc / sc) * (dH / sh)
    out: F64 = np.sqrt(np.maximum(total, 0))
    return out


def _polar(lab: F64, g: F64) -> tuple[F64, F64, F64]:
    """Lightness, chroma and hue in degrees 0..360, a* stretched by 1 + g."""
    a = (1 + g) * lab[:, 1]
    hue = np.degrees(np.arctan2(lab[:, 2], a)) % 360
    return lab[:, 0], np.hypot(a, lab[:, 2]), np.where((a == 0) & (lab[:, 2] == 0), 0.0, hue)


def _turn(degrees: F64) -> F64:
    out: F64 = (degrees + 180) % 360 - 180
    return np.where(out == -180, 180.0, out)  # the paper's interval is (-180, 180]


def _mean_hue(h1: F64, h2: F64, chroma: F64) -> F64:
    total, apart = h1 + h2, np.abs(h1 - h2)
    wrapped = np.where(total < 360, (total + 360) / 2, (total - 360) / 2)
    mean = np.where(apart <= 180, total / 2, wrapped)
    return np.where(chroma == 0, total, mean)


def median(values: Sequence[float]) -> float:
    """Median of the numbers that are not nan; nan of none."""
    known = [v for v in values if not np.isnan(v)]
    return float(np.median(known)) if known else float("nan")
