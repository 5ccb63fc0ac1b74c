"""Batch norm for networks that have none, while they train: it folds into the convolutions.

OpenPose's networks are rows of plain convolutions that train slowly from scratch. With a norm
behind every convolution they train ten times faster, and afterwards the norm is part of the
convolution's weight: the shipped network has exactly the official layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SLOPE = 0.1  # of the leaky ReLU that stands for PReLU: PReLU's CPU backward is ten times slower


class NormedConv(nn.Module):
    """Convolution and batch norm."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
                              conv.padding, conv.dilation, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, a=SLOPE)
        self.norm = nn.BatchNorm2d(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that does the same in eval mode."""
        norm = self.norm
        assert norm.running_var is not None and norm.running_mean is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.conv.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain


def add_norms(net: nn.Module, is_output: Callable[[str], bool]) -> nn.Module:
    """Put a norm behind every direct convolution of `net` but the outputs; in place.

    Args:
        net: a network whose layers are its direct children (OpenPose's).
        is_output: whether a layer's name is that of a map the loss sees.
    """
    for name, child in list(net.named_children()):
        if isinstance(child, nn.Conv2d) and not is_output(name):
            setattr(net, name, NormedConv(child))
        elif isinstance(child, nn.PReLU):
            setattr(net, name, nn.LeakyReLU(SLOPE))
    return net


def fold_norms(trained: nn.Module, plain: nn.Module) -> nn.Module:
    """Fill `plain`, the same network without norms, with the folded weights; returns it."""
    state = dict(plain.state_dict())
    for name, child in trained.named_children():
        if isinstance(child, NormedConv):
            state[f"{name}.weight"], state[f"{name}.bias"] = child.folded()
        elif isinstance(child, nn.Conv2d):
            state[f"{name}.weight"], state[f"{name}.bias"] = child.weight, child.bias
        elif isinstance(child, nn.LeakyReLU):
            state[f"{name}.weight"] = torch.full_like(state[f"{name}.weight"], SLOPE)
    plain.load_state_dict({k: v.detach().clone() for k, v in state.items()}, strict=True)
    return plain.eval()
