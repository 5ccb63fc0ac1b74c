"""Light of a scene, its shadow map and occlusion, and the call that shades a picture."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fuw.starter.figures.mesh import Array
from fuw.starter.figures.raster import F32, FAR, Picture, f32, pointer

SHADOW_MAP = 512


@dataclass(frozen=True)
class Light:
    """Key and fill directions (unit, towards the light), strengths in linear light."""

    key: Array
    fill: Array
    tint: Array  # colour of the key light
    amount: float
    fill_amount: float
    sky: float
    shadow: float  # 0 none .. 1 black
    occlusion: float

    def flat(self) -> Light:
        """The same without cast shadows, for a garment lying in a shop's light."""
        return replace(self, shadow=0.0, occlusion=0.35)


def draw_light(rng: np.random.Generator, studio: bool) -> Light:
    """A random light: soft and frontal in a studio, harder and coloured elsewhere."""
    key = np.array([rng.normal() * (0.5 if studio else 0.8), rng.uniform(0.2, 0.8), 1.0])
    fill = np.array([-key[0] + rng.normal() * 0.3, rng.normal() * 0.2, 0.8])
    soft = rng.uniform(0.1, 0.5) if studio else rng.uniform(0.1, 0.8)
    return Light(
        key=key / np.linalg.norm(key), fill=fill / np.linalg.norm(fill),
        tint=np.clip(1 + rng.normal(size=3) * (0.02 if studio else 0.07), 0.8, 1.2),
        amount=1.05 - soft * 0.6, fill_amount=soft * 0.6, sky=0.14 + soft * 0.45,
        shadow=rng.uniform(0.25, 0.75), occlusion=rng.uniform(0.5, 1.1),
    )  # fmt: skip


class _Light(ctypes.Structure):
    """`Light` of raster.c."""

    _fields_ = [
        *((name, ctypes.c_float * 3) for name in ("key", "fill", "tint", "half")),
        *(
            (name, ctypes.c_float)
            for name in ("amount", "fill_amount", "sky", "shadow", "occlusion", "toe")
        ),
        *((name, ctypes.c_float * 3) for name in ("ex", "ey")),
        *((name, ctypes.c_float) for name in ("lo", "hi", "scale")),
    ]


def occlusion(pic: Picture) -> F32:
    """How far each pixel lies behind the mean depth around it, at a quarter of the size."""
    near = pic.z < FAR / 2
    w, h = max(pic.width // 4, 8), max(pic.height // 4, 8)
    m = cv2.resize(near.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    z = cv2.resize(
        np.where(near, pic.z, 0).astype(np.float32), (w, h), interpolation=cv2.INTER_AREA
    )
    here = z / np.maximum(m, 1e-3)
    out = np.zeros((h, w), np.float32)
    scale = pic.width / 1536
    for radius, gain in ((3 * scale + 0.5, 0.8), (9 * scale + 0.5, 0.5)):
        around = cv2.GaussianBlur(z, (0, 0), radius) / np.maximum(
            cv2.GaussianBlur(m, (0, 0), radius), 1e-3
        )
        out += np.clip((here - around) * gain, 0, 0.55)
    return out


def shadow_map(
    pic: Picture, light: Light, xyz: Array, tri: Array, lowest: float, into: _Light
) -> F32:
    """Depth (512, 512) seen from the key light; fills in the map's frame."""
    ez = light.key
    ex = np.cross([0, 1, 0], ez)
    ex /= np.linalg.norm(ex)
    ey = np.cross(ez, ex)
    x, y, depth = xyz @ ex, xyz @ ey, -(xyz @ ez)
    lo, hi, low = float(x.min()), float(y.max()), lowest - 1
    scale = SHADOW_MAP / max(float(x.max()) - lo, hi - low, 1e-3)
    seen = Picture(pic.lib, SHADOW_MAP, SHADOW_MAP)
    seen.draw("shadow", tri, np.stack([(x - lo) * scale, (hi - y) * scale, depth], 1))
    into.ex, into.ey = tuple(ex), tuple(ey)
    into.lo, into.hi, into.scale = lo, hi, scale
    return seen.z


def shade(
    pic: Picture,
    light: Light,
    surface: tuple[F32, F32, F32, F32],
    bump: F32,
    casters: tuple[Array, Array],
    smaller: int,
) -> tuple[F32, F32]:
    """Shade a finished picture.

    surface: normal (n, 3), position (n, 3), sRGB (n, 3), gloss (n) at the covered pixels; bump (n)
    heights in pixels; casters: vertices and triangles that cast shadows.
    Returns premultiplied sRGB (h, w, 3) and cover (h, w), both f32, `smaller` times smaller.
    """
    normal, pos, rgb, gloss = (f32(a) for a in surface)
    half = light.key + np.array([0, 0, 1.0])
    c = _Light(
        tuple(light.key), tuple(light.fill), tuple(light.tint), tuple(half / np.linalg.norm(half)),
        light.amount, light.fill_amount, light.sky, light.shadow, light.occlusion,
    )  # fmt: skip
    seen = shadow_map(pic, light, *casters, float(pos[:, 1].min()) if len(pos) else 0.0, c)
    heights = np.zeros(pic.height * pic.width, np.float32)
    heights[pic.where] = bump
    mesh = np.full(pic.height * pic.width, 255, np.uint8)
    mesh[pic.where] = pic.mesh
    ao = occlusion(pic)
    h, w = pic.height // smaller, pic.width // smaller
    out, cover = np.zeros((h, w, 3), np.float32), np.zeros((h, w), np.float32)
    pic.lib.light(
        len(pic.where), pointer(pic.where), pic.width, pic.height, smaller,
        pointer(normal), pointer(pos), pointer(rgb), pointer(gloss),
        pointer(heights), pointer(mesh),
        pointer(ao), ao.shape[1], ao.shape[0], pointer(seen), SHADOW_MAP, ctypes.byref(c),
        pointer(out), pointer(cover),
    )  # fmt: skip
    return out, cover
