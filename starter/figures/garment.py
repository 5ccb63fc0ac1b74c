"""What a garment is: kind, sleeve, neckline, hem, looseness; and the fields that cut it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fuw.starter.figures.labels import COAT, DRESS, UPPER
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.pose import pick

KINDS = {
    "tee": 3.2, "vneck": 1.3, "long": 3.2, "sweater": 1.3, "turtle": 0.7, "shirt": 1.8, "tank": 1.0,
    "straps": 0.8, "crop": 0.8, "tunic": 0.8, "dress": 2.6, "jumpsuit": 0.7, "coat": 2.2,
}  # fmt: skip
LONG = ("long", "sweater", "turtle", "coat")


@dataclass(frozen=True)
class GarmentSpec:
    """Lengths are dm on the reference body: hips at y = 0.5, waist 2.3, shoulder joint 5.25."""

    kind: str
    hem: float  # y of the lower edge
    sleeve: float  # 0 shoulder, 1 elbow, 2 wrist
    neck_front: float  # depth below the neck's base
    neck_back: float
    neck_width: float  # half width
    neck_power: float = 2.0  # 1 a V, 2 round, more: square
    tail: float = 0.0  # how much lower (+) the hem's middle hangs
    loose: float = 0.5  # 0 follows the body, 1 hangs
    ease: float = 0.2  # distance from the skin
    flare: float = 0.0  # of the sleeves
    collar: bool = False  # cloth up the neck; with neck_front a stand collar open at the front
    tucked: bool = False
    lower: str = ""  # "skirt" or "legs" for dresses, tunics, jumpsuits
    lower_hem: float = 0.0
    gap: float = 0.0  # half the opening of an open front; 0 is closed
    buttons: bool = False
    label: int = UPPER

    @property
    def clearance(self) -> float:
        """Room in dm that arms in front of the belly must leave."""
        return 0.1 + 0.6 * self.ease + 0.35 * self.loose + 0.25 * self.tucked


def draw_spec(rng: np.random.Generator, kinds: Mapping[str, float] = KINDS) -> GarmentSpec:
    """A random garment of one of the kinds (relative frequencies)."""
    kind = pick(rng, dict(kinds))
    u = rng.uniform
    s = GarmentSpec(
        kind, hem=u(0, 0.9), sleeve=u(0.45, 0.9), neck_front=u(0.35, 0.9), neck_back=u(0.05, 0.25),
        neck_width=u(0.72, 1.05), loose=u(0, 1), ease=u(0.08, 0.35), flare=u(0, 0.5),
    )  # fmt: skip
    if kind in LONG or (
        kind in ("vneck", "crop", "shirt", "tunic", "dress", "jumpsuit") and u() < 0.5
    ):
        s = replace(s, sleeve=u(1.4, 1.97), flare=u(-0.2, 0.3))
    if kind == "vneck" or u() < 0.2:
        s = replace(s, neck_power=u(0.95, 1.2), neck_front=u(1.0, 2.0))
    s = _of_kind(s, kind, rng)
    if u() < 0.15 and not s.lower:
        s = replace(s, tail=u(-0.4, 0.3))
    if u() < 0.4 and not s.lower:
        s = replace(s, hem=max(s.hem, 0.35))
    if kind not in ("crop", "coat") and not s.lower and u() < 0.3:
        s = replace(s, tucked=True, loose=s.loose * 0.5)
    return s


def _of_kind(s: GarmentSpec, kind: str, rng: np.random.Generator) -> GarmentSpec:
    u = rng.uniform
    if kind == "sweater":
        return replace(s, ease=u(0.3, 0.6), loose=u(0.5, 1))
    if kind == "turtle":
        return replace(s, collar=True, neck_front=0.0, loose=u(0, 0.4))
    if kind == "shirt":
        return replace(s, collar=True, neck_power=u(0.9, 1.2), neck_front=u(0.2, 1.1),
                       neck_width=u(0.25, 0.6), buttons=True, ease=u(0.12, 0.35))  # fmt: skip
    if kind == "tank":
        return replace(s, sleeve=u(-0.05, 0.12), neck_front=u(0.6, 1.3), neck_width=u(0.9, 1.15))
    if kind == "straps":
        return replace(s, sleeve=u(-0.13, -0.05), neck_front=u(1.2, 1.6), neck_back=u(0.8, 1.4),
                       neck_width=u(1.0, 1.2), neck_power=u(2.5, 5), loose=u(0, 0.5))  # fmt: skip
    if kind == "crop":
        return replace(s, hem=u(1.2, 2.0))
    if kind == "coat":
        hem = u(-0.6, 0.8)
        low = u() < 0.35
        return replace(s, hem=1.3 if low else hem, lower="skirt" if low else "",
                       lower_hem=u(-4.5, -0.8), gap=u(0.15, 1.0), ease=u(0.3, 0.55),
                       loose=u(0.5, 1), collar=u() < 0.5,
                       neck_front=u(0.2, 1.2), label=COAT)  # fmt: skip
    if kind in ("tunic", "dress", "jumpsuit"):
        sleeveless = kind != "tunic" and u() < 0.35
        s = replace(s, hem=u(0.9, 1.4), lower="legs" if kind == "jumpsuit" else "skirt",
                    loose=u(0, 0.6), lower_hem=u(-2.0, -0.4) if kind == "tunic" else u(-6.0, -1.6),
                    label=UPPER if kind == "tunic" else DRESS)  # fmt: skip
        if kind == "jumpsuit":
            s = replace(s, lower_hem=u(-7.4, -6.0) if u() < 0.7 else u(-3.0, -1.5))
        return replace(s, sleeve=u(-0.1, 0.12), neck_width=u(0.9, 1.15)) if sleeveless else s
    return s


def inner_spec(spec: GarmentSpec) -> GarmentSpec:
    """The plain top under an open coat."""
    return GarmentSpec(
        "inner", hem=0.5, sleeve=0.35, neck_front=0.7, neck_back=0.1, neck_width=0.85,
        loose=0.1, ease=0.02, label=UPPER, tucked=True,
    )  # fmt: skip


def cut(fields: Mapping[str, Array], spec: GarmentSpec) -> Array:
    """Columns (n, 3 or 4) f32 that are >= 0 where the garment has cloth: hem, sleeve, neck, gap.

    fields: the reference measures of `shell.measure`.
    """
    x, y, z = fields["x"], fields["y"], fields["z"]
    front = 1 / (1 + np.exp(-(z - 0.15) * 6))  # 0 back .. 1 front
    ax = abs(x)
    hem = y - (spec.hem - spec.tail * (1 - np.clip(ax / 1.6, 0, 1) ** 2))
    hem = np.where(fields["arm"] > 0.5, 1.0, hem)
    columns = [hem, (spec.sleeve - fields["s"]) * 2, _neck(ax, y, front, spec)]
    if spec.gap:
        opening = spec.gap * (0.35 + 0.65 * np.clip((y + 0.6) / 5.5, 0, 1))
        columns.append(np.where(front > 0.5, ax - opening, 1.0))
    return np.stack(columns, 1).astype(np.float32)


def _neck(ax: Array, y: Array, front: Array, spec: GarmentSpec) -> Array:
    top = 5.95 + 0.1 * (1 - front)
    depth = spec.neck_back * (1 - front) + spec.neck_front * front
    if spec.collar and spec.neck_front <= 0:
        return np.ones(len(ax))
    power = spec.neck_power
    if spec.collar:  # cloth up to the neck's opening, cut only by a slit at the front
        slit = (ax / spec.neck_width) ** power + np.maximum(
            (6.4 - y) / (spec.neck_front + 0.45), 0
        ) ** power
        return np.where(front < 0.5, 1.0, slit ** (1 / power) - 1)
    below = np.maximum((top - y) / np.maximum(depth, 1e-3), 0)
    neck = ((ax / spec.neck_width) ** power + below**power) ** (1 / power) - 1
    return np.asarray(np.where(y > top + 0.25, ax / spec.neck_width - 1, neck))
