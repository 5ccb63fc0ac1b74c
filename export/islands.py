"""Which nodes must stay fp32: found by measuring this checkpoint, not by belief.

The spec's islands come from arithmetic and made-up weights. Real weights may reach further, so a
conversion that misses its gate is widened until it holds: first by range, then by error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper

from fuw.engine.arrays import F32
from fuw.engine.spec import NetSpec
from fuw.export import graph
from fuw.export.scratch import scratch_file

log = logging.getLogger(__name__)

LARGEST = {"fp16": 65504.0, "bf16": 3.0e38}
HEADROOM = 4.0  # other pictures reach further than the ones that were measured
STRETCHES = 10  # parts of the network whose errors are measured apart
MARGIN = 0.7  # of the gate: the errors of parts add up as squares only on average


class Judged(Protocol):
    """What a comparison with the reference came to."""

    @property
    def excess(self) -> float:
        """The error as a multiple of what the gate allows."""

    @property
    def ok(self) -> bool:
        """Whether the gate holds."""


J = TypeVar("J", bound=Judged)


def widen(src: Path, spec: NetSpec, precision: str, inputs: Sequence[F32],
          judge: Callable[[Sequence[str]], J], islands: Sequence[str]) -> tuple[list[str], J]:
    """Islands with which the gate holds, or the whole network if nothing less does.

    Args:
        src: the fp32 file.
        inputs: what `judge` runs on.
        judge: converts with these islands, runs the result, compares it with the reference.
        islands: patterns to start from, which missed the gate.

    Returns:
        The patterns, the given ones first, and the verdict with them.
    """
    chosen = list(islands)
    model = graph.load(src)
    graph.unpack_weights(model)
    verdict: J | None = None
    far = far_reaching(src, spec, inputs, LARGEST[precision] / HEADROOM)
    if far:
        chosen += far
        verdict = judge(chosen)
        log.info("%s: %d nodes reach past the range of %s", spec.name, len(far), precision)
        if verdict.ok:
            return chosen, verdict
    parts = stretches(model, chosen)
    names = [name for part in parts for name in part]
    alone = [judge(chosen + [n for n in names if n not in set(part)]).excess for part in parts]
    order = sorted(range(len(parts)), key=lambda i: -alone[i])
    left = [min(alone[i], 1e6) ** 2 for i in order]  # 1e6 keeps an infinite one addable
    for count in range(1, len(order) + 1):
        chosen += parts[order[count - 1]]
        if sum(left[count:]) > MARGIN**2 and count < len(order):
            continue
        verdict = judge(chosen)
        if verdict.ok:
            break
    return chosen, verdict or judge(chosen)


def stretches(model: ModelProto, islands: Sequence[str] = ()) -> list[list[str]]:
    """The nodes that are no islands yet, in the order they run, in about equal parts."""
    names = [n.name for n in model.graph.node if not graph.matches(n, islands)]
    size = max(1, -(-len(names) // STRETCHES))
    return [names[i : i + size] for i in range(0, len(names), size)]


def far_reaching(src: Path, spec: NetSpec, inputs: Sequence[F32], limit: float) -> list[str]:
    """Names of nodes that read or write a value beyond `limit` (or one that is not finite)."""
    model = graph.load(src)
    graph.unpack_weights(model)
    types = graph.tensor_types(model)
    made = [name for node in model.graph.node for name in node.output
            if types.get(name) == TensorProto.FLOAT]
    reach = dict(zip(made, _reaches(model, spec, inputs, made, src.parent), strict=True))
    far = {name for name, value in reach.items() if not value <= limit}
    return [node.name for node in model.graph.node if far.intersection((*node.input, *node.output))]


def _reaches(model: ModelProto, spec: NetSpec, inputs: Sequence[F32], tensors: Sequence[str],
             folder: Path) -> list[float]:
    """Greatest absolute value of each tensor in one run of the fp32 graph."""
    import onnxruntime as ort

    probed = ModelProto()
    probed.CopyFrom(model)
    del probed.graph.output[:]
    for name in tensors:
        size, reach = f"{name}.size", f"{name}.reach"
        probed.graph.node.append(helper.make_node("Abs", [name], [size]))
        probed.graph.node.append(helper.make_node("ReduceMax", [size], [reach], keepdims=0))
        probed.graph.output.append(helper.make_tensor_value_info(reach, TensorProto.FLOAT, []))
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    with scratch_file(folder, ".onnx") as path:
        onnx.save(probed, str(path))
        session = ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    feeds = {t.name: x for t, x in zip(spec.inputs, inputs, strict=True)}
    return [float(np.asarray(value)) for value in session.run(None, feeds)]
