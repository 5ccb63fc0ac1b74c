"""The person in a garment: the picture, the parse, and what the camera saw at each pixel."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from fuw.starter.figures.bottom import bottom_parts
from fuw.starter.figures.hair import stray_strands
from fuw.starter.figures.labels import FACE, HAIR, soft_label
from fuw.starter.figures.light import shade
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Part, Pixels, Surface
from fuw.starter.figures.person import Person, without_faces
from fuw.starter.figures.raster import F32, Picture
from fuw.starter.figures.streams import stream
from fuw.starter.figures.studio import Studio
from fuw.starter.figures.things import draw_things
from fuw.starter.figures.wear import Garment, garment_parts

SMALLER = 2  # supersampling of the colour picture
U8 = npt.NDArray[np.uint8]
KINDS = ("cloth", "lower", "inner")  # names of a garment's parts


class Worn(NamedTuple):
    """A person picture before the camera's blur and noise, with its labels."""

    image: F32  # (H, W, 3) sRGB 0..1
    parse: U8  # (H, W)
    depth: F32  # (H, W)
    parts: list[Part]  # the garment's parts, posed


def visible_waist(person: Person, garment: Garment) -> float | None:
    """Upper edge of what is worn below; None where the garment covers it altogether."""
    spec = garment.spec
    if spec.lower and spec.label != 5 and not spec.gap:
        return None
    if spec.tucked:
        return person.bottom.waist
    return min(person.bottom.waist, spec.hem + 0.45)  # what the shirt hides cannot poke through


def bare(studio: Studio, person: Person, garment: Garment, waist: float | None) -> Array:
    """Which body vertices are drawn (n,): those no cloth covers."""
    spec, f = garment.spec, studio.body_fields
    trunk = f["arm"] < 0.3
    under = (studio.cover(spec) > 0.12) & (f["y"] < 5.7)
    if garment.inner:
        under |= trunk & (f["y"] < 4.9) & (f["y"] > 0)
    if spec.lower:
        floor = spec.lower_hem + 0.3 if not spec.gap else spec.hem
        under |= trunk & (f["y"] < spec.hem) & (f["y"] > floor)
    if waist is not None:
        b = person.bottom
        under |= (
            trunk & (f["y"] < waist - 0.15) & (f["y"] > b.low + (0.3 if b.kind == "skirt" else 0.2))
        )
    under |= trunk & (f["y"] < (waist or spec.hem) - 0.15) & (f["y"] > -0.6)
    if person.shoes:
        under |= studio.body.feet
    return ~under


def dress(studio: Studio, person: Person, garment: Garment) -> Worn:
    """Draw the person in the garment."""
    per_dm = person.camera.scale * SMALLER
    waist = visible_waist(person, garment)
    worn = garment_parts(
        studio, garment, person.stand, person.looks.tone, per_dm, person.bottom.waist, False
    )
    below: list[Part] = []
    if waist is not None:
        tucked, stand = garment.spec.tucked, person.stand
        below = bottom_parts(studio, person.seed, person.bottom, stand, tucked, waist, per_dm)
    shown = bare(studio, person, garment, waist)
    own = person.parts
    parts = [
        without_faces(own["body"], shown),
        *(own[k] for k in ("eyes", "lash", "shoes") if k in own),
    ]
    parts += below + worn + [own[k] for k in ("hair", "hat") if k in own]
    pic = draw_parts(studio, person, parts)
    surface, bump, label = paint(pic, parts)
    image, cover = shade(pic, person.light, surface, bump, casters(parts), SMALLER)
    parse = np.zeros(pic.height * pic.width, np.uint8)
    parse[pic.where] = label
    half = SMALLER // 2
    parse = parse.reshape(pic.height, pic.width)[half::SMALLER, half::SMALLER]
    depth = np.ascontiguousarray(pic.z[half::SMALLER, half::SMALLER])
    return _compose(person, pic, image, cover, np.ascontiguousarray(parse), depth, worn)


def draw_parts(studio: Studio, person: Person, parts: list[Part]) -> Picture:
    """Rasterise parts at SMALLER times the picture's size."""
    pic = Picture(studio.lib, person.width * SMALLER, person.height * SMALLER)
    for p in parts:
        pic.draw(p.name, p.tri, person.camera(p.xyz, SMALLER, p.bias), p.clip, p.strand, p.fray)
    return pic.finish()


