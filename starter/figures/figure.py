"""One figure from one seed: a person dressed in garment A and in garment B, every label exact."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from fuw.starter.figures.garment import GarmentSpec
from fuw.starter.figures.person import Person, draw_person, ground_level
from fuw.starter.figures.product import correspondence, show
from fuw.starter.figures.sample_io import CORR_STEP, U8, Dressed, Figure
from fuw.starter.figures.scene import body_chart, camera_look, dress
from fuw.starter.figures.studio import Studio
from fuw.starter.figures.traits import draw_traits
from fuw.starter.figures.wear import Garment, draw_garment

RENDERER = 3  # raise it when the same seed gives another picture


def make_figure(studio: Studio, seed: int, width: int = 384, photos: float = 0.5) -> Figure:
    """The figure of a seed, pictures (width * 4 / 3, width).

    photos: share of garments that are real photos. The person, pose, camera and light do not
    depend on the garments, except that arms leave room for the wider of the two.
    """
    traits = draw_traits(seed, studio.human)
    hard = (np.full(3, ground_level(seed)), traits.looks.tone)  # a parser must not rely on these
    garments = [draw_garment(studio, seed, which, width, photos, hard) for which in "ab"]
    person = draw_person(studio, seed, traits, width, max(g.spec.clearance for g in garments))
    iuv = body_chart(studio, person)
    a, b = (_dressed(studio, person, g, iuv) for g in garments)
    meta = {"renderer": RENDERER, **person.meta, "a": _notes(garments[0]), "b": _notes(garments[1])}
    return Figure(seed, a, b, person.body, person.hands, meta)


def _dressed(studio: Studio, person: Person, garment: Garment, iuv: U8) -> Dressed:
    worn = dress(studio, person, garment)
    product = show(studio, garment, person.width, person.shop_man)
    return Dressed(
        person=camera_look(worn.image, person.seed), garment=product.image, parse=worn.parse,
        mask=product.mask, iuv=iuv, corr=correspondence(person, worn, product, CORR_STEP),
    )  # fmt: skip


def _notes(garment: Garment) -> dict[str, object]:
    spec: GarmentSpec = garment.spec
    numbers = {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(spec).items()}
    return {"cloth": garment.name, **numbers}
