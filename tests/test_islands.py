"""Islands are widened by what is measured: range first, then error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_networks import tiny_spec

from fuw.engine.arrays import F32
from fuw.engine.spec import Gate, NetSpec
from fuw.export import graph
from fuw.export.islands import far_reaching, stretches, widen
from fuw.export.precision import convert
from fuw.export.verify import Verdict, compare, run_onnx

SHAPE = (1, 21, 64, 48)
SPEC: NetSpec = tiny_spec("seg")  # its tensors' names are used, not its network


def _chain(folder: Path, factors: Sequence[float]) -> Path:
    """x * f0 * f1 * ..., the first 13 channels, as a file with the seg generator's tensors."""
    nodes, weights, last = [], [], "x"
    for i, factor in enumerate(factors):
        weights.append(numpy_helper.from_array(np.full((1, 21, 1, 1), factor, np.float32), f"f{i}"))
        nodes.append(helper.make_node("Mul", [last, f"f{i}"], [f"t{i}"], name=f"step{i}/Mul_0"))
        last = f"t{i}"
    for name, value in (("b", [0]), ("e", [13]), ("a", [1])):
        weights.append(numpy_helper.from_array(np.array(value, np.int64), name))
    nodes.append(helper.make_node("Slice", [last, "b", "e", "a"], ["probabilities"],
                                  name="/Slice_0"))
    value = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, SHAPE)],
                          [value("probabilities", TensorProto.FLOAT, (1, 13, 64, 48))], weights),
        opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    return graph.save(model, folder / "chain.onnx")


def _run(path: Path, x: F32, how: str = "ort-cpu") -> list[F32]:
    return run_onnx(SPEC, path, SPEC.sizes("tiny"), 1, [x], how=how, threads=1)


def _judged(src: Path, x: F32, gate: Gate, log: list[list[str]]):  # type: ignore[no-untyped-def]
    want, made = _run(src, x), src.with_name("low.onnx")

    def judge(islands: Sequence[str]) -> Verdict:
        log.append(list(islands))
        convert(src, made, "fp16", islands)
        return compare(SPEC, "fp16", gate, want, _run(made, x, "rounded"))

    return judge


@pytest.fixture
def x() -> F32:
    return np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def test_values_past_the_range_are_found_by_name(tmp_path: Path, x: F32) -> None:
    src = _chain(tmp_path, [2, 1e5, 1e-5, 3])
    far = far_reaching(src, SPEC, [x], 65504 / 4)
    assert far == ["step1/Mul_0", "step2/Mul_0"]  # the one that writes it, the one that reads it


def test_an_overflow_is_mended_where_it_happens(tmp_path: Path, x: F32) -> None:
    src, log = _chain(tmp_path, [2, 300, 300, 300, 1e-5, 3]), []
    judge = _judged(src, x, Gate(1e-2), log)
    assert judge([]).excess == np.inf
    chosen, verdict = widen(src, SPEC, "fp16", [x], judge, [])
    assert verdict.ok and "step3/Mul_0" in chosen
    assert "step0/Mul_0" not in chosen and "step5/Mul_0" not in chosen


def test_the_stretch_that_errs_most_is_taken_first(tmp_path: Path, x: F32) -> None:
    # 1 + 2**-11 is half-way between fp16 numbers: each such factor errs by 5e-4 the same way
    src, log = _chain(tmp_path, [1.0, 1.0, 1 + 2**-11 + 1e-6, 1.0]), []
    judge = _judged(src, x, Gate(4.5e-4), log)
    assert not judge([]).ok
    chosen, verdict = widen(src, SPEC, "fp16", [x], judge, ["nothing"])
    assert verdict.ok and chosen[0] == "nothing" and "step2/Mul_0" in chosen
    assert len(chosen) < 6


def test_in_the_end_everything_is_fp32(tmp_path: Path, x: F32) -> None:
    src, log = _chain(tmp_path, [0.1, 0.7, 0.3]), []
    judge = _judged(src, x, Gate(1e-12), log)
    chosen, verdict = widen(src, SPEC, "fp16", [x], judge, [])
    assert verdict.ok and verdict.worst.rel_l2 == 0
    assert {"step0/Mul_0", "step1/Mul_0", "step2/Mul_0"} <= set(chosen)


def test_stretches_cover_what_is_left_in_order(tmp_path: Path) -> None:
    model = graph.load(_chain(tmp_path, [1.0] * 25))
    parts = stretches(model, ["step3", "step20"])
    flat = [name for part in parts for name in part]
    assert flat == [n.name for n in model.graph.node if n.name not in ("step3/Mul_0",
                                                                       "step20/Mul_0")]
    assert len(parts) <= 10
