"""The activated batch norm of SCHP ("in-place ABN"), as an ordinary module."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5
MOMENTUM = 0.1


class ABN(nn.Module):
    """Batch norm whose gain is `|weight| + 1e-5`, with an optional leaky ReLU behind it.

    `y = (x - mean) / sqrt(var + 1e-5) * (|weight| + 1e-5) + bias`
    (SCHP `modules/src/inplace_abn_cpu.cpp`, `forward_cpu`; the CUDA source agrees). Checkpoints do
    hold negative weights, so `nn.BatchNorm2d` gives another answer. In training mode it uses and
    tracks the statistics of the batch as `nn.BatchNorm2d` does. There is no `num_batches_tracked`.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, slope: float | None = None) -> None:
        """`slope`: of the leaky ReLU; None leaves the activation to the caller."""
        super().__init__()
        self.slope = slope
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (N, C, H, W); same shape."""
        gain = self.weight.abs() + EPS
        y = F.batch_norm(x, self.running_mean, self.running_var, gain, self.bias,
                         self.training, MOMENTUM, EPS)
        return y if self.slope is None else F.leaky_relu(y, self.slope)
