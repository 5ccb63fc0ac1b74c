"""Reduced networks judged by labels, masks, key points and the picture."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_networks import TINY, tiny_network, tiny_spec

from fuw.engine.arrays import F32
from fuw.engine.backend import Model
from fuw.engine.errors import ExportError
from fuw.engine.networks import NETWORKS
from fuw.engine.weights import MANIFEST, Entry, folder_of, read_manifest, write_manifest
from fuw.export import agreement, build, chain, publish, verify, widening
from fuw.export.agreement import JUDGES, Agreement, Measured, psnr
from fuw.export.chain import Reference
from fuw.export.precision import convert
from fuw.export.report import Row
from fuw.export.samples import sample_inputs
from fuw.export.to_onnx import export_onnx
from fuw.export.widening import keep_fp32

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
    said = str(Agreement("gmm", "fp16", Measured("points off by pixels", 0.3, 0.25, "error")))
    assert said == "gmm fp16: points off by pixels 0.3 (at most 0.25): MISSED"
    assert "whole chain" in str(Agreement("", "fp16", Measured("picture, dB", 41, 40, "dB")))


@pytest.mark.parametrize(("measured", "excess"), [
    (Measured("equal labels", 0.99, 0.995), 2.0), (Measured("equal labels", 1.0, 0.995), 0.0),
    (Measured("picture, dB", 34.0, 40.0, "dB"), 10 ** 0.3),
    (Measured("picture, dB", np.inf, 40.0, "dB"), 0.0),
    (Measured("points off by pixels", 1.0, 0.25, "error"), 4.0),
    (Measured("points off by pixels", np.inf, 0.25, "error"), np.inf),
])
def test_an_error_is_told_in_multiples_of_its_gate(measured: Measured, excess: float) -> None:
    assert measured.excess == pytest.approx(excess)
    assert measured.ok is (excess <= 1)


def _tiny_seg(folder: Path, kind: str) -> tuple[Reference, Entry]:
    """A folder with a tiny seg in fp32 and in `kind`, and what the fp32 one answers on samples."""
    spec = replace(tiny_spec("seg"), variants={"official": TINY["seg"]})
    export_onnx(spec, tiny_network("seg"), folder / "seg.fp32.onnx")
    convert(folder / "seg.fp32.onnx", folder / f"seg.{kind}.onnx", kind)
    sizes = spec.sizes("official")
    plain = Entry("seg.fp32.onnx", "seg", "official", "fp32", sizes, spec.hash(), "o", "ab" * 32)
    low = replace(plain, file=f"seg.{kind}.onnx", precision=kind)
    write_manifest(folder, [plain, low])
    asked = tuple(sample_inputs(spec, sizes))
    answers = verify.run_onnx(spec, folder / plain.file, sizes, 1, asked, threads=1)
    reference = Reference(folder, (Path("p"), Path("c")), {"seg": [(asked, answers)]},
                          np.zeros((4, 4, 3), np.uint8), SIZE, threads=1)
    return reference, low


def _excess(reference: Reference, file: str) -> float:
    """Of a file's answers, rounded as it says."""
    model = replace(_model("seg"), sizes=TINY["seg"].sizes)
    return reference.worst(model, lambda *x: verify.run_onnx(
        model.spec, reference.plain / file, model.sizes, 1, x, how="rounded", threads=1)).excess


def _seg_in_pixels(gate: float) -> Callable[..., Measured]:
    """A judge that is not blind to what arg maxes hide."""
    return lambda model, want, got, size: Measured(
        "probabilities off", float(np.abs(want[0] - got[0]).max()), gate, "error")


