"""Reduced networks judged by labels, masks, key points and the picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_networks import TINY, tiny_network, tiny_spec

from fuw.engine.arrays import F32
from fuw.engine.backend import Model
from fuw.engine.networks import NETWORKS
from fuw.engine.weights import MANIFEST, Entry, folder_of, read_manifest, write_manifest
from fuw.export import agreement, build, publish, verify
from fuw.export.agreement import JUDGES, Agreement, Measured, psnr
from fuw.export.precision import convert
from fuw.export.report import Row
from fuw.export.samples import sample_inputs
from fuw.export.to_onnx import export_onnx

SIZE = (256, 192)
rng = np.random.default_rng(0)


def _model(name: str) -> Model:
    return Model(NETWORKS[name], "official", Path("x"), "fp32",
                 NETWORKS[name].sizes("official"))


def _outputs(name: str) -> list[F32]:
    """Smooth answers of the official sizes."""
    sizes = NETWORKS[name].sizes("official")
    out = []
    for tensor in NETWORKS[name].outputs:
        shape = tensor.shape(sizes)
        small = rng.random((*shape[:-2], 6, 5)) if len(shape) == 4 else rng.random(shape)
        if len(shape) == 4:
            small = small.repeat(-(-shape[2] // 6), 2).repeat(-(-shape[3] // 5), 3)
            small = small[:, :, : shape[2], : shape[3]]
        out.append(np.ascontiguousarray(small, np.float32))
    return out


@pytest.mark.parametrize("name", list(NETWORKS))
def test_equal_answers_agree_and_other_ones_do_not(name: str) -> None:
    want = _outputs(name)
    judged = JUDGES[name](_model(name), want, want, SIZE)
    assert judged.ok
    if name != "openpose_body":  # random maps hold nobody: below
        other = [np.ascontiguousarray(np.flip(x, -1)) for x in want]
        assert not JUDGES[name](_model(name), want, other, SIZE).ok


def test_another_number_of_people_is_no_agreement() -> None:
    one, none = np.ones((1, 25, 3), np.float32), np.zeros((0, 25, 3), np.float32)
    assert agreement._distance(one, none) == np.inf
    moved = one + np.float32([0.3, 0.4, 0])
    assert agreement._distance(one, moved) == pytest.approx(0.5)
    moved[0, 3, 2] = 0  # found by one of them only
    assert agreement._distance(one, moved) == pytest.approx(0.5)


def test_theta_is_judged_in_pixels() -> None:
    want = np.zeros((1, 50), np.float32)
    got = want.copy()
    got[0, 30] = 0.25 / (1024 / 2)  # the y of a control point, a quarter of a pixel
    judged = JUDGES["gmm"](_model("gmm"), [want], [got], (1024, 768))
    assert judged.value == pytest.approx(0.25) and judged.ok
    assert not JUDGES["gmm"](_model("gmm"), [want], [got * 1.1], (1024, 768)).ok


def test_psnr() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black, 255) == np.inf
    assert psnr(black, black + 255, 255) == pytest.approx(0)
    assert psnr(black, black + 1, 255) == pytest.approx(48.13, abs=0.01)


def test_in_words() -> None:
    said = str(Agreement("gmm", "fp16", Measured("points off by pixels", 0.3, 0.25, False)))
    assert said == "gmm fp16: points off by pixels 0.3 (at most 0.25): MISSED"
    assert "whole chain" in str(Agreement("", "fp16", Measured("picture, dB", 41, 40)))


def test_a_network_that_disagrees_is_kept_in_fp32(tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reduced file then computes what the fp32 file does, and the chain is judged again."""
    spec = replace(tiny_spec("seg"), variants={"official": TINY["seg"]})
    export_onnx(spec, tiny_network("seg"), tmp_path / "seg.fp32.onnx")
    convert(tmp_path / "seg.fp32.onnx", tmp_path / "seg.fp16.onnx", "fp16")
    sizes = spec.sizes("official")
    entry = Entry("seg.fp32.onnx", "seg", "official", "fp32", sizes, spec.hash(), "o", "ab" * 32)
    write_manifest(tmp_path, [entry, replace(entry, file="seg.fp16.onnx", precision="fp16")])
    miss, hold = Measured("equal labels", 0.9, 0.995), Measured("equal labels", 1.0, 0.995)
    answers = iter(([Agreement("seg", "fp16", miss)], [Agreement("seg", "fp16", hold)]))
    monkeypatch.setattr(build, "judge_chain", lambda *_, **__: next(answers))
    options = build.ExportOptions(str(tmp_path), tmp_path, precisions=("fp16",))
    (row,) = build._agreements(options, (Path("p"), Path("c")), None)
    assert row.status == "agrees" and "so all of it stays fp32" in row.reason
    inputs = sample_inputs(spec, sizes)
    runs = [verify.run_onnx(spec, tmp_path / f, sizes, 1, inputs, how=how, threads=1)[0]
            for f, how in (("seg.fp32.onnx", "ort-cpu"), ("seg.fp16.onnx", "rounded"))]
    np.testing.assert_array_equal(runs[0], runs[1])
    kept = next(e for e in read_manifest(tmp_path) if e.precision == "fp16")
    assert kept.extra["fp32_nodes"] == 1.0
    assert kept.sha256 == publish.sha256(tmp_path / kept.file)


