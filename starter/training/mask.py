"""The garment mask (U2Net, narrow): in-shop pictures, on any light ground and on clutter."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.engine.arrays import U8
from fuw.export.nets import build
from fuw.kernels.cpu.fit_mask import u2net_input
from fuw.starter.training import augment
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch


def garment(rng: np.random.Generator, figures: Figures, photos: Photos,
            size: tuple[int, int]) -> tuple[U8, U8]:
    """A garment's picture u8 (h, w, 3) and its mask (h, w) 0..255, on another ground."""
    seed, side = figures.pick(rng), "ab"[int(rng.integers(2))]
    picture = figures.picture(seed, f"g{side}")
    (known,) = figures.labels(seed, f"mask_g{side}")
    matrix, _ = augment.random_affine(
        rng, known.shape, size, scale=(0.6, 1.3), rotation=5.0, shift=0.12)
    image = augment.warp(picture, matrix, size, augment.edge_colour(picture))
    mask = augment.warp(known, matrix, size)
    if rng.random() < 0.5:
        image = _recoloured(rng, image, mask, photos)
    kind = rng.random()
    if kind < 0.75:
        image = _on_light_ground(rng, image, mask)
    elif kind < 0.9:
        image = augment.over(image, _clutter(rng, size, photos), mask)
    return augment.camera(rng, image, 0.6), mask


def _recoloured(rng: np.random.Generator, image: U8, mask: U8, photos: Photos) -> U8:
    kind = rng.random()
    if kind < 0.35:  # real cloth over the shading
        changed = augment.textured(rng, image, mask, photos)
    elif kind < 0.7:  # near white, mostly with faint lines or dots: the hard case
        changed = _whitened(rng, image)
    else:
        changed = cv2.LUT(image, augment.curve(rng, 0.7, 0.6, 0.15)).astype(np.uint8)
    return augment.over(changed, image, mask)


def _whitened(rng: np.random.Generator, image: U8) -> U8:
    light = float(rng.uniform(215, 255))
    keep = float(rng.uniform(0.1, 0.4))
    pale = cv2.addWeighted(image, keep, np.full_like(image, 255), 0, light * (1 - keep))
    pale = pale.astype(np.uint8)
    if rng.random() < 0.6:  # stripes, plain or crossed
        step, thick = int(rng.integers(4, 24)), int(rng.integers(1, 4))
        colour = tuple(int(c) for c in rng.integers(60, 250, 3))
        if rng.random() < 0.7:
            for x in range(int(rng.integers(step)), image.shape[1], step):
                cv2.line(pale, (x, 0), (x, image.shape[0]), colour, thick)
        else:
            for y in range(int(rng.integers(step)), image.shape[0], step):
                cv2.line(pale, (0, y), (image.shape[1], y), colour, thick)
    return pale


def _on_light_ground(rng: np.random.Generator, image: U8, mask: U8) -> U8:
    """A plain, mostly near-white ground with a soft shadow and vignette."""
    h, w = mask.shape
    near_white = rng.random() < 0.8
    base = rng.uniform(225, 256) if near_white else rng.uniform(60, 225)
    tint = rng.normal(0, 2 if near_white else 12, 3)
    ground = np.clip(np.full((h, w, 3), base) + tint, 0, 255)
    if rng.random() < 0.4:  # light falls off to one side
        ramp = np.linspace(0, rng.uniform(-25, 25), h if rng.random() < 0.5 else w)
        ground = ground + (ramp[:, None, None] if len(ramp) == h else ramp[None, :, None])
    if rng.random() < 0.4:
        dx, dy = rng.uniform(-0.03, 0.03, 2) * w
        moved = cv2.warpAffine(mask, np.array([[1, 0, dx], [0, 1, abs(dy)]]), (w, h))
        dark = cv2.GaussianBlur(moved, (0, 0), float(rng.uniform(1, 8))).astype(np.float32)
        ground = ground * (1 - dark[..., None] / 255 * rng.uniform(0.03, 0.3))
    return augment.over(image, np.clip(ground, 0, 255).astype(np.uint8), mask)


def _clutter(rng: np.random.Generator, size: tuple[int, int], photos: Photos) -> U8:
    """A busy ground without whole garments: those would be foreground."""
    if rng.random() < 0.5:
        back = augment.fractal(rng, size)
    else:
        back = photos.crop(rng, *size, (0.1, 0.3))
    if rng.random() < 0.5:
        back = augment.grid(rng, back)
    if rng.random() < 0.3:
        back = augment.blocks(rng, back, int(rng.integers(1, 5)))
    return back


@dataclass
class GarmentMask:
    """Task of the loop; `size` is the side of the square the network sees."""

    figures: Figures
    photos: Photos
    size: int = 160
    name: str = "u2net"
    batch: int = 12
    peak_lr: float = 3e-3

    def build(self) -> nn.Module:
        return build("u2net", variant=VARIANT)

    def draw(self, rng: np.random.Generator) -> Sample:
        high = round(self.size * 1.15)  # shrunk by the chain's own resize
        image, mask = garment(rng, self.figures, self.photos, (high, round(high * 0.75)))
        small = cv2.resize(mask, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return {"image": u2net_input(image, self.size)[0],
                "mask": small.astype(np.float32)[None] / 255}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits = net.side_logits(batch["image"])  # type: ignore[operator]
        truth = batch["mask"]
        sides = torch.stack([F.binary_cross_entropy_with_logits(s.float(), truth)
                             for s in logits])
        mask = torch.sigmoid(logits[0].float())
        both = (mask * truth).sum((1, 2, 3))
        either = mask.sum((1, 2, 3)) + truth.sum((1, 2, 3)) - both
        iou = (both / either.clamp(min=1)).mean()
        loss = sides[0] + 0.3 * sides[1:].sum() + (1 - iou)
        return loss, {"bce": float(sides[0].detach()), "iou": float(iou.detach())}
