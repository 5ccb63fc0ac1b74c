"""Engines built without a GPU, by TensorRT for RTX; plain TensorRT's half needs one."""

import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny import tiny_model
from tiny_networks import TINY, tiny_network, tiny_spec

from fuw.engine import trt
from fuw.engine.backend import Model
from fuw.engine.devices import Device
from fuw.engine.errors import CheckpointError, ExportError
from fuw.engine.files import sha256
from fuw.engine.store import Store
from fuw.export import engines, to_trt
from fuw.export.options import ExportOptions
from fuw.export.precision import convert
from fuw.export.report import Row
from fuw.export.to_onnx import export_onnx
from fuw.export.to_trt import BuildOptions, build_engine, build_plan, check_weights

if "CI" in os.environ and platform.machine() == "x86_64" and sys.platform == "linux":
    import tensorrt_rtx as rtx  # skipped there, these tests would prove nothing
else:
    rtx = pytest.importorskip(
        "tensorrt_rtx", reason="tensorrt_rtx is not installed: pip install tensorrt-rtx-cu13",
        exc_type=ImportError)


@pytest.fixture(autouse=True)
def _rtx_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where plain TensorRT is installed too, it would be asked for a GPU."""
    monkeypatch.setattr(trt, "PACKAGES", ("tensorrt_rtx",))


def _convolution(folder: Path, kind: str) -> Path:
    """One convolution, 48 -> 64 channels, weights in `kind`, float32 outside."""
    low = {"fp32": np.float32, "fp16": np.float16}[kind]
    weight = np.random.default_rng(0).standard_normal((64, 48, 3, 3)).astype(low)
    to = helper.np_dtype_to_tensor_dtype(np.dtype(low))
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Cast", ["x"], ["a"], name="in", to=to),
             helper.make_node("Conv", ["a", "w"], ["b"], name="conv", pads=[1, 1, 1, 1]),
             helper.make_node("Cast", ["b"], ["y"], name="out", to=TensorProto.FLOAT)]
    graph = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, [1, 48, 8, 8])],
                              [value("y", TensorProto.FLOAT, [1, 64, 8, 8])],
                              [numpy_helper.from_array(weight, "w")])
    path = folder / f"conv.{kind}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def convolution(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    """The fp16 file, its engine, and the engine of its fp32 twin."""
    folder = tmp_path_factory.mktemp("conv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trt, "PACKAGES", ("tensorrt_rtx",))
        low = _convolution(folder, "fp16")
        return low, build_plan(low, "conv"), build_plan(_convolution(folder, "fp32"), "conv")


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_every_reduced_graph_builds(name: str, tmp_path: Path) -> None:
    """Parsed strongly typed, built, and the reduced weights are in it in two bytes each."""
    spec = tiny_spec(name)
    plain = export_onnx(spec, tiny_network(name), tmp_path / "plain.onnx", variant="tiny")
    for kind in ("fp16", "bf16"):
        low = convert(plain, tmp_path / f"{name}.{kind}.onnx", kind, spec.fp32_islands).path
        plan = build_plan(low, name)
        reduced, _, largest = to_trt._weights(low)
        assert reduced > 0 and len(plan) > reduced
        assert any(to_trt._holds(plan, weight) for weight in largest)
        assert not any(to_trt._holds(plan, weight.astype(np.float32)) for weight in largest)


def test_an_engine_that_stayed_fp32_is_refused(convolution: tuple[Path, bytes, bytes]) -> None:
    path, low, plain = convolution
    check_weights(rtx, path, "conv", low)
    with pytest.raises(ExportError, match=r"conv: the engine holds .* kept reduced weights in "
                                          r"fp32"):
        check_weights(rtx, path, "conv", plain)


def test_a_large_engine_is_judged_by_its_size(convolution: tuple[Path, bytes, bytes]) -> None:
    path, _, _ = convolution
    weights = 2 * 64 * 48 * 9
    check_weights(rtx, path, "conv", bytes(weights + weights // 2))
    with pytest.raises(ExportError, match="kept reduced weights"):
        check_weights(rtx, path, "conv", bytes(2 * weights))


def test_what_the_parser_refuses_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["a"], name="low", to=TensorProto.FLOAT16),
         helper.make_node("Mul", ["a", "x"], ["y"], name="up_0/Mul_3")], "g",
        [value("x", TensorProto.FLOAT, [1, 3])], [value("y", TensorProto.FLOAT, [1, 3])])
    path = tmp_path / "mixed.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    with pytest.raises(ExportError, match=r"seg: TensorRT refuses node up_0/Mul_3 \(Mul\): .+"):
        build_plan(path, "seg")


def test_the_builder_is_told() -> None:
    """No 10-bit mantissas in fp32, and nothing allocated while an engine runs."""
    lines = trt.logger(rtx)
    builder = rtx.Builder(lines)
    options = BuildOptions(level=1, workspace=0.5)
    config = to_trt._config(rtx, builder, options, None)
    assert not config.get_flag(rtx.BuilderFlag.TF32)
    assert config.get_flag(rtx.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert config.builder_optimization_level == 1
    assert config.get_memory_pool_limit(rtx.MemoryPoolType.WORKSPACE) == to_trt.GIB // 2


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(ExportError, match="gmm: .*page.onnx is no network"):
        build_plan(tmp_path / "page.onnx", "gmm")


def test_an_engine_is_kept_and_built_again_when_its_network_changes(tmp_path: Path) -> None:
    model, options = tiny_model(tmp_path), BuildOptions(level=0, cache=tmp_path / "cache")
    first = build_engine(model, options)
    assert (first.runtime, first.gpu) == ("tensorrt_rtx", "") and first.seconds > 0
    again = build_engine(model, options)
    assert again.path == first.path and again.seconds == 0  # found
    assert build_engine(model, options, force=True).seconds > 0

    changed = replace(model, sha256=sha256(model.path))
    store = Store(tmp_path / "cache" / "trt")
    assert store.get(trt.engine_key(rtx, changed, None)) is None
    assert "checkpoint was" in (store.explain(trt.engine_key(rtx, changed, None)) or "")
    assert build_engine(changed, options).path != first.path
    with pytest.raises(CheckpointError, match="its hash differs"):
        build_engine(replace(model, sha256="0" * 64), options)


@pytest.mark.filterwarnings("ignore:.*Timing cache:DeprecationWarning")  # for RTX only
def test_times_are_kept_for_the_next_build(tmp_path: Path,
                                          caplog: pytest.LogCaptureFixture) -> None:
    model, options, timing = tiny_model(tmp_path), BuildOptions(level=0), tmp_path / "times"
    build_plan(model.path, "tiny", options, timing)
    first = timing.read_bytes()
    assert len(first) > 100
    timing.write_bytes(b"of another version")  # is no use, and does no harm
    build_plan(model.path, "tiny", options, timing)
    assert timing.read_bytes() == first and not caplog.records
    assert build_plan(model.path, "tiny", options, model.path / "times")  # below a file
    assert "timing cache not kept: " in caplog.text


def test_plain_tensorrt_keeps_times_for_each_architecture(tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds for the GPU that is there; an engine for another one, or another driver, is another.
    """
    plain, asked = type(rtx)("tensorrt"), list[Path | None]()
    plain.__version__ = "10.16.0"

    def plan(path: Path, name: str, options: BuildOptions, timing: Path | None) -> bytes:
        asked.append(timing)
        return b"engine"

    gpus = [Device("cuda:0", "NVIDIA H200", "sm_90", 1 << 37, "580.65")]
    monkeypatch.setattr(trt, "package", lambda: plain)
    monkeypatch.setattr(trt.devices, "gpus", lambda: (gpus, ""))
    monkeypatch.setattr(to_trt, "build_plan", plan)
    model, options = tiny_model(tmp_path), BuildOptions(cache=tmp_path / "cache")
    built = build_engine(model, options)
    assert built.gpu == "NVIDIA H200" and built.runtime == "tensorrt"
    gpus[0] = replace(gpus[0], driver="590.10")
    assert build_engine(model, options).path != built.path
    assert asked == [tmp_path / "cache" / "trt" / "timing-10.16.0-sm_90.cache"] * 2


