"""One ONNX file per network: names, shapes and metadata of the spec, nothing left of training."""

from pathlib import Path

import onnx
import pytest
import torch
from tiny_networks import TINY, tiny_network, tiny_spec

from fuw.engine.errors import ExportError
from fuw.engine.networks import NETWORKS
from fuw.engine.spec import Precision
from fuw.export import graph, verify
from fuw.export.precision import convert
from fuw.export.samples import sample_inputs
from fuw.export.to_onnx import checked_sizes, export_onnx

LEFTOVERS = {"Dropout", "Identity", "Shape", "Constant", "RandomNormal", "RandomNormalLike", "If"}


@pytest.fixture(scope="module")
def seg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "seg.onnx"
    return export_onnx(tiny_spec("seg"), tiny_network("seg"), path, variant="tiny",
                       origin="seg_final.pth", checkpoint="ab" * 32)


@pytest.mark.parametrize("name", [
    "seg", *(pytest.param(n, marks=pytest.mark.slow) for n in TINY if n != "seg")])
def test_every_network_exports_and_computes_the_same(name: str, tmp_path: Path) -> None:
    spec, network = tiny_spec(name), tiny_network(name)
    sizes = spec.sizes("tiny")
    inputs = sample_inputs(spec, sizes)
    want = verify.run_torch(network, inputs)
    path = export_onnx(spec, network, tmp_path / f"{name}.onnx", variant="tiny")
    model = graph.load(path)
    assert [v.name for v in model.graph.input] == [t.name for t in spec.inputs]
    assert [v.name for v in model.graph.output] == [t.name for t in spec.outputs]
    assert not LEFTOVERS.intersection(n.op_type for n in model.graph.node)
    for backend in ("ort-cpu", "openvino"):
        pytest.importorskip({"ort-cpu": "onnxruntime"}.get(backend, backend))
        got = verify.run_onnx(spec, path, sizes, 1, inputs, how=backend, threads=1)
        verdict = verify.compare(spec, f"fp32 in {backend}", spec.gates["fp32"], want, got)
        assert verdict.ok, str(verdict)
    for pattern in spec.fp32_islands:  # a renamed module must not leave its island behind
        assert any(graph.matches(n, [pattern]) for n in model.graph.node), pattern
    kinds: tuple[Precision, ...] = ("fp16", "bf16")
    for kind in kinds:
        low = convert(path, tmp_path / f"{name}.{kind}.onnx", kind, spec.fp32_islands).path
        got = verify.run_onnx(spec, low, sizes, 1, inputs, how="rounded", threads=1)
        verdict = verify.compare(spec, kind, spec.gates[kind], want, got)
        assert verdict.ok, str(verdict)


def test_metadata_says_what_the_file_is(seg_file: Path) -> None:
    spec = tiny_spec("seg")
    said = graph.metadata(graph.load(seg_file))
    assert said["fuw.network"] == "seg" and said["fuw.variant"] == "tiny"
    assert said["fuw.spec"] == spec.hash("tiny") and said["fuw.checkpoint"] == "ab" * 32
    assert said["fuw.licence"] == spec.checkpoint.licence
    assert said["fuw.sizes"] == "height=64,width=48" and said["fuw.origin"] == "seg_final.pth"
    assert said["torch.version"] and said["onnx.version"] and said["fuw.version"]


def test_no_word_of_the_machine_that_exported(seg_file: Path) -> None:
    data = seg_file.read_bytes()
    assert b"/work" not in data and str(Path.home()).encode() + b"/" not in data
    assert b"stack_trace" not in data and b".py" not in data


def test_nodes_are_named_by_their_module(seg_file: Path) -> None:
    model = graph.load(seg_file)
    names = [n.name for n in model.graph.node]
    assert len(set(names)) == len(names)
    assert "conv1.0/Conv_0" in names and "conv9.6/Conv_0" in names
    inside = [n for n in model.graph.node if graph.matches(n, ["conv1"])]
    assert {graph.module_path(n).split(".")[0] for n in inside} == {"conv1"}
    assert len([n for n in model.graph.node if graph.matches(n, ["conv1/*"])]) == 0
    assert [n.name for n in model.graph.node if graph.matches(n, ["*/Sigmoid_?"])] == ["/Sigmoid_0"]


def test_same_weights_same_bytes(seg_file: Path, tmp_path: Path) -> None:
    again = export_onnx(tiny_spec("seg"), tiny_network("seg"), tmp_path / "again.onnx",
                        variant="tiny", origin="seg_final.pth", checkpoint="ab" * 32)
    assert again.read_bytes() == seg_file.read_bytes()


@pytest.mark.parametrize("name", [  # convolutions alone know no batch; these look at it
    "seg", *(pytest.param(n, marks=pytest.mark.slow)
             for n in ("gmm", "alias", "densepose", "openpose_hand"))])
def test_batch(name: str, tmp_path: Path) -> None:
    spec, network = tiny_spec(name), tiny_network(name)
    sizes = spec.sizes("tiny")
    inputs = sample_inputs(spec, sizes, batch=2)
    want = verify.run_torch(network, inputs)
    path = export_onnx(spec, network, tmp_path / "b2.onnx", variant="tiny", batch=2)
    got = verify.run_onnx(spec, path, sizes, 2, inputs, threads=1)
    assert [x.shape for x in got] == [t.shape(sizes, 2) for t in spec.outputs]
    verdict = verify.compare(spec, "two at once", spec.gates["fp32"], want, got)
    assert verdict.ok, str(verdict)


@pytest.mark.parametrize(("size", "nearest"), [((1000, 768), "1024x768"), ((0, 128), "128x128"),
                                               ((512, 400), "512x384"), ((60, 60), "128x128")])
def test_a_size_alias_cannot_take_is_refused(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ExportError, match=f"multiples of 128; the nearest is {nearest}"):
        checked_sizes(NETWORKS["alias"], "official", size)


def test_only_alias_follows_the_size() -> None:
    assert checked_sizes(NETWORKS["alias"], "official", (512, 384)) == {"height": 512, "width": 384}
    assert checked_sizes(NETWORKS["gmm"], "official", (512, 384)) == {"height": 256, "width": 192}


class Half(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1, ::2, ::2]


def test_shapes_other_than_the_specs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the spec says"):
        export_onnx(tiny_spec("u2netp"), Half(), tmp_path / "x.onnx", variant="tiny")
    assert list(tmp_path.iterdir()) == []


def test_constants_become_initializers() -> None:
    node = onnx.helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0])
    add = onnx.helper.make_node("Add", ["x", "c"], ["y"])
    value = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(onnx.helper.make_graph(
        [node, add], "g", [value("x", 1, [2])], [value("y", 1, [2])]))
    graph.lift_constants(model)
    assert [n.op_type for n in model.graph.node] == ["Add"]
    assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == [1.0, 2.0]
    onnx.checker.check_model(model)


def test_a_file_that_is_no_onnx_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"\xff<html>")
    with pytest.raises(ExportError, match="bad.onnx cannot be read as ONNX"):
        graph.load(bad)
