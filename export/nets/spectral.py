"""Spectral norm with the official keys: weight_orig, weight_u, weight_v (Miyato et al. 2018).

Torch's own two forms will not do: the old hook keeps a non-parameter `weight` that cannot be
copied, the new one renames the keys.
"""

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-12


class SpectralConv2d(nn.Module):
    """A convolution divided by its weight's largest singular value, u . W v.

    In training u and v move by one power iteration per forward; in eval mode they stay as stored.
    """

    bias: torch.Tensor | None
    weight_u: torch.Tensor
    weight_v: torch.Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.padding = kernel // 2
        self.bias = plain.bias
        self.weight_orig = plain.weight
        rows = plain.weight.detach().flatten(1)
        self.register_buffer("weight_u", F.normalize(torch.randn(outputs), dim=0, eps=EPS))
        self.register_buffer("weight_v", F.normalize(rows.T @ self.weight_u, dim=0, eps=EPS))

    def weight(self) -> torch.Tensor:
        """weight_orig / (u . W v), the shape of weight_orig."""
        rows = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(F.normalize(rows.T @ self.weight_u, dim=0, eps=EPS))
                self.weight_u.copy_(F.normalize(rows @ self.weight_v, dim=0, eps=EPS))
        # Copies, since a second forward before the backward moves the buffers in place.
        u, v = self.weight_u.clone(), self.weight_v.clone()
        # u . W v by elements: under autocast a product of matrices would be too coarse a divisor.
        return self.weight_orig / (rows * u[:, None] * v).sum()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, inputs, h, w) -> (b, outputs, h, w)."""
        return F.conv2d(x, self.weight(), self.bias, padding=self.padding)

    def folded(self) -> nn.Conv2d:
        """A plain convolution with the divided weight, for inference and export."""
        outputs, inputs, kernel, _ = self.weight_orig.shape
        conv = nn.Conv2d(inputs, outputs, kernel, padding=self.padding, bias=self.bias is not None)
        rows = self.weight_orig.detach().double().flatten(1)
        sigma = torch.dot(self.weight_u.double(), rows @ self.weight_v.double())
        with torch.no_grad():
            conv.weight.copy_(self.weight_orig.double() / sigma)
            if conv.bias is not None and self.bias is not None:
                conv.bias.copy_(self.bias)
        return conv.train(self.training)


def fold_spectral_norm(module: nn.Module) -> nn.Module:
    """Replace every `SpectralConv2d` inside `module` by its plain convolution, in place.

    The module then no longer loads official keys: load first, fold after. Returns `module`.
    """
    for name, child in module.named_children():
        if isinstance(child, SpectralConv2d):
            setattr(module, name, child.folded().to(child.weight_orig.device))
        else:
            fold_spectral_norm(child)
    return module
