"""The body's looks and labels: skin, lips, brows, eyes, glasses, socks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fuw.starter.figures.asset import Asset
from fuw.starter.figures.charts import charts
from fuw.starter.figures.fabric import F32, colour
from fuw.starter.figures.human import BODY, BODY_COUNT, EYES, Human
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Pixels, Surface
from fuw.starter.figures.streams import stream

HAT, HAIR, GLASSES, SOCKS, NECK, FACE = 1, 2, 4, 8, 10, 13  # VITON-HD ids
LABELS = {
    "head": FACE, "neck": NECK, "torso": NECK, "upperarmL": 14, "forearmL": 14, "handL": 14,
    "upperarmR": 15, "forearmR": 15, "handR": 15, "thighL": 16, "shinL": 16, "thighR": 17,
    "shinR": 17, "footL": 18, "footR": 19,
}  # fmt: skip
TONES = np.array(
    [[0.97, 0.83, 0.75], [0.93, 0.76, 0.66], [0.86, 0.67, 0.54], [0.76, 0.56, 0.43],
     [0.58, 0.40, 0.29], [0.44, 0.30, 0.23], [0.35, 0.24, 0.18]]
)  # fmt: skip
HAIR_COLOURS = np.array(
    [[0.06, 0.05, 0.04], [0.12, 0.08, 0.06], [0.25, 0.16, 0.10], [0.40, 0.27, 0.16],
     [0.62, 0.47, 0.28], [0.76, 0.62, 0.42], [0.86, 0.76, 0.58], [0.45, 0.20, 0.10],
     [0.45, 0.44, 0.43], [0.75, 0.74, 0.72]]
)  # fmt: skip
HAIR_SHARES = np.array([0.10, 0.13, 0.16, 0.18, 0.16, 0.11, 0.06, 0.05, 0.03, 0.02])
LIP_RING = 2  # the lip layer's faces reach this many rings beyond the lips
L_EYE, R_EYE = slice(14634, 14662), slice(14706, 14734)


class BodyMap:
    """Labels, charts and lip depth per body vertex; nothing in it changes between figures."""

    def __init__(self, human: Human) -> None:
        q = human.body_quads
        part, self.u, self.v = charts(human)
        label = np.array([LABELS[k] for k in human.part[BODY]])
        self.part_soft = soften(q, part, 25)
        self.label_soft = soften(q, label, 20)
        lips = np.zeros(len(q), bool)
        lips[human.lip_faces] = True
        self.lip_depth = rings(q, lips)
        self.scalp = np.zeros(BODY_COUNT, bool)
        self.scalp[np.unique(q[human.scalp_faces])] = True
        self.hands = np.char.startswith(human.part[BODY].astype(str), "hand")
        self.feet = np.char.startswith(human.part[BODY].astype(str), "foot")
        self.legs = np.isin(label, (16, 17, 18, 19))


def soften(quads: Array, label: Array, n: int) -> F32:
    """One-hot labels per vertex, smoothed twice along the surface (or borders are saw-toothed)."""
    hot = np.eye(n)[label]
    for _ in range(2):
        total, count = np.zeros_like(hot), np.zeros(len(label))
        mean = hot[quads].mean(1)
        for k in range(4):
            np.add.at(total, quads[:, k], mean)
            np.add.at(count, quads[:, k], 1)
        hot = total / np.maximum(count, 1)[:, None]
    return hot.astype(np.float32)


def rings(quads: Array, chosen: Array) -> Array:
    """Distance in edges of every vertex from the border of a set of faces (0 outside)."""
    inside = np.zeros(BODY_COUNT)
    inside[np.unique(quads[chosen])] = 1
    inside[np.unique(quads[~chosen])] = 0
    depth = inside.copy()
    for _ in range(12):
        low = np.full(BODY_COUNT, 99.0)
        for k in range(4):
            np.minimum.at(low, quads[:, k], depth[quads].min(1))
        depth = np.where(inside > 0, np.minimum(low + 1, 12), 0)
    return depth


def soft_label(px: Pixels, soft: F32) -> Array:
    """The label with the largest interpolated share at each pixel."""
    tri, w = px.corners()
    hard = soft.argmax(1)
    corner = hard[tri]
    out = corner[:, 0].copy()
    mixed = np.flatnonzero((corner != out[:, None]).any(1))
    out[mixed] = np.einsum("nk,nkc->nc", w[mixed], soft[tri[mixed]]).argmax(1)
    return out


class Glasses(NamedTuple):
    """Sunglasses painted around the eyes, in units of the distance between the eyes."""

    colour: Array
    wide: float
    high: float


@dataclass(frozen=True)
class Looks:
    """Colours and details of one person's body."""

    tone: Array
    hair: Array
    eye: Array
    lip: Array
    lip_strength: float
    blush: float
    lids: float
    gloss: float
    brow: tuple[float, float]  # thickness in dm, density
    glasses: Glasses | None
    legwear: Array | None  # colour of tights or socks
    sock_top: float  # y on the reference body up to which legs are covered
    flat_shoes: Array | None  # colour of shoes painted onto the feet
    boots: Array | None  # colour of boots
    boot_top: float


