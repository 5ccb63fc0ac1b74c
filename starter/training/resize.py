"""Bilinear enlargement that stays channels-last both ways.

SCHP joins enlarged maps by `cat`. The gradients of its pieces are slices, for which PyTorch's
backward of `interpolate` falls back to plain planes, twenty times slower on a CPU; the pooled
maps come as plain planes and would pull the joined map with them. Together a seventh of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fuw.export.nets import schp


class _Enlarge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int, width: int) -> Tensor:
        ctx.shape = list(x.shape)
        dense = x.contiguous(memory_format=torch.channels_last)
        return F.interpolate(dense, size=(height, width), mode="bilinear", align_corners=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        back = torch.ops.aten.upsample_bilinear2d_backward(
            grad, list(grad.shape[2:]), ctx.shape, True)
        return back, None, None


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, C, H, W) of `like`, corners on corners."""
    out: Tensor = _Enlarge.apply(x, like.shape[2], like.shape[3])  # type: ignore[no-untyped-call]
    return out


@contextmanager
def quick_resize() -> Iterator[None]:
    """SCHP resizes by `enlarge` inside; outside (export, inference) by `interpolate` as ever."""
    usual = schp._resize
    schp._resize = enlarge
    try:
        yield
    finally:
        schp._resize = usual
