"""The segmentation generator: L_S = lambda_CE L_CE; where the new garment will be."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets import build
from fuw.kernels.cpu import group13, seg_input, seg_noise
from fuw.starter.training.conditions import Fittings
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import Batch
from fuw.starter.training.losses import soft_dice

WIDTH, GROUPS = 0.125, 13
FITTED, MORE = (3, 5, 6), 3.0  # upper clothes and arms


@dataclass
class Segmentation:
    """Task of the loop; `size` is the height of the map, its width three quarters of it."""

    figures: Figures
    photos: Photos
    size: int = 256
    name: str = "seg"
    batch: int = 8
    peak_lr: float = 2e-3
    layout: torch.memory_format = torch.contiguous_format
    fittings: Fittings = field(init=False)

    def __post_init__(self) -> None:
        self.fittings = Fittings(self.figures, shrink=2)

    def build(self) -> nn.Module:
        return build("seg", WIDTH, dropout=0.1)

    def draw(self, rng: np.random.Generator) -> Sample:
        f = self.fittings.draw(rng)
        size = (self.size, self.size * 3 // 4)
        noise = seg_noise(int(rng.integers(1 << 31)), *size)
        x = seg_input(f.mask, f.garment, group13(f.parse_agnostic), f.skeleton, noise)
        truth = cv2.resize(group13(f.truth_parse), size[::-1], interpolation=cv2.INTER_NEAREST)
        return {"x": x[0], "labels": truth}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits = net.logits(batch["x"]).float()  # type: ignore[operator]
        labels = batch["labels"].long()
        truth = F.one_hot(labels, GROUPS).permute(0, 3, 1, 2).float()
        # Garment and arms, where the answer depends on the garment, count more.
        weight = 1 + MORE * torch.isin(labels, torch.tensor(FITTED, device=labels.device)).float()
        ce = (F.cross_entropy(logits, labels, reduction="none") * weight).sum() / weight.sum()
        # The chain reads a sigmoid per class and blurs it, so each must mean a probability.
        each = F.binary_cross_entropy_with_logits(logits, truth) * GROUPS
        dice = soft_dice(logits.softmax(1), labels)
        right = (logits.argmax(1) == labels).float().mean()
        return ce + 0.5 * each + dice, {"ce": float(ce.detach()), "dice": float(dice.detach()),
                                        "right": float(right)}