def draw_looks(seed: int, race: Array, man: bool) -> Looks:
    """Random colours; skin and hair follow the shares of (caucasian, african, asian)."""
    rng = stream(seed, "looks")
    shade = np.clip(rng.normal(1.2 + 4.6 * race[1] + 0.8 * race[2], 0.9), 0, 6)
    tone = TONES[int(shade)] * rng.uniform(0.92, 1.04)
    any_hair = race[0] > 0.35 or rng.random() < 0.2
    hair = rng.choice(len(HAIR_COLOURS), p=HAIR_SHARES) if any_hair else rng.integers(3)
    made_up = not man and rng.random() < 0.5
    lip = (
        tone * rng.uniform([0.75, 0.4, 0.42], [1.0, 0.6, 0.62])
        if made_up
        else tone * rng.uniform(0.75, 0.88) * [1.0, 0.8, 0.8]
    )
    glasses = None
    if rng.random() < 0.16:
        dark = np.clip(rng.uniform(0.02, 0.15) + rng.normal(size=3) * 0.02, 0, 1)
        glasses = Glasses(dark, rng.uniform(0.38, 0.5), rng.uniform(0.24, 0.4))
    legwear, top = None, 9.0
    luck = rng.random()
    if luck < 0.15:  # tights
        legwear = (
            np.array([0.06, 0.06, 0.07]) + rng.uniform(0, 0.2)
            if rng.random() < 0.7
            else colour(rng)
        )
    elif luck < 0.35:  # socks
        legwear, top = (
            (np.full(3, rng.uniform(0.8, 0.95)) if rng.random() < 0.5 else colour(rng)),
            rng.uniform(-7.3, -4.5),
        )
    boots = colour(rng) * rng.uniform(0.3, 1) if luck > 0.35 and rng.random() < 0.2 else None
    flat_shoes = colour(rng) if not man and rng.random() < 0.3 else None
    return Looks(
        tone=np.clip(tone, 0, 1),
        hair=np.clip(HAIR_COLOURS[hair] * rng.uniform(0.8, 1.2), 0, 1),
        eye=colour(rng) * 0.5 + np.array([0.15, 0.1, 0.06]), lip=np.clip(lip, 0, 1),
        lip_strength=rng.uniform(0.5, 0.95), blush=rng.uniform(0.1, 0.4),
        lids=rng.uniform(0.05, 0.35),
        gloss=rng.uniform(0.02, 0.12), brow=(rng.uniform(0.028, 0.05), rng.uniform(0.45, 0.85)),
        glasses=glasses, legwear=legwear, sock_top=top, flat_shoes=flat_shoes,
        boots=boots, boot_top=rng.uniform(-7.0, -4.2),
    )  # fmt: skip


