"""fp16 and bf16 as types in the graph, with islands that stay fp32.

TensorRT 11 knows no precision flag: what a layer computes in is what the file says. Inputs and
outputs of the network stay float32, so the same feeds run every precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fuw.engine.errors import ExportError
from fuw.export import graph

LOW_TYPE: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
LOW_NAME = {"fp16": "float16", "bf16": "bfloat16"}  # in ONNX's operator definitions
NUMPY_TYPE: dict[str, npt.DTypeLike] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}
# Conv, InstanceNormalization and GridSample know bf16 since this operator set. Of what the exporter
# writes, only the names of GridSample's modes differ in it from the older one.
BF16_OPSET = 22
GRID_MODES = {b"bilinear": b"linear", b"bicubic": b"cubic"}
# Inputs that ONNX defines as float32 whatever the data is.
ALWAYS_FLOAT: dict[str, tuple[int, ...]] = {"Resize": (1, 2)}
# ONNX defines it, but TensorRT for RTX 1.7 builds no engine with it ("could not infer types").
NO_ENGINE: dict[str, tuple[str, ...]] = {"bf16": ("ConvTranspose",)}


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        low, islands: nodes that compute in the low type, and that stay fp32 though they could not.
        forced: islands that no pattern asked for: a constant of theirs does not fit the type, or
            ONNX does not define the operator for it (TopK in bf16), or TensorRT builds no engine
            with it (ConvTranspose in bf16).
    """

    path: Path
    low: int
    islands: int
    forced: tuple[str, ...]


def convert(src: Path, dst: Path, precision: str, islands: Sequence[str] = ()) -> Converted:
    """Write the fp32 file `src` as `dst` with float tensors in `precision`.

    Args:
        precision: "fp16" or "bf16".
        islands: shell patterns of module paths ("up_?.norm_?") or nodes ("*/Softmax_*") that stay
            fp32, casts around them.

    Raises:
        ExportError: `src` is not an fp32 export, or not a plain graph.
    """
    model = graph.load(src)
    reducer = _Reducer(model, precision, islands)
    reducer.run()
    graph.set_metadata(model, {"fuw.precision": precision, "fuw.islands": ",".join(islands)})
    graph.save(model, dst)
    return Converted(dst, reducer.low_nodes, reducer.island_nodes, tuple(reducer.forced))


