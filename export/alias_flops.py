"""The arithmetic of the ALIAS generator, dense and label-sparse, counted on real label maps.

2 FLOP per multiply-add, convolutions and matrix products only, as design/alias_sparse.md counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fuw.engine.arrays import F32
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
    batch = len(seg)
    height, columns = seg.shape[2] // alias.shrink, seg.shape[3] // alias.shrink
    dense = sparse = modulation = 0
    windows = []
    for level, block in enumerate(alias.blocks()):
        size = level_size(alias.levels, height, columns, level)
        pixels = batch * size[0] * size[1]
        features = _conv(alias.get_submodule(f"conv_{level}"), pixels)
        rest, norms = _rest(block, pixels), sum(_norm(norm, pixels) for norm in _norms(block))
        dense += features + rest + norms
        modulation += norms
        found = -1
        if level >= dense_levels:
            labels = F.interpolate(seg_div if block.use_mask_norm else seg, size=size)
            found = len(find_patterns(labels, label_codes(labels)).windows)
            norms = sum(_norm(norm, found, hidden_per_place=9) for norm in _norms(block))
        windows.append(found)
        sparse += features + rest + norms
    end, sparse_end = _ends(alias, batch * seg.shape[2] * seg.shape[3])
    return Flops(dense + end, sparse + sparse_end, modulation, tuple(windows))


def executed_share(seg: F32, seg_div: F32, width: float = 1.0, **options: Any) -> float:
    """executed / dense of `executed_flops`, for arrays: (b, 7, H, W) and (b, 8, H, W)."""
    return executed_flops(torch.from_numpy(seg), torch.from_numpy(seg_div), width, **options).share


def _ends(alias: ALIASGenerator, pixels: int) -> tuple[int, int]:
    """The last convolution in both forms, or the starter's composition (the full-size part)."""
    if alias.shrink > 1:
        head = sum(_conv(m, pixels) for m in (alias.head.from_inputs, alias.head.gates,
                                              alias.head.paint))
        head += _conv(alias.head.from_features, pixels // 4)
        return head, head
    dense = _conv(alias.conv_img, pixels)
    return dense, dense * 16 // 9  # four pixels at a time: a 4x4 kernel makes 2x2 pixels