def test_layers_of_a_network_that_disagrees_go_to_fp32_until_it_agrees(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, low = _tiny_seg(tmp_path, "bf16")
    monkeypatch.setitem(JUDGES, "seg", _seg_in_pixels(1.0))
    error = _excess(reference, low.file)
    monkeypatch.setitem(JUDGES, "seg", _seg_in_pixels(0.6 * error))
    share = keep_fp32(reference, tmp_path, "seg", "bf16")
    assert 0 < share < 1 and _excess(reference, low.file) <= widening.HEADROOM
    entry = next(e for e in read_manifest(tmp_path) if e.precision == "bf16")
    assert entry.extra["fp32_nodes"] == share and 0 < entry.extra["rel_l2"] < 5e-2
    assert entry.sha256 == publish.sha256(tmp_path / entry.file)
    monkeypatch.setitem(JUDGES, "seg", _seg_in_pixels(0.3 * error))
    assert share < keep_fp32(reference, tmp_path, "seg", "bf16") <= 1  # begun where it was


def test_a_network_can_be_kept_in_fp32_altogether(tmp_path: Path) -> None:
    """Its reduced file then computes what the fp32 file does."""
    reference, low = _tiny_seg(tmp_path, "fp16")
    assert keep_fp32(reference, tmp_path, "seg", "fp16", whole=True) == 1
    inputs, answers = reference.asked["seg"][0]
    spec = replace(tiny_spec("seg"), variants={"official": TINY["seg"]})
    got = verify.run_onnx(spec, tmp_path / low.file, spec.sizes("official"), 1, inputs,
                          how="rounded", threads=1)
    np.testing.assert_array_equal(got[0], answers[0])


def test_layers_can_only_be_kept_of_an_fp32_file_of_that_size(tmp_path: Path) -> None:
    reference, low = _tiny_seg(tmp_path, "fp16")
    write_manifest(tmp_path, [replace(low, batch=2)])
    with pytest.raises(ExportError, match="no fp32 file of it .* --fp32 --fp16"):
        keep_fp32(reference, tmp_path, "seg", "fp16")


def test_a_file_that_misses_its_own_gate_is_not_published(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, low = _tiny_seg(tmp_path, "fp16")
    before = (tmp_path / low.file).read_bytes()
    monkeypatch.setattr(verify, "run_onnx", _halved(verify.run_onnx))
    with pytest.raises(ExportError, match="seg fp16 in rounded: .*MISSED; the file stays"):
        keep_fp32(reference, tmp_path, "seg", "fp16", whole=True)
    assert (tmp_path / low.file).read_bytes() == before


def _halved(run: Callable[..., list[F32]]) -> Callable[..., list[F32]]:
    def wrong(*args: Any, **more: Any) -> list[F32]:
        answers = run(*args, **more)
        return [x / 2 for x in answers] if more.get("how") == "rounded" else answers
    return wrong


def _two_networks(folder: Path, monkeypatch: pytest.MonkeyPatch,
                  judge: Callable[[dict[str, bool]], list[Agreement]],
                  ) -> tuple[list[Row], list[tuple[str, bool]]]:
    """Rows of a judgement of seg and gmm by `judge`, called with what stays fp32 (layers, or all
    of it), and the order in which that grew."""
    kept: list[tuple[str, bool]] = []

    def keep(reference: object, out: Path, name: str, kind: str, *, whole: bool,
             runtimes: object) -> float:
        kept.append((name, whole))
        return 1.0 if whole else 0.4

    monkeypatch.setattr(build, "keep_fp32", keep)
    monkeypatch.setattr(build, "ask_plain", lambda *_: None)
    monkeypatch.setattr(build, "judge_chain", lambda *_: judge(dict(kept)))
    options = build.ExportOptions(str(folder), folder, precisions=("fp16",))
    return build._agreements(options, (Path("p"), Path("c")), None), kept


def _said(network: str, value: float, gate: float, scale: Any = "share") -> Agreement:
    return Agreement(network, "fp16", Measured("said", value, gate, scale))


def test_where_only_the_picture_misses_the_nearest_network_goes_to_fp32_first(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(kept: dict[str, bool]) -> list[Agreement]:
        return [_said("seg", 0.999, 0.995), _said("gmm", 0.249, 0.25, "error"),
                _said("", 60 if kept else 30, 40, "dB")]

    rows, kept = _two_networks(tmp_path, monkeypatch, judge)
    assert kept == [("gmm", True)] and all(row.status == "agrees" for row in rows)
    assert "but the chain misses its gate, so 100% of its nodes stay fp32" in rows[1].reason


def test_what_disagrees_keeps_layers_and_if_that_is_not_enough_all(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(kept: dict[str, bool]) -> list[Agreement]:
        return [_said("seg", 0.999 if "seg" in kept else 0.9, 0.995),
                _said("gmm", 0.1 if kept.get("gmm") else 0.3, 0.25, "error"),
                _said("", 50, 40, "dB")]

    rows, kept = _two_networks(tmp_path, monkeypatch, judge)
    assert kept == [("seg", False), ("gmm", False), ("gmm", True)]
    assert [row.status for row in rows] == ["agrees"] * 3
    assert "said 0.9 (at least 0.995): MISSED, so 40% of its nodes stay fp32; then" in (
        rows[0].reason)


def test_a_chain_that_never_agrees_ends_in_a_failure(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    rows, kept = _two_networks(tmp_path, monkeypatch, lambda kept: [
        _said("seg", 0.9, 0.995), _said("gmm", 0.1, 0.25, "error"), _said("", 30, 40, "dB")])
    assert kept == [("seg", False), ("seg", True), ("gmm", True)]
    assert [row.status for row in rows] == ["failed", "agrees", "failed"]


def test_the_rounded_chain_is_what_the_reduced_files_say(tmp_path: Path) -> None:
    plain, low, rounded = (tmp_path / n for n in ("plain", "low", "rounded"))
    for folder in (plain, low, rounded):
        folder.mkdir()
    _, entry = _tiny_seg(plain, "bf16")
    (plain / entry.file).rename(low / entry.file)
    write_manifest(low, [entry, replace(entry, network="schp", batch=2)])  # of another size
    whole = replace(entry, file="seg.fp32.onnx", precision="fp32")
    write_manifest(plain, [whole, *(replace(whole, file=f"{name}.onnx", network=name)
                                    for name in ("gmm", "schp"))])
    for name in ("gmm", "schp"):
        (plain / f"{name}.onnx").write_bytes(b"stays as it is")
    assert chain._rounded(plain, low, "bf16", rounded) == {"seg"}
    assert (rounded / "gmm.onnx").read_bytes() == b"stays as it is"
    assert (rounded / "schp.onnx").read_bytes() == b"stays as it is"
    spec, sizes = tiny_spec("seg"), TINY["seg"].sizes
    inputs = sample_inputs(spec, sizes)
    runs = [verify.run_onnx(spec, path, sizes, 1, inputs, how=how, threads=1)[0]
            for path, how in ((rounded / "seg.fp32.onnx", "ort-cpu"),
                              (low / entry.file, "rounded"))]
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
    kept = {r.network for r in rows if "stay fp32" in r.reason}
    assert kept <= {"openpose_hand"}, kept  # ties of its weak maps leap in any rounding
