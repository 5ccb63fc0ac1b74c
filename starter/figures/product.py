"""The in-shop picture: rendered like on an invisible mannequin, or a real photo."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fuw.starter.figures.camera import Camera
from fuw.starter.figures.cloth import spread
from fuw.starter.figures.garment import cut
from fuw.starter.figures.light import draw_light, shade
from fuw.starter.figures.part import Part
from fuw.starter.figures.person import Person
from fuw.starter.figures.raster import F32, Picture
from fuw.starter.figures.scene import U8, Worn, camera_look, paint
from fuw.starter.figures.studio import Studio
from fuw.starter.figures.wear import Garment, garment_parts, shop_stand

SHOP_SMALLER = 1


class Product(NamedTuple):
    """An in-shop picture; `pic` holds the garment's parts, drawn in the same order as when worn."""

    image: U8  # (H, W, 3)
    mask: U8  # (H, W) 0 or 255
    pic: Picture


def show(studio: Studio, garment: Garment, width: int, man: bool) -> Product:
    """The garment's in-shop picture."""
    if garment.photo:
        return _photo(studio, garment, width)
    return _rendered(studio, garment, width, man)


def _photo(studio: Studio, garment: Garment, width: int) -> Product:
    photo, shell = garment.photo, studio.shell
    assert photo is not None
    rng = garment.stream("shop light")
    front = shell.panel_tri[(shell.panel_tri < shell.n_front).all(1)]
    pic = Picture(studio.lib, width, width * 4 // 3)
    pic.draw(
        "cloth",
        front,
        np.column_stack([photo.xy, np.zeros(len(photo.xy))]),
        cut(shell.fields, photo.spec)[shell.ids],
    )
    pic.finish()
    pic.where = pic.where[photo.mask.ravel()[pic.where] > 0]
    soft = cv2.GaussianBlur(photo.mask.astype(np.float32) / 255, (0, 0), 1.2 * width / 768 + 0.2)[
        ..., None
    ]
    image = spread(photo.image, photo.mask) * soft + np.float32(rng.uniform(0.93, 0.97)) * (
        1 - soft
    )
    return Product(camera_look(image, garment.seed, 0.6, f"shop {garment.which}"), photo.mask, pic)


def _frame(rng: np.random.Generator, parts: list[Part], width: int) -> Camera:
    """A parallel camera that shows all uncut vertices with a margin."""
    seen = np.concatenate(
        [p.xyz[p.clip.min(1) > 0] if p.clip is not None else p.xyz for p in parts]
    )
    lo, hi = seen.min(0), seen.max(0)
    height = width * 4 // 3
    scale = min(
        width * rng.uniform(0.8, 0.97) / (hi[0] - lo[0]),
        height * rng.uniform(0.68, 0.88) / (hi[1] - lo[1]),
    )
    middle = width / 2 + rng.normal() * width * 0.01, height / 2 + rng.normal() * width * 0.02
    return Camera(float(scale), np.inf, (0.0, float(lo[1] + hi[1]) / 2), middle)


def _rendered(studio: Studio, garment: Garment, width: int, man: bool) -> Product:
    rng = garment.stream("shop light")
    stand = shop_stand(studio, garment, man)
    ground = np.full(3, rng.uniform(0.93, 0.97))
    # The scale is not known before the parts are: bumps are for a garment of the usual size.
    parts = garment_parts(studio, garment, stand, ground, width / 11, 0.0, True)
    camera = _frame(rng, parts, width)
    pic = Picture(studio.lib, width, width * 4 // 3)
    for p in parts:
        pic.draw(p.name, p.tri, camera(p.xyz, 1.0, p.bias), p.clip)
    pic.finish()
    surface, bump, _ = paint(pic, parts)
    light = draw_light(rng, studio=True).flat()
    empty = np.zeros((3, 3), np.float32), np.array([[0, 1, 2]], np.int32)
    image, cover = shade(pic, light, surface, bump, empty, SHOP_SMALLER)
    mask = (cover > 0).astype(np.uint8) * 255
    soft = cv2.GaussianBlur(cover, (0, 0), max(0.35, 0.8 * width / 768))[..., None]
    filled: F32 = np.where(cover[..., None] > 0, image, cv2.dilate(image, np.ones((5, 5))))
    tint = ground + rng.normal(size=3) * 0.004
    out = (filled * soft + tint * (1 - soft)).astype(np.float32)
    return Product(camera_look(out, garment.seed, 0.6, f"shop {garment.which}"), mask, pic)


def correspondence(person: Person, worn: Worn, product: Product, step: int) -> np.ndarray:
    """Worn x, y (H/step, W/step, 2) f16 of every step-th product pixel; nan where it is hidden."""
    h, w = person.height, person.width
    out = np.full((h * w, 2), np.nan, np.float32)
    parts = worn.parts[: len(product.pic.meshes)]
    at = product.pic.at(np.concatenate([person.camera(p.xyz) for p in parts]))
    labels = np.concatenate([np.full(len(p.xyz), p.label) for p in parts])
    want = product.pic.at(labels)[:, 0]
    inside = (at[:, 0] >= 0) & (at[:, 0] < w) & (at[:, 1] >= 0) & (at[:, 1] < h)
    x, y = (np.clip(at[:, k], 0, n - 1).astype(int) for k, n in ((0, w), (1, h)))
    seen = inside & (worn.parse[y, x] == np.round(want)) & (at[:, 2] < worn.depth[y, x] + 0.12)
    out[product.pic.where[seen]] = at[seen, :2]
    return out.reshape(h, w, 2)[::step, ::step].astype(np.float16)