def _two_networks(folder: Path, monkeypatch: pytest.MonkeyPatch,
                  judge: Callable[[set[str]], list[Agreement]]) -> tuple[list[Row], list[str]]:
    """Rows of a judgement of seg and gmm by `judge`, called with what stays fp32, and the order in
    which that grew."""
    kept: list[str] = []
    monkeypatch.setattr(publish, "keep_fp32", lambda *asked: kept.append(asked[2]))
    monkeypatch.setattr(build, "judge_chain", lambda *_, **__: judge(set(kept)))
    options = build.ExportOptions(str(folder), folder, precisions=("fp16",))
    return build._agreements(options, (Path("p"), Path("c")), None), kept


def _said(network: str, value: float, gate: float, more: bool = True) -> Agreement:
    return Agreement(network, "fp16", Measured("said", value, gate, more))


def test_where_only_the_picture_misses_the_nearest_network_goes_to_fp32_first(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(kept: set[str]) -> list[Agreement]:
        return [_said("seg", 0.999, 0.995), _said("gmm", 0.249, 0.25, False),
                _said("", 60 if kept else 30, 40)]

    rows, kept = _two_networks(tmp_path, monkeypatch, judge)
    assert kept == ["gmm"] and all(row.status == "agrees" for row in rows)
    assert "but the chain misses its gate, so all of it stays fp32" in rows[1].reason


def test_a_chain_that_never_agrees_ends_in_a_failure(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    rows, kept = _two_networks(tmp_path, monkeypatch, lambda kept: [
        _said("seg", 0.9, 0.995), _said("gmm", 0.1, 0.25, False), _said("", 30, 40)])
    assert kept == ["seg", "gmm"] and [row.status for row in rows] == ["failed", "agrees", "failed"]


def test_the_rounded_chain_is_what_the_reduced_files_say(tmp_path: Path) -> None:
    spec = replace(tiny_spec("seg"), variants={"official": TINY["seg"]})
    sizes = spec.sizes("official")
    plain, low, rounded = (tmp_path / n for n in ("plain", "low", "rounded"))
    for folder in (plain, low, rounded):
        folder.mkdir()
    export_onnx(spec, tiny_network("seg"), plain / "seg.onnx")
    convert(plain / "seg.onnx", low / "seg.onnx", "bf16")
    entry = Entry("seg.onnx", "seg", "official", "fp32", sizes, spec.hash(), "o", "ab" * 32)
    write_manifest(plain, [entry, replace(entry, file="gmm.onnx", network="gmm")])
    (plain / "gmm.onnx").write_bytes(b"stays as it is")
    write_manifest(low, [replace(entry, precision="bf16")])
    assert agreement._rounded(plain, low, "bf16", rounded) == {"seg"}
    assert (rounded / "gmm.onnx").read_bytes() == b"stays as it is"
    inputs = sample_inputs(spec, sizes)
    runs = [verify.run_onnx(spec, path, sizes, 1, inputs, how=how, threads=1)[0]
            for path, how in ((rounded / "seg.onnx", "ort-cpu"), (low / "seg.onnx", "rounded"))]
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.slow
def test_starter_weights_agree_in_fp16(tmp_path: Path) -> None:
    """The gates of the starter: labels, masks, key points, theta and the picture, in fp16."""
    starter = folder_of("starter")
    examples = Path(__file__).parent.parent / "examples"
    photos = examples / "person_1.jpg", examples / "garment_1.jpg"
    if not (starter / MANIFEST).exists() or not photos[0].exists():
        pytest.skip("the starter weights or the example photos are not in this checkout")
    entries = []
    for entry in read_manifest(starter):
        spec = NETWORKS[entry.network]
        convert(starter / entry.file, tmp_path / entry.file, "fp16", spec.fp32_islands)
        entries.append(replace(entry, precision="fp16"))
    write_manifest(tmp_path, entries)
    options = build.ExportOptions("starter", tmp_path, precisions=("fp16",))
    rows = build._agreements(options, photos, None)
    assert rows[-1].network == "chain" and len(rows) == len(entries) + 1
    assert all(r.status == "agrees" for r in rows), [r.reason for r in rows]
    kept = {r.network for r in rows if "stays fp32" in r.reason}
    assert kept <= {"openpose_hand"}, kept  # ties of its weak maps leap in any rounding