class _Reducer:
    """Rewrites a graph node by node, in its order, keeping track of who has which type."""

    def __init__(self, model: ModelProto, precision: str, islands: Sequence[str]) -> None:
        if precision not in LOW_TYPE:
            raise ExportError(f"precision {precision!r} is none of {', '.join(LOW_TYPE)}")
        self.model, self.precision, self.islands = model, precision, islands
        self.low_type, self.low_dtype = LOW_TYPE[precision], NUMPY_TYPE[precision]
        graph.lift_constants(model)
        graph.unpack_weights(model)
        self.types = graph.tensor_types(model)
        self.weights = {t.name: t for t in model.graph.initializer}
        self.outputs = {v.name for v in model.graph.output}
        self.low: set[str] = set()  # tensors that are of the low type now
        self.nodes: list[NodeProto] = []
        self.added: dict[str, TensorProto] = {}
        self.casts: dict[tuple[str, int], str] = {}
        self.low_nodes = self.island_nodes = 0
        self.forced: list[str] = []
        if precision == "bf16":
            _raise_opset(model)
        self.opset = model.opset_import[0].version

    def run(self) -> None:
        for node in self.model.graph.node:
            if any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
                   for a in node.attribute):
                raise ExportError(f"{node.name} ({node.op_type}) holds a graph of its own; "
                                  "only plain static graphs can be reduced")
            if not self._has_float(node):
                self.nodes.append(node)
            elif self._stays(node):
                self.island_nodes += 1
                self._island(node)
            else:
                self.low_nodes += 1
                self._lower(node)
        self._replace()

    def _has_float(self, node: NodeProto) -> bool:
        always = ALWAYS_FLOAT.get(node.op_type, ())
        values = [n for i, n in enumerate(node.input) if i not in always] + list(node.output)
        return any(self._is_float(name) for name in values)

    def _is_float(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def _stays(self, node: NodeProto) -> bool:
        if graph.matches(node, self.islands):
            return True
        always = ALWAYS_FLOAT.get(node.op_type, ())
        constants = [n for i, n in enumerate(node.input) if n in self.weights and i not in always]
        misfit = not self._defined(node) or any(self._misfits(name) for name in constants)
        if misfit:
            self.forced.append(node.name)
        return misfit

    def _defined(self, node: NodeProto) -> bool:
        """Whether ONNX defines the operator's data input for the low type, and engines have it."""
        if node.op_type in NO_ENGINE.get(self.precision, ()):
            return False
        schema = onnx.defs.get_schema(node.op_type, self.opset, node.domain)
        allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
        kinds = (allowed.get(value.type_str, ()) for value in (*schema.inputs, *schema.outputs))
        of_floats = next((kind for kind in kinds if "tensor(float)" in kind), ())
        return f"tensor({LOW_NAME[self.precision]})" in of_floats

    def _misfits(self, name: str) -> bool:
        """Whether a constant overflows in the low type, or a lone one (an epsilon) becomes 0."""
        if not self._is_float(name):
            return False
        exact = numpy_helper.to_array(self.weights[name])
        with np.errstate(over="ignore"):
            low = exact.astype(self.low_dtype).astype(np.float32)
        overflows = bool((np.isfinite(exact) & ~np.isfinite(low)).any())
        return overflows or (exact.size == 1 and bool(((low == 0) & (exact != 0)).any()))

    def _lower(self, node: NodeProto) -> None:
        always = ALWAYS_FLOAT.get(node.op_type, ())
        for i, name in enumerate(node.input):
            if i not in always and self._is_float(name) and name not in self.low:
                node.input[i] = self._low_weight(name) if name in self.weights else (
                    self._cast(name, self.low_type))
        for attribute in node.attribute:  # Cast(to=FLOAT), Range-like ops with a dtype
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
                attribute.i = self.low_type
            elif node.op_type == "ConstantOfShape" and attribute.name == "value":
                value = numpy_helper.to_array(attribute.t).astype(self.low_dtype)
                attribute.t.CopyFrom(numpy_helper.from_array(value))
        self.nodes.append(node)
        for i, name in enumerate(node.output):
            if not self._is_float(name):
                continue
            if name in self.outputs:  # the network's own outputs stay float32
                node.output[i] = f"{name}.{self.precision}"
                self.low.add(node.output[i])
                self.casts[name, self.low_type] = node.output[i]
                self.nodes.append(_cast_node(node.output[i], name, TensorProto.FLOAT))
            else:
                self.low.add(name)

    def _island(self, node: NodeProto) -> None:
        for i, name in enumerate(node.input):
            if name in self.low:
                node.input[i] = self._cast(name, TensorProto.FLOAT)
        self.nodes.append(node)

    def _cast(self, name: str, to: int) -> str:
        """The tensor in the other type; one cast however many nodes read it."""
        if (name, to) not in self.casts:
            suffix = self.precision if to == self.low_type else "fp32"
            self.casts[name, to] = f"{name}.{suffix}"
            self.nodes.append(_cast_node(name, self.casts[name, to], to))
        return self.casts[name, to]

    def _low_weight(self, name: str) -> str:
        low_name = f"{name}.{self.precision}"
        if low_name not in self.added:
            exact = numpy_helper.to_array(self.weights[name])
            self.added[low_name] = numpy_helper.from_array(exact.astype(self.low_dtype), low_name)
        return low_name

    def _replace(self) -> None:
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        kept = [t for t in self.model.graph.initializer if t.name in used]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend([*kept, *self.added.values()])
        del self.model.graph.value_info[:]  # of the old types; runtimes infer them


def _raise_opset(model: ModelProto) -> None:
    opset = model.opset_import[0]
    opset.version = max(opset.version, BF16_OPSET)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = GRID_MODES.get(attribute.s, attribute.s)


def _cast_node(source: str, target: str, to: int, why: str = "Cast") -> NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"/{why}_{target}", to=to)


def simulate(model: ModelProto) -> ModelProto:
    """The same arithmetic with float32 tensors, each rounded to its low type where it is made.

    A product is summed in fp32 and rounded once, as tensor cores, AMX and AVX512-BF16 do. CPUs
    show no such thing by themselves: ONNX Runtime has no bf16 kernels there, and in fp16 it drops
    the rounding between neighbours; OpenVINO's fp32 only sees rounded weights.
    """
    out = ModelProto()
    out.CopyFrom(model)
    types = graph.tensor_types(model)
    lows = set(LOW_TYPE.values())
    for tensor in out.graph.initializer:
        if tensor.data_type in lows:
            exact = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    nodes: list[NodeProto] = []
    for node in out.graph.node:
        low = [(i, types[n]) for i, n in enumerate(node.output) if types.get(n) in lows]
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i in lows:
                attribute.i = TensorProto.FLOAT
        for i, _ in low:
            node.output[i] += ".exact"
        nodes.append(node)
        for i, kind in low:
            exact_name = node.output[i]
            name = exact_name.removesuffix(".exact")
            nodes.append(_cast_node(exact_name, f"{name}.rounded", kind, "Round"))
            nodes.append(_cast_node(f"{name}.rounded", name, TensorProto.FLOAT, "Widen"))
    del out.graph.node[:]
    out.graph.node.extend(nodes)
    del out.graph.value_info[:]
    return out
