"""The arithmetic of the ALIAS generator, dense and label-sparse, counted on real label maps.

2 FLOP per multiply-add, convolutions and matrix products only, as design/alias_sparse.md counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fuw.export.nets.alias import ALIASGenerator, ALIASNorm, ALIASResBlock, level_size
from fuw.export.nets.alias_sparse import DENSE_LEVELS
from fuw.export.nets.patterns import find_patterns, label_codes


@dataclass(frozen=True)
class Flops:
    """FLOP of one picture.

    Attributes:
        dense: by the dense graph, any map.
        executed: by the sparse graph on this map.
        modulation: the share of `dense` that makes gamma and beta.
        windows: distinct windows computed by level, smallest level first; -1 where the level
            keeps its convolutions.
    """

    dense: int
    executed: int
    modulation: int
    windows: tuple[int, ...]

    @property
    def share(self) -> float:
        """executed / dense."""
        return self.executed / self.dense


def _conv(conv: nn.Module, pixels: int) -> int:
    weight = conv.weight if isinstance(conv, nn.Conv2d) else conv.weight_orig
    assert isinstance(weight, torch.Tensor)
    return 2 * weight.numel() * pixels


def _norm(norm: ALIASNorm, places: int, hidden_per_place: int = 1) -> int:
    shared = norm.conv_shared[0]
    return (_conv(shared, places * hidden_per_place)
            + _conv(norm.conv_gamma, places) + _conv(norm.conv_beta, places))


def _norms(block: ALIASResBlock) -> list[ALIASNorm]:
    return [m for m in block.children() if isinstance(m, ALIASNorm)]


def _rest(block: ALIASResBlock, pixels: int) -> int:
    convs = [block.conv_0, block.conv_1, *([block.conv_s] if block.learned_shortcut else [])]
    return sum(_conv(conv, pixels) for conv in convs)


@torch.no_grad()
def executed_flops(seg: torch.Tensor, seg_div: torch.Tensor, width: float = 1.0, *,
                   dense_levels: int = DENSE_LEVELS, **options: Any) -> Flops:
    """Count what both forms execute for a label map.

    Args:
        seg: (b, 7, H, W) and `seg_div` (b, 8, H, W), the generator's inputs.
        width, options: of the `ALIASGenerator`.
        dense_levels: levels that keep their convolutions in the sparse form.
    """
    with torch.device("meta"):
        alias = ALIASGenerator(width, **options)
    batch, height, columns = len(seg), seg.shape[2], seg.shape[3]
    dense = sparse = modulation = 0
    windows = []
    for level, block in enumerate(alias.blocks()):
        size = level_size(alias.levels, height, columns, level)
        pixels = batch * size[0] * size[1]
        rest = _rest(block, pixels) + _conv(alias.get_submodule(f"conv_{level}"), pixels)
        norms = sum(_norm(norm, pixels) for norm in _norms(block))
        found = -1
        if level >= dense_levels:
            labels = F.interpolate(seg_div if block.use_mask_norm else seg, size=size)
            found = len(find_patterns(labels, label_codes(labels)).windows)
        windows.append(found)
        dense += rest + norms
        modulation += norms
        sparse += rest + (norms if found < 0 else
                          sum(_norm(norm, found, hidden_per_place=9) for norm in _norms(block)))
    image = _conv(alias.conv_img, pixels)
    return Flops(dense + image, sparse + image, modulation, tuple(windows))
