"""Weights of an earlier, smaller or plainer network as a start."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


def grow(net: nn.Module, checkpoint: Path) -> None:
    """Fill the network from a checkpoint's averaged weights; what is new or of another shape
    stays, and so does everything where there is no such file."""
    if not checkpoint.exists():
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"]
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    net.load_state_dict({**own, **fitting})
