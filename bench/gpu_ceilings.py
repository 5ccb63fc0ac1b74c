"""What a GPU can, measured, and the least time in which it could do a fit: the roofline.

Needs torch for the products (it is on every machine where networks are exported) and onnx for the
count; on a machine without them the row says so. Never run on a GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fuw.bench.stats import least_seconds
from fuw.kernels.device import Device

GEMM = 8192  # 1.1 TFLOP: long enough that a launch does not count
COPY = 1 << 30  # bytes: many times the L2
ROUNDS = 10


def copy_gbs(device: Device) -> float:
    """GB/s of a copy on the device, bytes read and written counted."""
    size = min(COPY, device.free_memory() // 4)
    source, target = device.empty((size,), np.uint8), device.empty((size,), np.uint8)
    token = device.upload(np.zeros(1, np.int32))
    device.fill(source, 0x3F9A51C7)

    def run() -> None:
        for _ in range(ROUNDS):
            device.copy(source, target)
        device.download(token)

    return 2 * size * ROUNDS / least_seconds(run) / 1e9


def gemm_tflops(number: int) -> dict[str, float]:
    """TFLOP/s of a large matrix product by precision, random numbers (zeros run faster)."""
    import torch

    found = {}
    with torch.cuda.device(number):
        torch.backends.cuda.matmul.allow_tf32 = False
        for name, kind in (("fp16", torch.float16), ("bf16", torch.bfloat16),
                           ("fp32", torch.float32)):
            a, b = (torch.randn(GEMM, GEMM, device="cuda", dtype=kind) for _ in range(2))

            def run(a: Any = a, b: Any = b) -> None:
                for _ in range(ROUNDS):
                    a @ b
                torch.cuda.synchronize()

            found[name] = 2 * GEMM**3 * ROUNDS / least_seconds(run, 4) / 1e12
            del a, b
    torch.cuda.empty_cache()
    return found


def work_of(path: Path) -> tuple[float, float]:
    """GFLOP of an ONNX file's convolutions and products (2 per multiply-add), and the billions of
    numbers that they read and write; nodes whose shapes follow the data count nothing."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load(str(path))).graph
    shapes: dict[str, list[int]] = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if all(dims):
            shapes.setdefault(value.name, dims)
    flop = values = 0.0
    for node in graph.node:
        found = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
        if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm") or None in found:
            continue
        x, weight, out = (list(shape or ()) for shape in found)
        if node.op_type == "Conv":
            each = math.prod(weight[1:]) * math.prod(out)
        elif node.op_type == "ConvTranspose":
            each = math.prod(weight[1:]) * math.prod(x)
        else:
            each = x[-1] * math.prod(out)
        flop += 2 * each
        values += math.prod(x) + math.prod(weight) + math.prod(out)
    return flop / 1e9, values / 1e9


def floor_ms(work: Mapping[str, tuple[float, float]], tflops: float, gbs: float,
             width: int) -> dict[str, float]:
    """The least milliseconds of each network: its arithmetic or its traffic, whichever is longer,
    at `width` bytes a number; and of all one after another. Fused operations move less."""
    rows = {name: max(gflop / tflops, values * width * 1e3 / gbs)
            for name, (gflop, values) in work.items()}
    return {**rows, "all": sum(rows.values())}
