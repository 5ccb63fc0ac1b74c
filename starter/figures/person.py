"""What of a figure does not depend on the garment: body, pose, looks, light, ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from fuw.starter.figures.background import draw_background
from fuw.starter.figures.bottom import Bottom, draw_bottom
from fuw.starter.figures.camera import Camera, frame
from fuw.starter.figures.fabric import colour, noise
from fuw.starter.figures.hair import MEN, WOMEN, HairPaint, HairStyle, tip_clip
from fuw.starter.figures.human import BODY, BODY_COUNT, EYES
from fuw.starter.figures.keypoints import keypoints
from fuw.starter.figures.labels import FACE, HAIR, HAT
from fuw.starter.figures.light import Light, draw_light
from fuw.starter.figures.looks import Looks
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Part, Pixels, plain
from fuw.starter.figures.pose import pick, random_pose, rotation
from fuw.starter.figures.raster import F32, Picture, vertex_normals
from fuw.starter.figures.skin import EyePaint, SkinPaint
from fuw.starter.figures.streams import stream
from fuw.starter.figures.street import cast_shadow
from fuw.starter.figures.studio import Studio
from fuw.starter.figures.traits import Traits
from fuw.starter.figures.wear import Stand

HAND_BIAS = {"pocket": 0.7, "hip": 0.0, "up": 0.0}  # dm; others lie in front of what they touch


@dataclass(frozen=True)
class Person:
    """One person in one pose before one camera; `parts` are drawn in every garment."""

    seed: int
    width: int
    stand: Stand
    looks: Looks
    camera: Camera
    light: Light
    bottom: Bottom
    shop_man: bool
    shoes: bool
    hair: HairStyle | None
    hair_screen: F32 | None
    parts: dict[str, Part]
    body: F32  # (25, 3) pixels, inside the picture
    hands: F32  # (2, 21, 3)
    background: F32  # (H, W, 3)
    ground_level: float  # grey of the studio ground
    meta: dict[str, Any]

    @property
    def height(self) -> int:
        return self.width * 4 // 3


def ground_level(seed: int) -> float:
    """Grey of a light studio ground: drawn apart, since garments may be made close to it."""
    return float(stream(seed, "ground level").uniform(0.80, 0.97))


def draw_person(studio: Studio, seed: int, traits: Traits, width: int, clear: float) -> Person:
    """The person of a seed at a picture width; clear: dm of room for cloth before the belly."""
    human = studio.human
    man, v, looks = traits.man, traits.v, traits.looks
    pose = random_pose(human, v, stream(seed, "pose"), clear)
    r, t = human.pose_bones(v, pose.turns)
    rng = stream(seed, "turn")
    yaw = float(np.radians(np.clip(rng.normal() * 11, -28, 28)))
    lean = rotation((1, 0, 0), rng.normal() * 0.03) @ rotation((0, 0, 1), rng.normal() * 0.015)
    stand = Stand(v, r, t, rotation((0, 1, 0), yaw) @ lean)
    background, kind = draw_background(seed, studio.files, width, ground_level(seed))
    camera, framing = frame(stream(seed, "camera"), human, v, width, kind == "street")
    rng = stream(seed, "accessories")
    style = (
        studio.hair[pick(rng, MEN if man else WOMEN)] if not man or rng.random() < 0.93 else None
    )
    hat = bool(rng.random() < 0.07)
    shoes = bool(man or rng.random() < 0.6 or looks.flat_shoes is None)
    parts = _body_parts(studio, seed, stand, looks, width, style, hat, shoes, pose.arms)
    k25, hands = keypoints(human, v, r, t)
    if framing == "full" and (
        kind == "street" or (kind != "photo" and stream(seed, "sun").random() < 0.4)
    ):
        seen = silhouette(studio, camera, parts["body"].xyz, width)
        background = cast_shadow(seed, background, seen)
    return Person(
        seed, width, stand, looks, camera, draw_light(stream(seed, "light"), kind == "light"),
        draw_bottom(seed, studio, man, width), man, shoes, style,
        camera(parts["hair"].xyz) if style else None, parts,
        project(camera, k25 @ stand.turn.T, width),
        np.stack([project(camera, h @ stand.turn.T, width) for h in hands]), background,
        ground_level(seed),
        {"man": man, "arms": pose.arms, "legs": pose.legs, "yaw": round(float(np.degrees(yaw)), 1),
         "framing": framing, "background": kind, "hat": hat, "glasses": looks.glasses is not None},
    )  # fmt: skip


def silhouette(studio: Studio, camera: Camera, body: Array, width: int) -> F32:
    """Where the bare body is seen: (H, W) 0 or 1."""
    pic = Picture(studio.lib, width, width * 4 // 3)
    pic.draw("body", studio.body_tri, camera(body))
    return (pic.ids >= 0).astype(np.float32)


def project(camera: Camera, p: Array, width: int) -> F32:
    """Posed dm (n, 3) -> x, y in pixels and 1 where inside the picture."""
    xy = camera(p)[:, :2]
    inside = ((xy >= 0) & (xy < [width, width * 4 // 3])).all(1)
    return np.column_stack([xy, inside]).astype(np.float32)


def _hand_bias(studio: Studio, arms: tuple[str, str]) -> F32:
    """Depth bias (n,): hands in front of cloth that they touch, or hidden in the pockets."""
    soft = studio.body.part_soft
    left, right = (np.float32(HAND_BIAS.get(arm, -0.45)) for arm in arms)
    return soft[:, 4] * left + soft[:, 3] * right  # DensePose parts: 4 left hand, 3 right


def _body_parts(studio: Studio, seed: int, stand: Stand, looks: Looks, width: int,
                style: HairStyle | None, hat: bool, shoes: bool, arms: tuple[str, str],
                ) -> dict[str, Part]:
    human, v = studio.human, stand.v
    rng = stream(seed, "skin")
    paint = _skin_paint(studio, rng, v, looks, width, style, shoes)
    eye_paint = EyePaint(looks, v)

    def part(name: str, tri: Array, xyz: Array, painter: Any, label: Any, **more: Any) -> Part:
        return Part(name, tri, xyz, vertex_normals(studio.lib, xyz, tri), painter, label, **more)

    body = stand.posed(human.weights[BODY], v[BODY])
    eyes = stand.posed(human.weights[EYES], v[EYES])
    lash = stand.posed(human.weights[studio.lash_ids], v[studio.lash_ids])
    parts = {
        "body": part(
            "body", studio.body_tri, body, paint, paint.label, bias=_hand_bias(studio, arms)
        ),
        "eyes": part("eyes", studio.eye_tri, eyes, eye_paint, eye_paint.label, casts=False),
        "lash": part("lash", studio.lash_tri, lash, plain(looks.tone * 0.3), FACE, casts=False),
    }
    if shoes:
        shoe = studio.shoes[int(rng.integers(len(studio.shoes)))]
        leather = colour(rng) if looks.boots is None else looks.boots
        parts["shoes"] = part("shoes", shoe.tri, stand.posed(shoe.weights, shoe.fit(v)),
                              plain(leather, 0.08), _shoe_label(shoe.fit(v)), bias=0.15,
                              casts=False)
    if style:
        xyz = stand.posed(style.asset.weights, style.asset.fit(v))
        long = style.along.max() > 0
        parts["hair"] = part(
            "hair", style.asset.tri, xyz, HairPaint(style, looks.hair, rng), HAIR,
            clip=tip_clip(style) if long else None, strand=40.0, fray=float(rng.uniform(0.05, 0.3)),
        )  # fmt: skip
    if hat:
        xyz = stand.posed(studio.hat.weights, studio.hat.fit(v))
        parts["hat"] = part("hat", studio.hat.tri, xyz, plain(colour(rng), 0.02), HAT, bias=-0.15)
    return parts


def _skin_paint(studio: Studio, rng: np.random.Generator, v: Array, looks: Looks, width: int,
                style: HairStyle | None, shoes: bool) -> SkinPaint:
    """Skin with its mottling, brows, and hair painted where a hair mesh lies on the scalp."""
    size = (width * 4 // 3, width)
    mottle = 0.7 * noise(rng, size, 9 * width / 768) + 0.7 * noise(rng, size, 1)
    scalp = np.zeros(BODY_COUNT)
    if style:
        near, _ = cKDTree(style.asset.fit(v)).query(v[BODY][studio.body.scalp])
        scalp[studio.body.scalp] = near < 0.09
    brow = studio.brows[int(rng.integers(len(studio.brows)))]
    return SkinPaint(studio.human, studio.body, looks, v, brow, scalp, mottle, shoes)


def _shoe_label(vertices: Array) -> Callable[[Pixels], Array]:
    """Which of the two shoes a pixel is of: 18 the left, 19 the right."""
    left = (vertices[:, 0] > 0).astype(np.float32)
    return lambda px: np.where(px.at(left)[:, 0] > 0.5, 18, 19)


def without_faces(part: Part, keep: Array) -> Part:
    """The part without the triangles of which no vertex is kept."""
    return replace(part, tri=part.tri[keep[part.tri].any(1)])
