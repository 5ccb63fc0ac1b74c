"""DensePose (narrow, no detector): which surface each pixel of the person's box belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.engine.arrays import F32, U8
from fuw.export.nets import build
from fuw.kernels.cpu.fit_pose import densepose_input
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.parser import scene

MAP = 112  # cells along each side of the maps


def person_box(rng: np.random.Generator, shown: U8) -> F32:
    """Box x0, y0, x1, y1 about the pixels > 0, a little too large or small at every side."""
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    height, width = shown.shape
    if len(rows) == 0:
        return np.array([0, 0, width, height], np.float32)
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    side = np.array([box[2] - box[0], box[3] - box[1]] * 2) * np.array([-1, -1, 1, 1])
    box = box + (side * rng.uniform(-0.04, 0.15, 4)).astype(np.float32)
    limit = np.array([width, height] * 2, np.float32)
    return np.clip(box, 0, limit).astype(np.float32)


def in_box(iuv: U8, box: F32) -> U8:
    """The box of an IUV picture, resampled to 112 x 112 by nearest neighbour, u8 (112, 112, 3)."""
    step_x, step_y = (box[2] - box[0]) / MAP, (box[3] - box[1]) / MAP
    source = np.array([[step_x, 0, box[0] + step_x / 2], [0, step_y, box[1] + step_y / 2]])
    return cv2.warpAffine(iuv, source, (MAP, MAP),
                          flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP).astype(np.uint8)


@dataclass
class Dense:
    """Task of the loop; `size` is the shorter edge of the network's picture."""

    figures: Figures
    photos: Photos
    size: int = 192
    name: str = "densepose"
    batch: int = 8
    peak_lr: float = 2e-3

    def build(self) -> nn.Module:
        return build("densepose", variant=VARIANT)

    def draw(self, rng: np.random.Generator) -> Sample:
        size = (self.size * 4 // 3, self.size)
        # Not mirrored: the charts are not symmetric in U.
        shown = scene(rng, self.figures, self.photos, size, scale=(0.7, 1.5), flip=0.0)
        (iuv,) = self.figures.labels(shown.seed, f"iuv_{shown.side}")
        moved = cv2.warpAffine(iuv, shown.matrix, size[::-1],
                               flags=cv2.INTER_NEAREST).astype(np.uint8)
        box = person_box(rng, shown.labels)
        image, _ = densepose_input(shown.image, self.size)
        return {"image": image[0], "box": box, "iuv": in_box(moved, box)}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        coarse, fine, u, v = net(batch["image"], batch["box"])
        truth = batch["iuv"].long()
        part = truth[..., 0]
        figure = F.cross_entropy(coarse.float(), (part > 0).long())
        parts = F.cross_entropy(fine.float(), part)
        on = (part > 0).float()
        index = part[:, None]
        offsets = []
        for maps, known in ((u, truth[..., 1]), (v, truth[..., 2])):
            of_part = maps.gather(1, index)[:, 0].float()
            error = F.smooth_l1_loss(of_part, known / 255, reduction="none", beta=0.05)
            offsets.append((error * on).sum() / on.sum().clamp(min=1))
        charts = torch.stack(offsets).sum()
        right = ((fine.argmax(1) == part).float() * on).sum() / on.sum().clamp(min=1)
        return figure + parts + 2 * charts, {
            "parts": float(parts.detach()), "uv": float(charts.detach()), "right": float(right)}
