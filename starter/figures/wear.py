"""A garment made ready for drawing: its cloth, and its parts on a posed body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuw.starter.figures.cloth import ClothPaint, spread
from fuw.starter.figures.design import design
from fuw.starter.figures.fabric import F32, Fabric, Layout, wrinkles
from fuw.starter.figures.garment import GarmentSpec, cut, draw_spec, inner_spec
from fuw.starter.figures.human import skin
from fuw.starter.figures.labels import DRESS
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Part
from fuw.starter.figures.photo import PhotoGarment
from fuw.starter.figures.pose import rotation
from fuw.starter.figures.raster import vertex_normals
from fuw.starter.figures.streams import stream
from fuw.starter.figures.studio import Studio

TEXTURE_PX = 90 / 768  # texture pixels per dm and pixel of picture width


@dataclass(frozen=True)
class Garment:
    """A garment independent of who wears it."""

    seed: int
    which: str  # "a" or "b": names its random streams
    spec: GarmentSpec
    fabric: Fabric | None  # None where a photo is worn
    photo: PhotoGarment | None
    inner: Fabric | None  # the top under an open coat

    def stream(self, concern: str) -> np.random.Generator:
        """A random stream of this garment's own."""
        return stream(self.seed, f"garment {self.which} {concern}")

    @property
    def name(self) -> str:
        """What it is made of, for the notes beside a figure."""
        return (
            f"photo: {self.photo.path}" if self.photo else self.fabric.name if self.fabric else ""
        )


def draw_garment(
    studio: Studio, seed: int, which: str, width: int, photos: float, hard: tuple[Array, ...] = ()
) -> Garment:
    """A random garment; a share `photos` of them are real photos. hard: see `fabric.design`."""
    rng = stream(seed, f"garment {which}")
    worn = studio.photos.draw(rng, width) if studio.photos and rng.random() < photos else None
    if worn:
        return Garment(seed, which, worn.spec, None, worn, None)
    spec = draw_spec(rng)
    layout = Layout(TEXTURE_PX * width)
    made = design(rng, layout, studio.files, hard, studio.sleeves(layout), spec.buttons)
    inner = design(rng, layout, studio.files, hard) if spec.gap else None
    return Garment(seed, which, spec, made, None, inner)


@dataclass(frozen=True)
class Stand:
    """A posed body: rest vertices, bones, and the turn of the whole figure."""

    v: Array
    r: Array
    t: Array
    turn: Array  # (3, 3)

    def posed(self, weights: object, rest: Array) -> F32:
        """Skinned and turned vertices f32."""
        return (skin(weights, rest, self.r, self.t) @ self.turn.T).astype(np.float32)  # type: ignore[arg-type]


def garment_parts(
    studio: Studio,
    garment: Garment,
    stand: Stand,
    ground: Array,
    per_dm: float,
    waist: float,
    shop: bool,
) -> list[Part]:
    """The parts of a worn (or, with shop, displayed) garment.

    ground: what shows through sheer cloth; per_dm: picture pixels per dm; waist: where a tucked
    garment ends. Worn and shop folds differ, or a network learns to copy them.
    """
    place = "shop" if shop else "worn"
    rng = garment.stream(place)
    spec = garment.spec
    parts = [_upper(studio, garment, spec, stand, ground, per_dm, waist, rng, shop)]
    if spec.lower:
        parts.append(_lower(studio, garment, stand, ground, per_dm, rng))
    if garment.inner:
        under = Garment(
            garment.seed, garment.which + " inner", inner_spec(spec), garment.inner, None, None
        )
        parts.append(
            _upper(
                studio, under, under.spec, stand, ground, per_dm, 0.5 if shop else waist, rng, shop
            )
        )
    return parts


def _fold_map(garment: Garment, layout: Layout, rng: np.random.Generator, shop: bool) -> F32:
    if shop:
        strength = rng.uniform(0.2, 1.0)
    else:
        strength = rng.uniform(0.3, 1.1) if garment.photo else rng.uniform(0.8, 3.2)
    return wrinkles(
        rng,
        layout,
        strength,
        knit=garment.spec.kind in ("sweater", "turtle") and garment.photo is None,
    )


