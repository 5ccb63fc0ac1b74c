"""The segmentation generator: L_S = lambda_CE L_CE; where the new garment will be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets import build
from fuw.export.nets.seg import SegGenerator
from fuw.kernels.cpu import group13, seg_input, seg_noise
from fuw.starter.training.conditions import Fittings
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.losses import soft_dice
from fuw.starter.training.start import grow

GROUPS = 13
MORE = 4.0


@dataclass
class Segmentation:
    """Task of the loop; `size` is the height of the map, its width three quarters of it.

    weights: folder whose "seg_start.pt", where there is one, gives the weights that fit.
    """

    figures: Figures
    photos: Photos
    weights: Path
    size: int = 256
    name: str = "seg"
    batch: int = 8
    peak_lr: float = 2e-3
    layout: torch.memory_format = torch.contiguous_format
    fittings: Fittings = field(init=False)

    def __post_init__(self) -> None:
        self.fittings = Fittings(self.figures, shrink=2)

    def build(self) -> nn.Module:
        net = build("seg", variant=VARIANT, dropout=0.1)
        grow(net, self.weights / "seg_start.pt")
        return net

    def draw(self, rng: np.random.Generator) -> Sample:
        f = self.fittings.draw(rng)
        size = (self.size, self.size * 3 // 4)
        noise = seg_noise(int(rng.integers(1 << 31)), *size)
        x = seg_input(f.mask, f.garment, group13(f.parse_agnostic), f.skeleton, noise)
        truth = cv2.resize(group13(f.truth_parse), size[::-1], interpolation=cv2.INTER_NEAREST)
        worn = cv2.resize(group13(f.parse), size[::-1], interpolation=cv2.INTER_NEAREST)
        return {"x": x[0], "labels": truth, "sleeve": np.float32(f.sleeve),
                "disputed": truth != worn}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        logits = net.logits(batch["x"]).float()  # type: ignore[operator]
        labels = batch["labels"].long()
        truth = F.one_hot(labels, GROUPS).permute(0, 3, 1, 2).float()
        # Where the two garments differ: all else follows from the person, and would drown it.
        weight = 1 + MORE * batch["disputed"].float()
        ce = (F.cross_entropy(logits, labels, reduction="none") * weight).sum() / weight.sum()
        # The chain reads a sigmoid per class and blurs it, so each must mean a probability.
        each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)
        each = (each * weight).sum() / weight.sum()
        dice = soft_dice(logits.softmax(1), labels)
        right = (logits.argmax(1) == labels).float().mean()
        assert isinstance(net, SegGenerator) and net.hint is not None
        known = torch.isfinite(batch["sleeve"])
        told = net.hint.code(batch["x"])[:, 0].float()
        off = torch.where(known, told - batch["sleeve"], 0).square().mean()
        return ce + 0.5 * each + dice + off, {
            "ce": float(ce.detach()), "dice": float(dice.detach()), "sleeve": float(off.detach()),
            "right": float(right)}