def vertex_colours(body: BodyMap, looks: Looks, v: Array, scalp: Array) -> F32:
    """Skin colour (13380, 3): warmer nose, cheeks, hands; lids, lips, painted scalp."""
    tone = looks.tone
    warm = tone * [1.0, 0.72, 0.70]
    rgb = np.broadcast_to(tone, (BODY_COUNT, 3)).copy()

    def spot(centre: Array, radius: float) -> Array:
        return np.exp(-((v[BODY] - centre) ** 2).sum(1) / radius**2)[:, None]

    rgb += spot(v[[297, 7063]].mean(0), 0.22) * 0.25 * (warm - rgb)
    for eye, s in ((v[L_EYE].mean(0), 1), (v[R_EYE].mean(0), -1)):
        rgb += spot(eye + [s * 0.25, -0.55, 0.0], 0.38) * looks.blush * (warm - rgb)
        rgb += spot(eye + [0, 0.02, 0.1], 0.26) * looks.lids * (rgb * 0.55 - rgb)
    lips = np.clip(body.lip_depth - LIP_RING, 0, 1)[:, None] * looks.lip_strength
    rgb += lips * (looks.lip - rgb)
    rgb = np.where(body.hands[:, None], rgb * 0.75 + 0.25 * warm * 1.12, rgb)
    rgb += scalp[:, None] * (looks.hair * 0.75 + 0.08 * tone - rgb)
    return rgb.astype(np.float32)


class SkinPaint:
    """Paint and labels of the body mesh."""

    def __init__(
        self,
        human: Human,
        body: BodyMap,
        looks: Looks,
        v: Array,
        brow: Asset,
        scalp: Array,
        mottle: F32,
        shoes: bool,
    ) -> None:
        self.body, self.looks, self.mottle, self.shoes = body, looks, mottle, shoes
        self.scalp = scalp.astype(np.float32)
        self.rgb = vertex_colours(body, looks, v, self.scalp)
        self.rest = np.column_stack([v[BODY], human.reference[BODY][:, 1]]).astype(np.float32)
        self.brow = brow.fit(v)
        self.eyes = v[L_EYE].mean(0), v[R_EYE].mean(0)
        sole = v[BODY][body.feet, 1].min()
        self.instep = sole + 0.38 * (float(v[BODY][body.feet, 1].max()) - sole)

    def _where(self, px: Pixels) -> tuple[F32, Array, Array]:
        """Rest coordinates (n, 4), and which pixels are covered leg and painted shoe or boot."""
        q = px.at(self.rest)
        leg = px.at(self.body.legs.astype(np.float32))[:, 0] > 0.5
        covered = (
            leg & (q[:, 3] < self.looks.sock_top)
            if self.looks.legwear is not None
            else np.zeros(len(q), bool)
        )
        shoe = np.zeros(len(q), bool)
        if not self.shoes:
            foot = px.at(self.body.feet.astype(np.float32))[:, 0] > 0.5
            shoe = foot & (q[:, 1] < self.instep)
        if self.looks.boots is not None:
            shoe |= leg & (q[:, 3] < self.looks.boot_top)
        return q, covered & ~shoe, shoe

    def __call__(self, px: Pixels) -> Surface:
        looks = self.looks
        rgb = px.at(self.rgb) * (1 + 0.015 * px.of_map(self.mottle))[:, None]
        q, covered, shoe = self._where(px)
        self._brows(rgb, q)
        gloss = np.full(len(q), looks.gloss, np.float32)
        if looks.legwear is not None:
            rgb[covered] = looks.legwear
        painted = looks.boots if looks.boots is not None else looks.flat_shoes
        if painted is not None:
            rgb[shoe] = painted
        if looks.glasses:
            on = in_glasses(q, self.eyes, looks.glasses)
            rgb[on], gloss[on] = looks.glasses.colour, 0.4
        return Surface(rgb, gloss)

    def label(self, px: Pixels) -> Array:
        """Body part, hair where the scalp is painted, glasses, socks and tights."""
        out = soft_label(px, self.body.label_soft)
        q, covered, shoe = self._where(px)
        foot = out >= 18
        out = np.where(foot & ~shoe, out - 2, out)  # a bare foot is leg
        out = np.where(shoe, np.where(q[:, 0] > 0, 18, 19), out)
        out[px.at(self.scalp)[:, 0] > 0.5] = HAIR
        if self.looks.legwear is not None:
            out[covered] = SOCKS
        if self.looks.glasses:
            out[in_glasses(q, self.eyes, self.looks.glasses)] = GLASSES
        return out

    def _brows(self, rgb: F32, q: F32) -> None:
        """Darken the face along the brow mesh's centre line, in rest coordinates."""
        b = self.brow
        near = (
            (q[:, 1] > b[:, 1].min() - 0.1)
            & (q[:, 1] < b[:, 1].max() + 0.1)
            & (q[:, 2] > b[:, 2].min() - 0.3)
        )
        ids = np.flatnonzero(near)
        thick, dense = self.looks.brow
        tint = self.looks.hair * 0.6 + 0.04
        for s in (1, -1):
            m = b[:, 0] * s > 0
            x, y = abs(b[m, 0]), b[m, 1]
            line = np.polyfit(x, y, 2)
            ax, ay = q[ids, 0] * s, q[ids, 1]
            u = (ax - x.min()) / (x.max() - x.min())
            width = thick * np.clip(1.25 - 0.9 * u, 0.1, 1) * np.clip(u * 8 + 0.3, 0.1, 1)
            k = np.exp(-(((ay - np.polyval(line, ax)) / width) ** 2)) * dense * ((u > 0) & (u < 1))
            k *= 0.8 + 0.2 * np.sin(ax * 160 + ay * 90)
            rgb[ids] += (k[:, None] * (tint - rgb[ids])).astype(np.float32)


