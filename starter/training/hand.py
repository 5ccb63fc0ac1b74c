"""Hands (21 points, narrow): one hand at a time, the left one mirrored, as in the chain."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor, nn

from fuw.engine.arrays import F32, U8
from fuw.engine.keypoints import hand_boxes
from fuw.export.nets import build
from fuw.kernels.cpu.fit_pose import hand_input
from fuw.starter.training import augment
from fuw.starter.training.body import STRIDE, at_peaks, cells, heat_maps, inside, weighted
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.norms import add_norms

LEAST_SEEN = 12  # points of the hand inside the picture
LEAST_SIDE = 24.0  # pixels: a smaller hand is a smudge


def hand_crop(rng: np.random.Generator, picture: U8, box: F32, points: F32, left: bool,
              size: int) -> tuple[U8, F32]:
    """Cut the box out, turned, shifted and scaled a little: u8 (size, size, 3), points (21, 3)."""
    k = size / float(box[2]) * float(np.exp(rng.uniform(-0.3, 0.25)))
    angle = np.deg2rad(rng.normal() * 20)
    turn = k * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if left:
        turn = np.diag([-1.0, 1.0]) @ turn
    centre = box[:2] + box[2:] / 2 + rng.normal(0, 0.06, 2) * box[2]
    goal = np.array([size - 1, size - 1]) / 2
    matrix = np.hstack([turn, (goal - turn @ centre)[:, None]]).astype(np.float32)
    crop = cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)
    return crop.astype(np.uint8), augment.warp_points(points, matrix)


@dataclass
class Hand:
    """Task of the loop; `size` is the side of the crop."""

    figures: Figures
    photos: Photos
    size: int = 184
    name: str = "openpose_hand"
    batch: int = 12
    peak_lr: float = 2e-3

    def build(self) -> nn.Module:
        net = build("openpose_hand", variant=VARIANT)
        return add_norms(net, lambda name: name == "conv6_2_CPM" or name.startswith("Mconv7"))

    def draw(self, rng: np.random.Generator) -> Sample:
        while True:
            seed, hand = self.figures.pick(rng), int(rng.integers(2))
            body, hands = self.figures.labels(seed, "body", "hands")
            box = hand_boxes(body.astype(np.float32))[hand]
            points = hands[hand].astype(np.float32)
            if box[2] >= LEAST_SIDE and (points[:, 2] > 0).sum() >= LEAST_SEEN:
                break
        picture = self.figures.picture(seed, "ab"[int(rng.integers(2))])
        crop, moved = hand_crop(rng, picture, box, points, hand == 0, self.size)
        if rng.random() < 0.2:
            crop = augment.cutouts(rng, crop, self.photos, 1)
        crop = augment.camera(rng, crop)
        whole = np.array([[0, 0, 0, 0], [0, 0, self.size, self.size]], np.float32)
        moved = inside(moved, (self.size, self.size))
        moved[:, :2] = cells(moved[:, :2])
        grid = self.size // STRIDE
        return {"image": hand_input(crop, whole, self.size)[1],
                "heat": heat_maps(moved, (grid, grid))}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        heats = net.stage_outputs(batch["image"])  # type: ignore[operator]
        heat = weighted(heats, batch["heat"])
        return 100 * heat, {"heat": float(heat.detach()),
                            "peak": at_peaks(heats[-1], batch["heat"])}
