"""Body pose (BODY_25, narrow): heat maps and part affinity fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fuw.engine.arrays import F32
from fuw.export.nets import build
from fuw.kernels.cpu.body25 import PAIRS
from fuw.kernels.cpu.fit_pose import openpose_input
from fuw.starter.training import augment
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.norms import add_norms
from fuw.starter.training.parser import scene

STRIDE = 8
SIGMA = 1.0  # of a peak, in cells; officially 7 / 8
PAF_REACH = 1.0  # half the breadth of a limb's field, in cells
# OpenPose (as COCO's annotators) sets shoulders, and with them the neck, higher than the joints of
# the figures' skeleton: in torso lengths, half the way, so that both conventions are served.
RAISED, RAISE = [1, 2, 5], 0.035
NECK, MID_HIP = 1, 8
# Keypoints after a left-right flip.
SWAPPED = [0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17,
           22, 23, 24, 19, 20, 21]


def cells(points: F32) -> F32:
    """Net pixels to cells: the maps are enlarged about pixel corners, so cell i is 8 i + 3.5."""
    return (points + 0.5) / STRIDE - 0.5


def heat_maps(points: F32, size: tuple[int, int], sigma: float = SIGMA) -> F32:
    """(n, 3) x, y (cells), visible -> (n + 1, h, w): a peak of 1 each; last what none covers."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    out = np.zeros((len(points) + 1, *size), np.float32)
    for k, (px, py, seen) in enumerate(points):
        if seen > 0:
            out[k] = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
    out[-1] = 1 - out[:-1].max(0)
    return out


def affinity_fields(points: F32, size: tuple[int, int]) -> F32:
    """(25, 3) x, y (cells), visible -> (52, h, w): along each limb its unit vector."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    out = np.zeros((2 * len(PAIRS), *size), np.float32)
    for a, b, channel in PAIRS:
        if points[a, 2] <= 0 or points[b, 2] <= 0:
            continue
        step = points[b, :2] - points[a, :2]
        length = float(np.hypot(*step))
        if length < 1e-3:
            continue
        ux, uy = step / length
        along = (x - points[a, 0]) * ux + (y - points[a, 1]) * uy
        across = (x - points[a, 0]) * uy - (y - points[a, 1]) * ux
        near = (along > -0.5) & (along < length + 0.5) & (np.abs(across) <= PAF_REACH)
        out[channel][near], out[channel + 1][near] = ux, uy
    return out


def as_openpose(points: F32) -> F32:
    """(25, 3) of a figure with neck and shoulders moved towards where OpenPose sets them."""
    out = points.copy()
    out[RAISED, :2] += RAISE * (points[NECK, :2] - points[MID_HIP, :2])
    return out


def inside(points: F32, size: tuple[int, int]) -> F32:
    """(n, 3): visible becomes 0 where x, y lie outside of h x w pixels."""
    out = points.copy()
    out[:, 2] *= ((points[:, 0] >= 0) & (points[:, 0] <= size[1] - 1)
                  & (points[:, 1] >= 0) & (points[:, 1] <= size[0] - 1))
    return out


def weighted(outputs: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Squared error of every stage; peaks and fields count more than the empty rest."""
    weight = 1 + 4 * truth.abs()
    errors = [((o.float() - truth).square() * weight).mean() for o in outputs]
    return torch.stack(errors).mean()


def at_peaks(heat: Tensor, truth: Tensor) -> float:
    """Mean of the answer where a key point is, for the curve: 1 is right."""
    return float(heat[:, :-1][truth[:, :-1] > 0.9].detach().float().mean())


@dataclass
class Body:
    """Task of the loop; `size` is the network's height, its width three quarters of it."""

    figures: Figures
    photos: Photos
    size: int = 256
    name: str = "openpose_body"
    batch: int = 12
    peak_lr: float = 2e-3

    def build(self) -> nn.Module:
        net = build("openpose_body", variant=VARIANT)
        return add_norms(net, lambda name: name.startswith("Mconv7"))

    def draw(self, rng: np.random.Generator) -> Sample:
        size = (self.size, self.size * 3 // 4)
        shown = scene(rng, self.figures, self.photos, size, scale=(0.6, 1.6))
        (body,) = self.figures.labels(shown.seed, "body")
        points = inside(augment.warp_points(as_openpose(body.astype(np.float32)), shown.matrix),
                        size)
        if shown.mirrored:
            points = points[SWAPPED]
        image, _ = openpose_input(shown.image, self.size)
        points[:, :2] = cells(points[:, :2])
        grid = (image.shape[2] // STRIDE, image.shape[3] // STRIDE)
        return {"image": image[0], "heat": heat_maps(points, grid),
                "paf": affinity_fields(points, grid)}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        pafs, heats = net.stage_outputs(batch["image"])  # type: ignore[operator]
        paf, heat = weighted(pafs, batch["paf"]), weighted(heats, batch["heat"])
        loss = 100 * (heat + 0.5 * paf)
        return loss, {"heat": float(heat.detach()), "paf": float(paf.detach()),
                      "peak": at_peaks(heats[-1], batch["heat"])}