def _upper(
    studio: Studio, garment: Garment, spec: GarmentSpec, stand: Stand, ground: Array, per_dm: float,
    waist: float, rng: np.random.Generator, shop: bool,
) -> Part:  # fmt: skip
    shell = studio.shell
    rest = shell.drape(stand.v, spec, rng)
    cloth = stand.posed(shell.weights, rest)
    fields = cut(shell.fields, spec)
    clip = fields.copy()
    if spec.tucked and not shop:
        clip[:, 0] = np.where(shell.fields["arm"] > 0.5, 1, shell.fields["y"] - waist + 0.12)
    layout = (
        garment.fabric.layout
        if garment.fabric
        else Layout(TEXTURE_PX * (garment.photo.image.shape[1] if garment.photo else 768))
    )
    flat = layout.pixels(shell.flat)
    back = shell.on_back.astype(np.float32)
    photo = garment.photo
    if photo:
        filled = spread(photo.image, photo.mask)
        textures, uv = (filled, filled), photo.xy.astype(np.float32)
    else:
        assert garment.fabric is not None
        textures, uv = garment.fabric.over(ground), flat
    paint = ClothPaint(
        studio.lib, textures, uv, back, _fold_map(garment, layout, rng, shop), flat,
        per_dm * (0.10 if shop else 0.14), None if photo else fields[shell.ids],
        garment.fabric.trim if garment.fabric else None, 0.02 * per_dm,
        not spec.collar, 0.62 if shop else 0.7,
    )  # fmt: skip
    normal = vertex_normals(studio.lib, cloth, shell.tri)[shell.ids]
    name = "inner" if spec.kind == "inner" else "cloth"
    bias = 0.08 if name == "inner" else 0.0
    return Part(
        name, shell.panel_tri, cloth[shell.ids], normal, paint, spec.label, clip[shell.ids], bias
    )


def _lower(
    studio: Studio,
    garment: Garment,
    stand: Stand,
    ground: Array,
    per_dm: float,
    rng: np.random.Generator,
) -> Part:
    spec, shell, fabric = garment.spec, studio.shell, garment.fabric
    assert fabric is not None
    waist = spec.hem + 0.25
    if spec.lower == "legs":
        weights, ref, tri = shell.weights, shell.ref, shell.tri
        rest = shell.legs(stand.v, 0.10 + 0.3 * spec.ease, float(rng.choice([0.05, 0.15, 0.35])))
        clip = np.stack(
            [waist - ref[:, 1], ref[:, 1] - spec.lower_hem, 0.3 - shell.fields["arm"]], 1
        )
    else:
        weights, ref, tri = shell.skirt_weights, shell.skirt_ref, shell.skirt_tri
        flare = rng.uniform(-0.05, 0.15) if spec.label == 5 else rng.uniform(0, 0.6)
        rest = shell.skirt(stand.v, waist, flare, int(rng.integers(3, 14)), rng.uniform(0, 6.28))
        clip = np.stack([waist - ref[:, 1], ref[:, 1] - spec.lower_hem], 1)
        if spec.gap:
            opening = spec.gap * 0.45 + 0.12 * np.clip(waist - ref[:, 1], 0, None)
            clip = np.column_stack([clip, np.where(ref[:, 2] > 0, abs(ref[:, 0]) - opening, 1)])
    cloth = stand.posed(weights, rest)
    uv = fabric.layout.pixels(ref[:, :2])
    fields = np.column_stack([clip[:, 1], np.ones((len(ref), 2))]).astype(np.float32)
    paint = ClothPaint(
        studio.lib, fabric.over(ground), uv, (ref[:, 2] < 0).astype(np.float32),
        wrinkles(rng, fabric.layout, rng.uniform(0.5, 2.0)), uv * np.float32([1.4, 0.7]),
        per_dm * 0.12, fields, fabric.trim, 0.02 * per_dm,
    )  # fmt: skip
    normal = vertex_normals(studio.lib, cloth, tri)
    over = spec.label != DRESS  # tunics and coats hang over what the person wears below
    bias = -0.3 if over else 0.15
    return Part("lower", tri, cloth, normal, paint, spec.label, clip, bias)


def shop_stand(studio: Studio, garment: Garment, man: bool) -> Stand:
    """An invisible average figure with its arms a little lowered, pressed towards flat."""
    rng = garment.stream("stand")
    spec = garment.spec
    human, v = studio.human, studio.average[man]
    lower = rng.uniform(0.0, 0.3) if spec.sleeve < 1 else rng.uniform(0.25, 0.7)
    turns = {}
    for side, s in (("L", 1), ("R", -1)):
        turns["upperarm01." + side] = rotation((0, 0, 1), -s * lower)
        turns["lowerarm01." + side] = (
            rotation((0, 1, 0), s * 0.75) if spec.sleeve > 1 else np.eye(3)
        )
    r, t = human.pose_bones(v, turns)
    return Stand(v, r, t, np.diag([1.0, 1.0, rng.uniform(0.35, 0.8)]))
