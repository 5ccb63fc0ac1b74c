"""Tiny ONNX files made on the fly, so that backend tests need no weights."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fuw.engine.backend import Model
from fuw.engine.networks import network
from fuw.engine.spec import Gate, NetSpec, TensorSpec, Variant


def tiny_spec() -> NetSpec:
    """Two inputs, two outputs: total = x + y, twice = 2 x."""
    return NetSpec(
        name="tiny", about="a made-up network", module="", checkpoint=network("seg").checkpoint,
        inputs=(TensorSpec("x", ("batch", 2, "height", "width")),
                TensorSpec("y", ("batch", 2, "height", "width"))),
        outputs=(TensorSpec("total", ("batch", 2, "height", "width")),
                 TensorSpec("twice", ("batch", 2, "height", "width"))),
        gates={"fp32": Gate(1e-4), "fp16": Gate(1e-2), "bf16": Gate(1e-2)},
        variants={"official": Variant(sizes={"height": 3, "width": 5})},
    )


def tiny_model(folder: Path, precision: str = "fp32") -> Model:
    """Write the tiny network and describe it."""
    shape = [1, 2, 3, 5]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["total"]),
         helper.make_node("Mul", ["x", "two"], ["twice"])],
        "tiny", [value("x"), value("y")], [value("total"), value("twice")],
        [numpy_helper.from_array(np.float32([2]), "two")],
    )
    path = folder / "tiny.fp32.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return Model(tiny_spec(), "official", path, precision, {"height": 3, "width": 5})
