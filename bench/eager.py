"""The baseline: the pipeline the official way, every network in eager PyTorch.

The networks are the official architectures with the same weights as ours, under `inference_mode`
with the same threads. Pre- and post-processing are ours (`Ops`) except the two heavy steps that
the official test script does in Torch at full size: enlarging and blurring the seg generator's 13
maps, and the GMM's TPS grid with `grid_sample`. Everything else of ours is at least as fast as
what it replaces, so a ratio against this baseline understates rather than overstates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fuw.engine.arrays import F32, U8, Bool
from fuw.engine.networks import network
from fuw.engine.ops import Ops
from fuw.engine.spec import View
from fuw.export.nets import tps
from fuw.kernels.cpu.segment import garment, gaussian


class EagerNetwork:
    """A Torch module with the calling convention of `engine.backend.Network`."""

    def __init__(self, module: nn.Module, bf16: bool) -> None:
        self.module, self.bf16 = module, bf16
        if bf16:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, *inputs: F32) -> list[F32]:
        """Run once; outputs float32 in the order of the spec."""
        tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in inputs]
        if self.bf16:
            tensors = [t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t
                       for t in tensors]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            out = self.module(*tensors)
        return [o.float().contiguous().numpy() for o in (out if isinstance(out, tuple) else (out,))]


class EagerNetworks(Mapping[str, EagerNetwork]):
    """The chain's networks in Torch, with what the pipeline asks of `engine.nets.Networks`."""

    def __init__(self, modules: Mapping[str, nn.Module], mask_net: str, bf16: bool = False) -> None:
        self._nets = {name: EagerNetwork(module, bf16) for name, module in modules.items()}
        self.mask_net = mask_net

    def __getitem__(self, name: str) -> EagerNetwork:
        return self._nets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nets)

    def __len__(self) -> int:
        return len(self._nets)

    def fit(self, name: str) -> Mapping[str, int]:
        """Parameters of the official pre-processing."""
        return network(name).variant("official").fit

    def labels(self, name: str) -> str:
        """Label convention of the official parser."""
        return network(name).variant("official").labels

    def views(self, name: str) -> tuple[View, ...]:
        """Official networks look once."""
        return network(name).variant("official").views

    def keeps(self) -> tuple[int, ...]:
        """Nothing beyond the official labels."""
        return ()


class EagerOps(Ops):
    """`Ops` with the two steps that the official script does in Torch at full size."""

    @staticmethod
    @torch.inference_mode()
    def seg_labels(probabilities: F32, height: int, width: int) -> U8:
        """Bilinear to full size, Gaussian 15x15 sigma 3 with zero padding, arg max."""
        full = F.interpolate(torch.from_numpy(probabilities), (height, width), mode="bilinear")
        taps = torch.from_numpy(gaussian()).float()
        kernel = (taps[:, None] * taps[None]).expand(13, 1, 15, 15).contiguous()
        blurred = F.conv2d(full, kernel, padding=7, groups=13)
        labels: U8 = blurred[0].argmax(0).to(torch.uint8).numpy()
        return labels

    @staticmethod
    @torch.inference_mode()
    def warp_garment(cloth: U8, mask: U8 | Bool, theta: F32, height: int, width: int,
                     ) -> tuple[F32, F32]:
        """The official grid and `grid_sample` (bilinear, border, align_corners False)."""
        grid = tps.tps_grid(torch.from_numpy(theta), height, width)
        picture = torch.from_numpy(cloth).permute(2, 0, 1)[None].float() / 127.5 - 1
        inside = torch.from_numpy(garment(mask).astype(np.float32))[None, None]
        both = F.grid_sample(torch.cat([picture, inside], 1), grid, padding_mode="border",
                             align_corners=False)
        return both[:, :3].numpy(), both[:, 3:].numpy()
