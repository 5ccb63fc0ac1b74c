"""The garment's picture as the mask networks want it: U2Net and TRACER, each in its own way.

The two recipes are carvekit's (`ml/wrap/u2net.py`, `ml/wrap/tracer_b7.py`) and not
interchangeable: another resize moves TRACER's output by 0.085.
"""

from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, U8
from fuw.engine.networks import NETWORKS

_U2NET, _TRACER = NETWORKS["u2net"].recipe, NETWORKS["tracer_b7"].recipe
TILE = 64


def u2net_input(image: U8, size: int = 320) -> F32:
    """RGB u8 (H, W, 3) -> f32 (1, 3, size, size).

    Pillow's bicubic on bytes, then divided by the greatest value of the whole resized picture (not
    by 255; a black picture is left at 0), mean and deviation removed in float64.
    """
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    levels = np.asarray(resized).transpose(2, 0, 1)
    out = np.empty((1, *levels.shape), np.float32)
    shade = np.arange(256) / max(int(levels.max()), 1)
    for c in range(3):  # a byte has 256 values: a table says the same as arithmetic per pixel
        table = ((shade - _U2NET.mean[c]) / _U2NET.std[c]).astype(np.float32)
        np.take(table, levels[c], out=out[0, c])
    return out


def tracer_input(image: U8, size: int = 640) -> F32:
    """RGB u8 (H, W, 3) -> f32 (1, 3, size, size): /255, resized as a tensor, mean and deviation.

    torchvision's `Resize` on a tensor: bilinear with antialias, not rounded to bytes.
    """
    rows, columns = antialias_taps(size, image.shape[0]), antialias_taps(size, image.shape[1])
    planes = np.stack(cv2.split(image)).astype(np.float32)
    across = _banded(columns, _banded(rows, planes).transpose(0, 2, 1))
    out = np.empty((1, 3, size, size), np.float32)
    for c, (mean, std) in enumerate(zip(_TRACER.mean, _TRACER.std, strict=True)):
        cv2.transpose(across[c], dst=out[0, c])  # far quicker than a strided copy
        out[0, c] *= np.float32(1 / (_TRACER.scale * std))
        out[0, c] -= np.float32(mean / std)
    return out


@lru_cache(maxsize=8)
def antialias_taps(size: int, source: int) -> F32:
    """Matrix (size, source) of Torch's antialiased bilinear resize of one axis.

    A triangle as wide as the shrinking asks for, cut at the border and normalised. Places are
    computed in float32 as Torch does; in float64 the result differs by 1e-5.
    """
    scale = np.float32(source) / np.float32(size)
    support = max(scale, np.float32(1))
    taps = np.zeros((size, source), np.float32)
    for i in range(size):
        centre = scale * (np.float32(i) + np.float32(0.5))
        first = max(int(centre - support + np.float32(0.5)), 0)
        last = min(int(centre + support + np.float32(0.5)), source)
        at = np.arange(last - first, dtype=np.float32) + (np.float32(first) - centre)
        weight = 1 - np.abs((at + np.float32(0.5)) * (np.float32(1) / support))
        weight = np.maximum(weight, np.float32(0))
        taps[i, first:last] = weight / weight.sum()
    taps.flags.writeable = False
    return taps


def _banded(taps: F32, planes: F32) -> F32:
    """`taps @ planes` for planes (c, h, w), skipping the zeros beside the band, tile by tile."""
    out = np.empty((planes.shape[0], taps.shape[0], planes.shape[2]), np.float32)
    for start in range(0, taps.shape[0], TILE):
        tile = taps[start : start + TILE]
        used = np.flatnonzero(tile.any(0))
        band = slice(int(used[0]), int(used[-1]) + 1)
        np.matmul(tile[:, band], planes[:, band], out=out[:, start : start + TILE])
    return out
