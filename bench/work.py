"""What the networks of a chain have to do: GFLOP and bytes, and how near a machine comes to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuw.bench.chain import STAGE_OF
from fuw.bench.scene import Scene
from fuw.engine.silent_openvino import load_openvino

WIDTH = {"fp32": 4, "bf16": 2, "fp16": 2}
CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


@dataclass(frozen=True)
class Work:
    """Of a network in one chain.

    Attributes:
        gflop: executed; 2 per multiply-add, convolutions and products only.
        dense_gflop: of the plain graph; more than `gflop` for the label-sparse ALIAS alone.
        values: numbers that the same operations read and write, weights included, in billions.
    """

    gflop: float
    dense_gflop: float
    values: float

    def times(self, runs: int) -> Work:
        """Of so many runs."""
        return Work(runs * self.gflop, runs * self.dense_gflop, runs * self.values)


def counted(path: Path) -> Work:
    """Count in an ONNX file; operations whose shapes follow the data count nothing."""
    ov = load_openvino()
    flop = values = 0.0
    for op in ov.Core().read_model(str(path)).get_ordered_ops():
        shapes = [port.get_partial_shape() for port in (*op.inputs()[:2], *op.outputs())]
        if op.get_type_name() not in CONVOLUTIONS or any(s.is_dynamic for s in shapes):
            continue
        x, weight, out = (list(s.to_shape()) for s in shapes[:3])
        flop += 2 * math.prod(out) * _per_output(op.get_type_name(), x, weight, out)
        values += math.prod(x) + math.prod(weight) + math.prod(out)
    return Work(flop / 1e9, flop / 1e9, values / 1e9)


def _per_output(kind: str, x: list[int], weight: list[int], out: list[int]) -> float:
    """Multiply-adds for one number of the output."""
    if kind == "MatMul":
        return x[-1]
    if kind == "GroupConvolution":  # weight (groups, out, in, ...)
        return math.prod(weight[2:])
    if kind == "ConvolutionBackpropData":  # weight (in, out, ...): every input number is spread
        return weight[0] * math.prod(weight[2:]) * math.prod(x[2:]) / math.prod(out[2:])
    return math.prod(weight[1:])


def sparse_alias(scene: Scene, channel_width: float = 1.0) -> tuple[float, float]:
    """GFLOP (dense, executed) of the ALIAS generator on the scene's own label map."""
    import torch

    from fuw.engine.ops import cpu_ops
    from fuw.export.alias_flops import executed_flops

    ops = cpu_ops()
    seg = ops.one_hot(ops.group7(scene.groups), 7)
    height, width = scene.groups.shape
    _, warped_mask = ops.warp_garment(scene.cloth, scene.mask, scene.theta, height, width)
    split = ops.split_seg(seg, ops.misalignment(seg, warped_mask))
    found = executed_flops(torch.from_numpy(seg), torch.from_numpy(split), channel_width)
    return found.dense / 1e9, found.executed / 1e9


def shares(work: Mapping[str, Work], rows: Mapping[str, Mapping[str, float]],
           precisions: Mapping[str, str], ceilings: Mapping[str, float]) -> dict[str, Any]:
    """Every network's work against what the machine could have done in the time it took.

    Args:
        work: by network. rows: a configuration's "STAGE network" statistics.
        precisions: by network. ceilings: of `machine.ceilings`.

    Returns:
        by network: work, GFLOP/s, GB/s, `floor_ms` (the larger of what the GEMM and the copy
        would take) and `share` = floor_ms / measured.
    """
    found = {}
    for name, done in work.items():
        ms = rows[f"{STAGE_OF[name]} network"]["p50"]
        precision = precisions[name]
        gemm = ceilings["gemm_f32_gflops" if precision == "fp32" else "gemm_bf16_gflops"]
        gigabytes = done.values * WIDTH[precision]
        floor = 1000 * max(done.gflop / gemm, gigabytes / ceilings["copy_gbs"])
        found[name] = {**asdict(done), "precision": precision, "ms": ms, "gbytes": gigabytes,
                       "gflops": done.gflop / ms * 1000, "gbs": gigabytes / ms * 1000,
                       "floor_ms": floor, "share": floor / ms}
    return found