def paint(pic: Picture, parts: list[Part]) -> tuple[tuple[F32, F32, F32, F32], F32, U8]:
    """Normal, position, colour and gloss, then bump and label of every covered pixel."""
    geometry = pic.at(np.concatenate([np.concatenate([p.normal, p.xyz], 1) for p in parts]))
    n = len(pic.where)
    rgb, gloss = np.empty((n, 3), np.float32), np.empty(n, np.float32)
    bump, label = np.empty(n, np.float32), np.empty(n, np.uint8)
    for k, p in enumerate(parts):
        sel = np.flatnonzero(pic.mesh == k)
        if len(sel) == 0:
            continue
        px = Pixels(pic, k, pic.where[sel], geometry[sel, :3], SMALLER)
        s: Surface = p.paint(px)
        rgb[sel], gloss[sel], bump[sel] = s.rgb, s.gloss, s.bump
        label[sel] = p.label if isinstance(p.label, int) else p.label(px)
    return (geometry[:, :3], geometry[:, 3:], rgb, gloss), bump, label


def casters(parts: list[Part]) -> tuple[Array, Array]:
    """Vertices and triangles that throw shadows: those that are not cut away."""
    xyz, tri, first = [], [], 0
    for p in parts:
        if p.casts:
            t = p.tri if p.clip is None or p.strand else p.tri[(p.clip.min(1) >= 0)[p.tri].all(1)]
            tri.append(t + first)
        xyz.append(p.xyz)
        first += len(p.xyz)
    return np.concatenate(xyz), np.concatenate(tri)


def _compose(
    person: Person, pic: Picture, image: F32, cover: F32, parse: U8, depth: F32, worn: list[Part]
) -> Worn:
    rng = stream(person.seed, "strands")
    image = image * np.float32(rng.uniform(0.84, 1.0)) + person.background * (1 - cover[..., None])
    if person.hair and person.hair_screen is not None:
        size = (person.width, person.height)
        a = stray_strands(rng, person.hair, person.hair_screen, pic.z, size, SMALLER)[..., None]
        a = a * (parse != FACE)[..., None]  # a dark line on a face looks like a scratch
        ground = (parse == HAIR)[..., None]
        tint = person.looks.hair.astype(np.float32) * np.where(
            ground, np.float32(1.25), np.float32(0.9)
        )
        image = image * (1 - a) + tint * a
    things = draw_things(person.seed, person.body, person.width)
    if things:
        a = things.opacity[..., None]
        image = image * (1 - a) + things.rgb * a
        parse = np.where(things.opacity > 0.5, 0, parse).astype(np.uint8)
        depth = np.where(things.opacity > 0.5, -100, depth).astype(np.float32)
    return Worn(image.astype(np.float32), parse, depth, worn)


def camera_look(image: F32, seed: int, strength: float = 1.0, concern: str = "camera look") -> U8:
    """Blur, exposure, white balance and sensor noise of a camera: (H, W, 3) u8.

    The same seed and concern give the same noise, so two pictures of one figure agree where they
    show the same.
    """
    rng = stream(seed, concern)
    image = cv2.GaussianBlur(image, (0, 0), (rng.uniform(0.2, 0.75)) * strength + 0.05)
    gain = 1 + rng.normal(size=3) * 0.02 * strength
    gamma = float(np.exp(rng.normal() * 0.08 * strength))
    image = cv2.pow(np.clip(image, 0, 1), gamma) * gain.astype(np.float32)
    amount = np.float32((0.001 + 0.008 * rng.random() ** 3) * strength)
    h, w = image.shape[:2]
    grain = rng.standard_normal((h, w, 1), np.float32)
    tint = cv2.resize(rng.standard_normal((h // 2, w // 2, 3), np.float32), (w, h))
    image = image + amount * (grain + 0.5 * tint)
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def body_chart(studio: Studio, person: Person) -> U8:
    """IUV (H, W, 3) of the body alone, without clothes or hair."""
    pic = Picture(studio.lib, person.width, person.height)
    pic.draw("body", studio.body_tri, person.camera(person.parts["body"].xyz))
    pic.finish()
    out = np.zeros((person.height * person.width, 3), np.uint8)
    px = Pixels(pic, 0, pic.where, np.zeros((len(pic.where), 3), np.float32), 1)
    out[pic.where, 0] = soft_label(px, studio.body.part_soft)
    out[pic.where, 1:] = px.at(np.stack([studio.body.u, studio.body.v], 1)) * 255
    return out.reshape(person.height, person.width, 3)
