"""Reduced graphs: what is low, what stays fp32, and that it computes what it should."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_networks import tiny_network, tiny_spec

from fuw.engine.errors import ExportError
from fuw.export import graph, verify
from fuw.export.precision import LOW_TYPE, convert, simulate
from fuw.export.samples import sample_inputs
from fuw.export.to_onnx import export_onnx


@pytest.fixture(scope="module")
def seg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "seg.onnx"
    return export_onnx(tiny_spec("seg"), tiny_network("seg"), path, variant="tiny")


def _file(folder: Path, nodes: list[onnx.NodeProto], weights: dict[str, npt.NDArray[np.generic]],
          shape: tuple[int, ...] = (2, 3)) -> Path:
    value = helper.make_tensor_value_info
    model = helper.make_model(helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in weights.items()]),
        opset_imports=[helper.make_opsetid("", 18)])
    return graph.save(onnx.shape_inference.infer_shapes(model), folder / "in.onnx")


def _types(path: Path) -> dict[str, int]:
    return graph.tensor_types(graph.load(path))


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_reduced_network_holds_its_gate_and_is_rounded(seg_file: Path, tmp_path: Path,
                                                       kind: str) -> None:
    spec = tiny_spec("seg")
    sizes = spec.sizes("tiny")
    inputs = sample_inputs(spec, sizes)
    want = verify.run_torch(tiny_network("seg"), inputs)
    converted = convert(seg_file, tmp_path / "low.onnx", kind)
    got = verify.run_onnx(spec, converted.path, sizes, 1, inputs, how="rounded", threads=1)
    verdict = verify.compare(spec, kind, spec.gates[kind], want, got)  # type: ignore[index]
    assert verdict.ok, str(verdict)
    assert verdict.worst.rel_l2 > (3e-3 if kind == "bf16" else 3e-4)  # it really was reduced


@pytest.mark.parametrize(("kind", "runtime"), [("fp16", "ort-cpu"), ("fp16", "openvino"),
                                               ("bf16", "openvino")])
def test_reduced_files_run_as_they_are(seg_file: Path, tmp_path: Path, kind: str,
                                       runtime: str) -> None:
    pytest.importorskip({"ort-cpu": "onnxruntime"}.get(runtime, runtime))
    spec = tiny_spec("seg")
    inputs = sample_inputs(spec, spec.sizes("tiny"))
    want = verify.run_torch(tiny_network("seg"), inputs)
    path = convert(seg_file, tmp_path / "low.onnx", kind).path
    got = verify.run_onnx(spec, path, spec.sizes("tiny"), 1, inputs, how=runtime, threads=1)
    verdict = verify.compare(spec, kind, spec.gates[kind], want, got)  # type: ignore[index]
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_inputs_and_outputs_stay_float(seg_file: Path, tmp_path: Path, kind: str) -> None:
    convert(seg_file, tmp_path / "low.onnx", kind)
    model = graph.load(tmp_path / "low.onnx")
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    weights = [t for t in model.graph.initializer if len(t.dims) > 1]
    assert weights and all(t.data_type == LOW_TYPE[kind] for t in weights)
    assert (tmp_path / "low.onnx").stat().st_size < 0.56 * seg_file.stat().st_size
    said = graph.metadata(model)
    assert said["fuw.precision"] == kind and said["fuw.network"] == "seg"


def test_islands_keep_their_type_with_one_cast_each_way(seg_file: Path, tmp_path: Path) -> None:
    converted = convert(seg_file, tmp_path / "low.onnx", "fp16", ["*/InstanceNormalization_*"])
    types, model = _types(converted.path), graph.load(converted.path)
    islands = [n for n in model.graph.node if n.op_type == "InstanceNormalization"]
    assert len(islands) == converted.islands == 22
    assert all(types[n.output[0]] == TensorProto.FLOAT for n in islands)
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    assert all(types[n.output[0].removesuffix(".fp16")] for n in convs)
    assert {types[n.output[0]] for n in convs} == {TensorProto.FLOAT16}
    casts = [n.input[0] for n in model.graph.node if n.op_type == "Cast"]
    assert len(casts) == len(set(casts))  # however many read it, it is cast once


def test_all_islands_is_the_fp32_network(seg_file: Path, tmp_path: Path) -> None:
    spec = tiny_spec("seg")
    inputs = sample_inputs(spec, spec.sizes("tiny"))
    converted = convert(seg_file, tmp_path / "low.onnx", "fp16", ["*"])
    assert converted.low == 0
    runs = [verify.run_onnx(spec, path, spec.sizes("tiny"), 1, inputs, threads=1)[0]
            for path in (seg_file, converted.path)]
    np.testing.assert_array_equal(runs[0], runs[1])


def test_an_epsilon_that_would_vanish_stays_fp32(tmp_path: Path) -> None:
    path = _file(tmp_path, [helper.make_node("Max", ["x", "eps"], ["m"], name="a/Max_0"),
                            helper.make_node("Mul", ["m", "m"], ["y"], name="a/Mul_0")],
                 {"eps": np.float32(1e-12)})
    converted = convert(path, tmp_path / "low.onnx", "fp16")
    assert converted.forced == ("a/Max_0",) and converted.low == 1
    assert convert(path, tmp_path / "low.onnx", "bf16").forced == ()


def test_a_weight_beyond_fp16_stays_fp32(tmp_path: Path) -> None:
    path = _file(tmp_path, [helper.make_node("Mul", ["x", "w"], ["y"], name="a/Mul_0")],
                 {"w": np.float32([1, 2, 1e5])})
    assert convert(path, tmp_path / "low.onnx", "fp16").forced == ("a/Mul_0",)


def test_a_weight_used_inside_and_outside_an_island_exists_twice(tmp_path: Path) -> None:
    path = _file(tmp_path, [helper.make_node("Mul", ["x", "w"], ["a"], name="one/Mul_0"),
                            helper.make_node("Add", ["a", "w"], ["y"], name="two/Add_0")],
                 {"w": np.float32([1, 2, 3])})
    convert(path, tmp_path / "low.onnx", "fp16", ["two"])
    kinds = {t.name: t.data_type for t in graph.load(tmp_path / "low.onnx").graph.initializer}
    assert kinds == {"w": TensorProto.FLOAT, "w.fp16": TensorProto.FLOAT16}


def test_an_output_that_is_read_inside_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], name="a/Relu_0"),
             helper.make_node("Neg", ["y"], ["z"], name="a/Neg_0")]
    path = _file(tmp_path, nodes, {})
    model = graph.load(path)
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 3]))
    graph.save(model, path)
    convert(path, tmp_path / "low.onnx", "fp16")
    types = _types(tmp_path / "low.onnx")
    assert types["y"] == types["z"] == TensorProto.FLOAT
    assert types["y.fp16"] == TensorProto.FLOAT16


def test_resize_keeps_its_float_scales(tmp_path: Path) -> None:
    path = _file(tmp_path, [helper.make_node("Resize", ["x", "", "s"], ["y"], name="a/Resize_0",
                                             mode="nearest")],
                 {"s": np.float32([1, 1, 2, 2])}, (1, 1, 3, 4))
    convert(path, tmp_path / "low.onnx", "fp16")
    types = _types(tmp_path / "low.onnx")
    assert types["s"] == TensorProto.FLOAT and types["x.fp16"] == TensorProto.FLOAT16


def test_integers_are_left_alone(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["i"], name="a/Cast_0", to=TensorProto.INT64),
             helper.make_node("Add", ["i", "one"], ["j"], name="a/Add_0"),
             helper.make_node("Cast", ["j"], ["y"], name="a/Cast_1", to=TensorProto.FLOAT)]
    path = _file(tmp_path, nodes, {"one": np.int64(1)})
    convert(path, tmp_path / "low.onnx", "fp16")
    types = _types(tmp_path / "low.onnx")
    assert types["i"] == types["j"] == TensorProto.INT64 and types["y"] == TensorProto.FLOAT


@pytest.mark.parametrize("kind", ["fp16", "bf16"])
def test_simulate_rounds_every_result(tmp_path: Path, kind: str) -> None:
    """x * w rounded, plus x rounded, against the same done by hand."""
    import onnxruntime as ort

    from fuw.export.precision import NUMPY_TYPE

    path = _file(tmp_path, [helper.make_node("Mul", ["x", "w"], ["p"], name="a/Mul_0"),
                            helper.make_node("Add", ["p", "x"], ["y"], name="a/Add_0")],
                 {"w": np.float32([0.1, 0.2, 0.3])})
    convert(path, tmp_path / "low.onnx", kind)
    model = simulate(graph.load(tmp_path / "low.onnx"))
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    low = NUMPY_TYPE[kind]

    def rounded(a: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return a.astype(low).astype(np.float32)

    want = rounded(rounded(rounded(x) * rounded(np.float32([0.1, 0.2, 0.3]))) + rounded(x))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], want)
    assert not np.array_equal(want, x * np.float32([0.1, 0.2, 0.3]) + x)


def test_grid_sample_speaks_the_newer_opset_in_bf16(tmp_path: Path) -> None:
    nodes = [helper.make_node("GridSample", ["x", "grid"], ["y"], name="a/GridSample_0",
                              mode="bilinear", align_corners=1)]
    path = _file(tmp_path, nodes, {"grid": np.zeros((1, 2, 2, 2), np.float32)}, (1, 1, 3, 4))
    convert(path, tmp_path / "low.onnx", "bf16")
    node = next(n for n in graph.load(tmp_path / "low.onnx").graph.node if n.op_type != "Cast")
    assert {a.name: a.s for a in node.attribute}["mode"] == b"linear"


def test_half_stored_weights_are_weights_like_any_other(tmp_path: Path) -> None:
    """The starter's files keep weights as fp16 behind a Cast."""
    nodes = [helper.make_node("Cast", ["w.half"], ["w"], name="w.cast", to=TensorProto.FLOAT),
             helper.make_node("Mul", ["x", "w"], ["y"], name="a/Mul_0")]
    path = _file(tmp_path, nodes, {"w.half": np.float16([1, 2, 3])})
    converted = convert(path, tmp_path / "low.onnx", "fp16")
    assert converted.low == 1 and converted.forced == ()
    assert [n.op_type for n in graph.load(converted.path).graph.node] == ["Cast", "Mul", "Cast"]
    convert(path, tmp_path / "low.onnx", "bf16", ["a"])  # an island needs the weight in fp32
    (weight,) = graph.load(converted.path).graph.initializer
    assert numpy_helper.to_array(weight).tolist() == [1, 2, 3] and weight.name == "w"


