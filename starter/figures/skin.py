"""The body's looks and labels: skin, lips, brows, eyes, glasses, socks."""

from __future__ import annotations

import numpy as np

from fuw.starter.figures.asset import Asset
from fuw.starter.figures.fabric import F32
from fuw.starter.figures.human import BODY, BODY_COUNT, EYES, Human
from fuw.starter.figures.labels import FACE, GLASSES, HAIR, SOCKS, BodyMap, soft_label
from fuw.starter.figures.looks import Glasses, Looks
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.part import Pixels, Surface

LIP_RING = 2  # the lip layer's faces reach this many rings beyond the lips
L_EYE, R_EYE = slice(14634, 14662), slice(14706, 14734)


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
