"""The human parser (SCHP, narrow), on VITON-HD ids: 10 is the neck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.engine.arrays import F32, U8
from fuw.export.nets import build
from fuw.kernels.cpu import schp_input
from fuw.starter.training import augment
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.losses import outlines, soft_dice
from fuw.starter.training.rare import LONG_SLEEVES, RareIds
from fuw.starter.training.resize import quick_resize

CLUTTERED = 0.55  # share of the pictures whose ground is replaced
BLENDED = 0.25  # share in which a garment takes the colour of the wall behind it
# Hat, glasses, dress, coat, socks, skirt, legs, shoes, covered arms; what stands here more than
# once is sought so many times as often.
RARE = (1, 4, 6, 6, 6, 7, 8, 12, 12, 16, 18, LONG_SLEEVES, LONG_SLEEVES, LONG_SLEEVES)
SEEK_RARE = 0.45  # share of the samples that are drawn for one of these ids
# Weights of the ids in the cross entropy: what is small, rare or easily taken for another counts
# more (hair on light ground, dresses and coats for tops, skirts for trousers, left for right).
WEIGHTS = (1.0, 2.0, 1.6, 1.0, 2.0, 1.2, 1.5, 1.2, 2.0, 1.0,
           1.2, 1.0, 1.3, 1.2, 1.3, 1.3, 1.5, 1.5, 1.5, 1.5)


class Scene(NamedTuple):
    """A person on a ground, and how the figure's own pixels got there."""

    image: U8  # (h, w, 3)
    labels: U8  # (h, w) VITON-HD ids
    seed: int
    side: str  # "a" or "b"
    matrix: F32  # (2, 3), figure pixels -> scene pixels
    mirrored: bool


def scene(rng: np.random.Generator, figures: Figures, photos: Photos, size: tuple[int, int],
          scale: tuple[float, float] = (0.7, 1.5), flip: float = 0.5,
          which: tuple[int, str] | None = None) -> Scene:
    """Show a figure (seed and side, or a random one) in h x w pixels, as a camera might."""
    seed, side = which or (figures.pick(rng), "ab"[int(rng.integers(2))])
    picture = figures.picture(seed, side)
    (parse,) = figures.labels(seed, f"parse_{side}")
    matrix, mirrored = augment.random_affine(
        rng, parse.shape, size, scale=scale, rotation=7.0, shift=0.2, flip=flip)
    ground = augment.edge_colour(picture)
    labels = augment.warp_labels(parse, matrix, size, mirrored)
    image = augment.warp(picture, matrix, size, ground)
    image = augment.recolour(rng, image, labels, photos)
    if rng.random() < BLENDED:
        where = augment.region(labels, (5, 6, 7) if rng.random() < 0.8 else (9, 12))
        colour = ground * rng.uniform(0.9, 1.08) * rng.uniform(0.98, 1.02, 3)
        image = augment.blended_in(image, where, colour, float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.5:
        where = augment.region(labels, augment.SKIN + augment.HAIR)
        image = augment.grain(rng, image, where, float(rng.uniform(3, 18)))
    if rng.random() < CLUTTERED:
        back = augment.clutter(rng, size, photos)
        image = augment.over(image, back, augment.soft_matte(labels))
    if rng.random() < 0.3:
        image = augment.cutouts(rng, image, photos, int(rng.integers(1, 5)))
    return Scene(augment.camera(rng, image), labels, seed, side, matrix, mirrored)


@dataclass
class Parser:
    """Task of the loop.

    Attributes:
        size: side of the network's square in pixels; 4 k + 1 keeps corners on corners.
    """

    figures: Figures
    photos: Photos
    size: int = 281
    name: str = "schp"
    batch: int = 12
    peak_lr: float = 2e-3
    rare: RareIds | None = None

    def build(self) -> nn.Module:
        return build("schp", variant=VARIANT)

    def draw(self, rng: np.random.Generator) -> Sample:
        # Mostly a 3:4 picture with the black bars of SCHP's crop, as in the chain.
        share = 0.75 if rng.random() < 0.8 else float(rng.uniform(0.6, 1.0))
        size = (self.size, round(self.size * share))
        if self.rare is None:
            self.rare = RareIds(self.figures, RARE)
        which = self.rare.pick(rng) if rng.random() < SEEK_RARE else None
        image, labels, *_ = scene(rng, self.figures, self.photos, size, which=which)
        left = (self.size - size[1]) // 2
        bars = ((0, 0), (left, self.size - size[1] - left))
        known = np.pad(labels, bars, constant_values=0)
        return {"image": schp_input(image, self.size)[0], "labels": known}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        with quick_resize():
            parsing, fusion, edge = net.outputs(batch["image"])  # type: ignore[operator]
        # Logits lie on every fourth pixel (corners on corners), so the loss is taken there.
        labels = batch["labels"][:, ::4, ::4].long()
        logits = fusion.float()
        share = torch.tensor(WEIGHTS, device=labels.device)
        ce = F.cross_entropy(logits, labels, share)
        dice = soft_dice(logits.softmax(1), labels)
        early = F.cross_entropy(parsing.float(), labels, share)
        weight = torch.tensor([1.0, 4.0], device=labels.device)
        outline = F.cross_entropy(edge.float(), outlines(labels), weight)
        loss = ce + 0.8 * dice + 0.4 * early + 0.1 * outline
        return loss, {"ce": float(ce.detach()), "dice": float(dice.detach())}
