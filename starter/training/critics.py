"""What judges the painted picture: a small discriminator, and features of our own parser."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.export.nets import build
from fuw.export.nets.schp import SCHP
from fuw.kernels.cpu.fit import SCHP_MEAN_BGR, SCHP_STD_BGR
from fuw.starter.training.loop import VARIANT

CHANNELS, LAYERS, SCALES = 16, 3, 2


def _patch_critic(inputs: int) -> nn.ModuleList:
    stages = nn.ModuleList()
    for i in range(LAYERS):
        outputs = CHANNELS * 2**i
        conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1))
        stages.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
        inputs = outputs
    stages.append(nn.Conv2d(inputs, 1, 3, padding=1))
    return stages


class Discriminator(nn.Module):
    """Patch critics at full and half size, of a picture together with its label map."""

    def __init__(self, labels: int = 7) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_patch_critic(3 + labels) for _ in range(SCALES))

    def forward(self, picture: Tensor, seg: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(b, 3, h, w), (b, 7, h, w) -> a score map per scale, and all features before them."""
        x = torch.cat([picture, seg.to(picture.dtype)], 1)
        scores, features = [], []
        for scale in self.scales:
            y = x
            for stage in list(scale)[:-1]:  # type: ignore[call-overload]
                y = stage(y)
                features.append(y)
            scores.append(scale[-1](y))  # type: ignore[index]
            x = F.avg_pool2d(x, 2)
        return scores, features


class Perception(nn.Module):
    """Features of the frozen starter parser: L_percept without anybody else's weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        net = build("schp", variant=VARIANT)
        assert isinstance(net, SCHP)
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        net.load_state_dict(state["ema"])
        self.stem = nn.ModuleList([nn.Sequential(net.conv1, net.bn1, nn.ReLU()),
                                   nn.Sequential(net.conv2, net.bn2, nn.ReLU(),
                                                 net.conv3, net.bn3, nn.ReLU(), net.maxpool),
                                   net.layer1, net.layer2])
        self.register_buffer("mean", torch.from_numpy(SCHP_MEAN_BGR)[:, None, None])
        self.register_buffer("std", torch.from_numpy(SCHP_STD_BGR)[:, None, None])
        self.requires_grad_(False).eval()

    def forward(self, picture: Tensor) -> list[Tensor]:
        """RGB (b, 3, h, w) in -1..1 -> unit-length features of four depths."""
        x = (picture.flip(1) * 0.5 + 0.5 - self.mean) / self.std
        out = []
        for stage in self.stem:
            x = stage(x)
            out.append(F.normalize(x.float(), dim=1) * x.shape[1] ** 0.5)
        return out
