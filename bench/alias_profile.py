"""Where the time of an ALIAS graph goes in OpenVINO, by what its nodes do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuw.engine.arrays import F32
from fuw.engine.ov import HINT
from fuw.engine.silent_openvino import load_openvino

# What a node's type is for in this graph; a node fused into another counts there.
PURPOSES = {
    "Convolution": "convolutions", "FullyConnected": "table GEMMs", "MatMul": "table GEMMs",
    "Gather": "reading rows", "ScatterNDUpdate": "outlines", "MVN": "norm statistics",
    "Subgraph": "modulation and other arithmetic by elements", "Concat": "joining and enlarging",
    "Interpolate": "joining and enlarging", "Reorder": "layouts", "Transpose": "layouts",
}
OTHER = "finding windows, and the rest"
ROUNDS = 3


def profile(path: Path, precision: str, threads: int, feeds: Mapping[str, F32]) -> dict[str, Any]:
    """Milliseconds by purpose, of the fastest of three runs with OpenVINO's counters on.

    Returns:
        {"wall": ms of the run, "by": {purpose: ms}, most first}.
    """
    ov = load_openvino()
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINT[precision], "PERF_COUNT": "YES",
                              "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = ov.Core().compile_model(str(path), "CPU", config).create_infer_request()
    best, found = float("inf"), dict[str, float]()
    for turn in range(1 + ROUNDS):
        start = time.perf_counter()
        request.infer(dict(feeds), share_inputs=True)
        wall = (time.perf_counter() - start) * 1000
        if turn and wall < best:
            best, found = wall, _by_purpose(request.profiling_info)
    return {"wall": best, "by": dict(sorted(found.items(), key=lambda item: -item[1]))}


def _by_purpose(nodes: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for node in nodes:
        if node.status == node.Status.EXECUTED:
            # The channel concatenations of integers and the like are small: by type is enough.
            purpose = PURPOSES.get(node.node_type, OTHER)
            found[purpose] = found.get(purpose, 0.0) + node.real_time.total_seconds() * 1000
    return found