def in_glasses(q: Array, eyes: tuple[Array, Array], glasses: Glasses) -> Array:
    """Which rest positions (n, 3+) lie under the glasses: two lenses, a bridge and the sides."""
    left, right = eyes
    apart = abs(left[0] - right[0])
    middle = (left + right) / 2
    dx, dy = abs(q[:, 0] - middle[0]) / apart - 0.5, (q[:, 1] - middle[1]) / apart
    front = q[:, 2] > middle[2] - 0.35 * apart
    lens = (abs(dx) / glasses.wide) ** 3 + (abs(dy + 0.03) / glasses.high) ** 3 < 1
    bridge = (abs(dx + 0.5) < 0.2) & (abs(dy - 0.08) < 0.06)
    side = (dx > 0) & (abs(dy - 0.1) < 0.05) & (q[:, 2] > middle[2] - 1.6 * apart)
    return np.asarray((front & (lens | bridge)) | side)


class EyePaint:
    """White, iris, rim and pupil by direction from the eyeball's centre; darkened by sunglasses."""

    def __init__(self, looks: Looks, v: Array) -> None:
        centre = np.repeat([v[14598:14670].mean(0), v[14670:14742].mean(0)], 72, 0)
        d = v[EYES] - centre
        d = d / np.linalg.norm(d, axis=1, keepdims=True)
        self.attribute = np.column_stack([d, v[EYES]]).astype(np.float32)
        self.looks, self.eyes = looks, (v[L_EYE].mean(0), v[R_EYE].mean(0))

    def __call__(self, px: Pixels) -> Surface:
        a = px.at(self.attribute)
        gaze = (a[:, 2] / np.maximum(np.linalg.norm(a[:, :3], axis=1), 1e-6))[:, None]
        white = np.array([0.86, 0.83, 0.81])
        iris = np.where(
            gaze > 0.90, self.looks.eye, np.where(gaze > 0.88, self.looks.eye * 0.5, white)
        )
        rgb = np.where(gaze > 0.985, 0.02, iris).astype(np.float32)
        if self.looks.glasses:
            rgb[in_glasses(a[:, 3:], self.eyes, self.looks.glasses)] = self.looks.glasses.colour
        return Surface(rgb, 0.15)

    def label(self, px: Pixels) -> Array:
        """Face, or glasses in front of it."""
        out = np.full(len(px.where), FACE)
        if self.looks.glasses:
            out[in_glasses(px.at(self.attribute)[:, 3:], self.eyes, self.looks.glasses)] = GLASSES
        return out
