"""Comparisons of tensors: what is measured, and what counts as missed."""

from pathlib import Path

import numpy as np
import pytest
from tiny_networks import TINY, tiny_spec

from fuw.engine.spec import Gate
from fuw.export.samples import sample_inputs
from fuw.export.scratch import scratch_file
from fuw.export.verify import compare

GATE = Gate(1e-2)


def _want(seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).standard_normal((1, 13, 4, 5)).astype(np.float32)


def test_an_equal_tensor_holds() -> None:
    verdict = compare(tiny_spec("seg"), "fp16", GATE, [_want()], [_want()])
    assert verdict.ok and verdict.worst.rel_l2 == 0 and verdict.excess == 0


def test_the_worst_place_is_named() -> None:
    got = _want()
    got[0, 3, 2, 1] += 5
    verdict = compare(tiny_spec("seg"), "fp16", GATE, [_want()], [got])
    assert not verdict.ok and verdict.worst.at == (0, 3, 2, 1)
    assert verdict.worst.worst == pytest.approx(5, rel=1e-5)
    assert verdict.worst.rel_l2 == pytest.approx(5 / np.linalg.norm(_want()), rel=1e-4)
    for word in ("seg fp16", "probabilities", "(0, 3, 2, 1)", "MISSED", "gate 1e-02"):
        assert word in str(verdict)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_missed_and_named(bad: float) -> None:
    got = _want()
    got[0, 0, 1, 2] = bad
    verdict = compare(tiny_spec("seg"), "fp16", GATE, [_want()], [got])
    assert not verdict.ok and verdict.worst.at == (0, 0, 1, 2) and verdict.excess == np.inf


def test_another_shape_is_missed() -> None:
    assert not compare(tiny_spec("seg"), "fp16", GATE, [_want()], [_want()[:, :1]]).ok


def test_psnr_gates_a_picture() -> None:
    spec = tiny_spec("alias")
    want = np.zeros((1, 3, 8, 8), np.float32) + 0.9
    for error, ok in ((0.019, True), (0.021, False)):  # 40 dB is an error of 0.02 against peak 2
        verdict = compare(spec, "fp16", Gate(1.0, 40.0), [want], [want + np.float32(error)])
        assert verdict.ok is ok
        assert verdict.worst.psnr == pytest.approx(20 * np.log10(2 / error), rel=1e-4)
        assert verdict.excess == pytest.approx(error / 0.02, rel=1e-3)


def test_all_outputs_are_measured() -> None:
    spec = tiny_spec("densepose")
    want = [np.ones((1, c, 2, 2), np.float32) for c in (2, 25, 25, 25)]
    got = [*want[:3], want[3] * 1.5]
    verdict = compare(spec, "fp16", GATE, want, got)
    assert not verdict.ok and verdict.worst.tensor == "v" and len(verdict.measures) == 4


@pytest.mark.parametrize("name", list(TINY))
def test_samples_are_what_the_spec_says(name: str) -> None:
    spec = tiny_spec(name)
    sizes = spec.sizes("tiny")
    for batch in (1, 2):
        inputs = sample_inputs(spec, sizes, batch)
        again = sample_inputs(spec, sizes, batch)
        for tensor, x, y in zip(spec.inputs, inputs, again, strict=True):
            assert x.dtype == np.float32 and x.shape == tensor.shape(sizes, batch)
            assert np.array_equal(x, y) and np.isfinite(x).all() and x.std() > 0
            if tensor.range is not None:
                assert tensor.range[0] - 1e-6 <= x.min() and x.max() <= tensor.range[1] + 1e-6
    assert not np.array_equal(inputs[0], sample_inputs(spec, sizes, 2, seed=1)[0])


def test_alias_samples_are_a_consistent_parse() -> None:
    spec = tiny_spec("alias")
    _, seg, divided, misalign = sample_inputs(spec, spec.sizes("tiny"))
    np.testing.assert_array_equal(seg.sum(1), 1)
    np.testing.assert_allclose(divided.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(divided[:, 7:], misalign)
    assert ((misalign > 0) & (misalign < 1)).any()  # fractional edges, as real ones have


def test_scratch_files_go_away(tmp_path: Path) -> None:
    with scratch_file(tmp_path, ".onnx") as one, scratch_file(tmp_path, ".onnx") as two:
        one.write_bytes(b"1")
        assert one != two and one.name.endswith(".part") and one.name.startswith(".")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError), scratch_file(tmp_path, ".onnx") as one:
        one.write_bytes(b"1")
        raise ValueError
    assert not list(tmp_path.iterdir())