def test_unknown_precision(seg_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="int8"):
        convert(seg_file, tmp_path / "low.onnx", "int8")
    assert not list(tmp_path.iterdir())


def test_a_choice_by_condition_is_reduced(tmp_path: Path) -> None:
    nodes = [helper.make_node("Greater", ["x", "w"], ["c"], name="a/Greater_0"),
             helper.make_node("Where", ["c", "x", "w"], ["y"], name="a/Where_0")]
    converted = convert(_file(tmp_path, nodes, {"w": np.float32([1, 2, 3])}),
                        tmp_path / "low.onnx", "bf16")
    assert converted.forced == () and converted.low == 2


@pytest.mark.parametrize(("kind", "forced"), [("fp16", ()), ("bf16", ("a/TopK_0",))])
def test_an_operator_that_onnx_does_not_define_for_the_type(tmp_path: Path, kind: str,
                                                             forced: tuple[str, ...]) -> None:
    nodes = [helper.make_node("TopK", ["x", "k"], ["t", "i"], name="a/TopK_0"),
             helper.make_node("Mul", ["t", "t"], ["y"], name="a/Mul_0")]
    path = _file(tmp_path, nodes, {"k": np.int64([2])})
    assert convert(path, tmp_path / "low.onnx", kind).forced == forced


@pytest.mark.parametrize(("kind", "forced"), [("fp16", ()), ("bf16", ("a/ConvTranspose_0",))])
def test_an_operator_that_no_engine_has_in_the_type(tmp_path: Path, kind: str,
                                                    forced: tuple[str, ...]) -> None:
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="a/ConvTranspose_0")]
    path = _file(tmp_path, nodes, {"w": np.ones((3, 3, 1, 1), np.float32)}, (1, 3, 2, 2))
    assert convert(path, tmp_path / "low.onnx", kind).forced == forced
