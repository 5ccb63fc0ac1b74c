"""Losses that several networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def soft_dice(probabilities: Tensor, labels: Tensor) -> Tensor:
    """1 - mean Dice over the classes that occur; (b, n, h, w) and (b, h, w) int64."""
    truth = F.one_hot(labels, probabilities.shape[1]).permute(0, 3, 1, 2).float()
    both = (probabilities * truth).sum((0, 2, 3))
    total = probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    here = truth.sum((0, 2, 3)) > 0
    return 1 - (2 * both[here] / total[here].clamp(min=1)).mean()


def outlines(labels: Tensor) -> Tensor:
    """1 where a label differs from its right or lower neighbour, (b, h, w) int64 -> int64."""
    edge = torch.zeros_like(labels)
    edge[:, :, :-1] |= (labels[:, :, 1:] != labels[:, :, :-1]).long()
    edge[:, :-1] |= (labels[:, 1:] != labels[:, :-1]).long()
    return edge


def hinge_discriminator(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of a discriminator, mean over its scales (Lim & Ye 2017)."""
    parts = [F.relu(1 - r.float()).mean() + F.relu(1 + f.float()).mean()
             for r, f in zip(real, fake, strict=True)]
    return torch.stack(parts).mean()


def hinge_generator(fake: Sequence[Tensor]) -> Tensor:
    """The generator's side of it."""
    return torch.stack([-f.float().mean() for f in fake]).mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L1 between a network's features of two pictures, mean over its layers."""
    parts = [F.l1_loss(f.float(), r.detach().float()) for r, f in zip(real, fake, strict=True)]
    return torch.stack(parts).mean()


def second_order(points: Tensor) -> Tensor:
    """The constraint on neighbouring control points (VITON-HD, equation 3; Yang et al. 2020).

    For every point p with left, right, upper and lower neighbour: the two distances on an axis
    must agree, and the slopes of the two halves.

    Args:
        points: (b, n, n, 2) moved control points, x and y.
    """
    total = points.new_zeros(())
    for p in (points, points.transpose(1, 2)):
        left, middle, right = p[:, :-2], p[:, 1:-1], p[:, 2:]
        a, b = left - middle, right - middle
        total = total + (a.square().sum(-1) - b.square().sum(-1)).abs().mean()
        total = total + (a[..., 1] * b[..., 0] - b[..., 1] * a[..., 0]).abs().mean()
    return total