def test_an_engine_that_cannot_be_kept_is_a_failure(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    with pytest.raises(ExportError, match="tiny: .* built but is not kept.*--cache DIR"):
        build_engine(model, BuildOptions(level=0, cache=model.path))  # a file, not a folder


def test_plain_tensorrt_without_a_gpu_names_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt.devices, "gpus", lambda: ([], ""))
    plain = type(rtx)("tensorrt")
    with pytest.raises(ExportError, match="pip install tensorrt-rtx-cu13"):
        to_trt._target(plain, "cuda:0")


def test_a_failed_build_leaves_no_engine(tmp_path: Path) -> None:
    model: Model = tiny_model(tmp_path)
    model.path.write_bytes(b"no network")
    with pytest.raises(ExportError, match="tiny: (TensorRT refuses the file|.* is no network)"):
        build_engine(model, BuildOptions(cache=tmp_path / "cache"))
    assert not list((tmp_path / "cache").rglob("*.engine"))


def test_the_export_builds_engines_of_what_was_proved(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = tiny_model(tmp_path), tmp_path / "bad.onnx"
    bad.write_bytes(b"no network")
    monkeypatch.setattr(engines, "find_models",
                        lambda *asked: {"good": good, "bad": replace(good, path=bad)})
    options = ExportOptions(backends=("trt",), builder_level=0, cache=tmp_path / "cache")
    assert options.runtimes and "trt" not in options.runtimes  # still proved in the others
    done = [Row("good", "fp32", "proved", "good.onnx"), Row("lost", "fp32", "failed"),
            Row("bad", "fp32", "up to date", "bad.onnx")]
    rows = engines.engine_rows(options, done)
    assert [(row.network, row.status) for row in rows] == [("good", "built"), ("bad", "failed")]
    assert (tmp_path / "cache" / "trt" / rows[0].file).stat().st_size == rows[0].bytes > 0
    assert "not compared here: " in rows[0].reason and "tiny: " in rows[1].reason
    assert "there already" not in rows[0].reason
    again = engines.engine_rows(options, done[:1])
    assert again[0].file == rows[0].file and "there already (--force" in again[0].reason


def test_a_static_form_has_an_engine_of_its_own(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiny_model(tmp_path)
    static = replace(plain, path=tmp_path / "static.onnx", sha256="")
    static.path.write_bytes(plain.path.read_bytes())
    monkeypatch.setattr(engines, "find_models",
                        lambda *asked: {"alias": replace(plain, static=static)})
    options = ExportOptions(backends=("trt",), builder_level=0, cache=tmp_path / "cache")
    dense, other = engines.engine_rows(options, [Row("alias", "fp32", "proved", "alias.onnx")])
    assert (dense.status, other.status) == ("built", "built") and dense.file != other.file
    assert other.reason.startswith("the static sparse form; ") and "static" not in dense.reason


@pytest.fixture
def on_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportOptions:
    """A folder with the tiny network, on a machine whose GPU answers as ONNX Runtime does."""
    low = tiny_model(tmp_path, "fp16")
    monkeypatch.setattr(engines, "find_models", lambda folder, kind, *asked: {
        "tiny": replace(low, precision=kind)})
    monkeypatch.setattr(engines.trt, "check", lambda device: None)
    monkeypatch.setattr(engines, "sample_inputs", lambda *asked: [X, X + 1])
    return ExportOptions(out=tmp_path, precisions=("fp16",), backends=("trt",), builder_level=0,
                         cache=tmp_path / "cache")


X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)
DONE = [Row("tiny", "fp16", "proved", "tiny.onnx")]


def test_an_engine_that_runs_is_proved(on_a_gpu: ExportOptions,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answers(plan: bytes, *_: object) -> list[np.ndarray]:
        asked.append(plan)
        return [2 * X + 1, 2.002 * X]

    monkeypatch.setattr(to_trt, "answers", answers)
    (row,) = engines.engine_rows(on_a_gpu, DONE)
    assert row.status == "built" and row.gate == 1e-2 and row.rel_l2 == pytest.approx(1e-3, 1e-3)
    assert "fp16 engine against tiny.fp32.onnx: twice" in row.verdicts[0]
    assert asked == [(on_a_gpu.folder / "cache" / "trt" / row.file).read_bytes()]
    (again,) = engines.engine_rows(on_a_gpu, DONE)  # it has its name because it was proved
    assert again.status == "built" and "there already" in again.reason and len(asked) == 1


def test_an_engine_that_misses_its_gate_is_not_kept(on_a_gpu: ExportOptions,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_trt, "answers", lambda *_: [2 * X + 1, 1.9 * X])
    (row,) = engines.engine_rows(on_a_gpu, DONE)
    assert row.status == "failed" and not row.file
    assert "twice 5.00e-02 relative L2" in row.reason and "the engine is not kept" in row.reason
    assert not list((on_a_gpu.folder / "cache" / "trt").glob("*.engine"))


def test_an_engine_is_held_to_its_own_file_where_there_is_no_other(
        on_a_gpu: ExportOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    find = engines.find_models

    def reduced_only(folder: Path, kind: str, *asked: object) -> dict[str, Model]:
        if kind == "fp32":
            raise CheckpointError("nothing was exported there yet")
        return find(folder, kind, (1, 1))

    monkeypatch.setattr(engines, "find_models", reduced_only)
    monkeypatch.setattr(to_trt, "answers", lambda *_: [2 * X + 1, 2 * X])
    (row,) = engines.engine_rows(on_a_gpu, DONE)
    assert row.status == "built" and "against tiny.fp32.onnx, rounded" in row.verdicts[0]


def test_a_sparse_file_gives_its_dense_twin_to_the_engine(tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    dense = tiny_model(tmp_path)
    sparse = replace(dense, path=tmp_path / "sparse.onnx", form="sparse", dense=dense)
    monkeypatch.setattr(engines, "find_models", lambda *asked: {"alias": sparse})
    options = ExportOptions(backends=("trt",), builder_level=0, cache=tmp_path / "cache")
    (row,) = engines.engine_rows(options, [Row("alias", "fp32", "proved", "sparse.onnx")])
    assert row.status == "built", row.reason
