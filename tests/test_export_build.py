"""fuw-export: proof, then publication; reasons for rebuilding; nothing half-done trusted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_export import NAMES, checkpoint, export_seg, states, tiny_table, traced_once
from tiny_networks import tiny_spec

from fuw.engine.arrays import F32
from fuw.engine.errors import BackendError, CheckpointError
from fuw.engine.networks import NETWORKS
from fuw.engine.spec import Gate, NetSpec
from fuw.engine.weights import MANIFEST, Entry, read_manifest, write_manifest
from fuw.export import graph, precision, publish, to_onnx, verify
from fuw.export import options as options_module
from fuw.export.build import ExportOptions, main_export
from fuw.export.report import Report
from fuw.export.sources import find_source

__all__ = ["tiny_table"]  # a fixture


def test_export_proves_and_publishes(tmp_path: Path) -> None:
    checkpoint(tmp_path, "seg")
    seen: list[tuple[str, str, float]] = []
    options = ExportOptions(weights=str(tmp_path), networks=("seg",), threads=1,
                            precisions=("fp32", "fp16", "bf16"))
    report = main_export(options, lambda *event: seen.append(event))
    assert report.ok, report.table()
    assert states(report) == [("seg", p, "proved") for p in ("fp32", "fp16", "bf16")]
    out = tmp_path / "onnx"
    entries = {e.precision: e for e in read_manifest(out)}
    assert sorted(p.name for p in out.iterdir()) == [
        MANIFEST, "seg.bf16.onnx", "seg.fp16.onnx", "seg.fp32.onnx"]
    assert entries["fp16"].spec == NETWORKS["seg"].hash("official")
    assert entries["fp16"].origin == "seg_final.pth" and len(entries["fp16"].checkpoint) == 64
    assert all(r.rel_l2 is not None and r.rel_l2 <= (r.gate or 0) for r in report.rows)
    assert [share for _, _, share in seen] == sorted(share for _, _, share in seen)
    json.dumps(report.as_json())
    steps = [v.partition(":")[0] for v in report.rows[1].verdicts]  # Torch -> fp32 -> reduced
    assert steps == ["seg fp32 in ort-cpu", "seg fp16 in rounded", "seg fp16 in ort-cpu",
                     "seg fp16 in openvino"]
    for word in ("seg.fp16.onnx", "proved", "probabilities", "seg_final.pth: not the official"):
        assert word in report.table()


def test_what_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path, "seg")
    export_seg(tmp_path)
    made = (tmp_path / "onnx" / "seg.fp32.onnx").stat().st_mtime_ns
    report = export_seg(tmp_path)
    assert report.ok and states(report) == [("seg", "fp32", "up to date")]
    assert (tmp_path / "onnx" / "seg.fp32.onnx").stat().st_mtime_ns == made
    report = export_seg(tmp_path, force=True)
    assert states(report) == [("seg", "fp32", "proved")] and "--force" in report.rows[0].reason


def _other_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(folder, "seg", seed=1)


def _other_spec(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "seg", replace(NETWORKS["seg"], fp32_islands=("conv9",)))


def _other_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "onnx" / "seg.fp32.onnx"
    path.write_bytes(path.read_bytes() + b"\0")


def _other_exporter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "FORMAT", 99)


def _broken_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "onnx" / MANIFEST).write_text("{")


@pytest.mark.parametrize(("change", "word"), [
    (_other_checkpoint, "checkpoint was"), (_other_spec, "spec was"),
    (_other_file, "its hash differs"), (_other_exporter, "another exporter"),
    (_broken_manifest, ""),
])
def test_a_change_rebuilds_and_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str,
        change: Callable[[Path, pytest.MonkeyPatch], None]) -> None:
    checkpoint(tmp_path, "seg")
    export_seg(tmp_path)
    change(tmp_path, monkeypatch)
    report = export_seg(tmp_path)
    assert states(report) == [("seg", "fp32", "proved")] and word in report.rows[0].reason
    assert states(export_seg(tmp_path)) == [("seg", "fp32", "up to date")]


@pytest.mark.parametrize("field", publish.COMPARED)
def test_every_field_of_an_entry_is_compared_and_named(tmp_path: Path, field: str) -> None:
    """Under one file name; another precision, batch or size of the picture has its own."""
    file = tmp_path / "seg.fp32.onnx"
    file.write_bytes(b"proved")
    made = Entry(file.name, "seg", "official", "fp32", {"height": 64, "width": 48}, "5f" * 8, "me",
                 publish.sha256(file), 1, "c7" * 32, {"format": to_onnx.FORMAT})
    write_manifest(tmp_path, [made])
    assert publish.stale(tmp_path, replace(made, sha256="")) == ""
    other: dict[str, object] = {"batch": 2, "sizes": {"height": 32, "width": 48},
                                "precision": "fp16"}
    wanted = replace(made, **{field: other.get(field, "another")})
    assert publish.stale(tmp_path, wanted).startswith(f"{field} was ")


def test_another_precision_or_batch_is_another_file_and_named(tmp_path: Path) -> None:
    checkpoint(tmp_path, "seg")
    assert export_seg(tmp_path, backends=("ort-cpu",)).rows[0].reason == ""
    told = export_seg(tmp_path, "fp32", "fp16", backends=("ort-cpu",)).rows
    assert [(r.status, r.reason) for r in told] == [
        ("up to date", ""), ("proved", "precision was fp32, is fp16")]
    told = export_seg(tmp_path, "fp16", batch=2, backends=("ort-cpu",)).rows
    assert [(r.status, r.reason) for r in told] == [("proved", "batch was 1, is 2")]
    assert len(read_manifest(tmp_path / "onnx")) == 3


def test_a_new_file_is_told_apart_from_the_nearest(tmp_path: Path) -> None:
    made = Entry("alias.fp32.onnx", "alias", "official", "fp32", {"height": 1024, "width": 768},
                 "5f" * 8, "me", "", 1, "c7" * 32, {"format": to_onnx.FORMAT})
    low = replace(made, file="alias.fp16.onnx", precision="fp16", spec="older")
    write_manifest(tmp_path, [made, low, replace(made, file="gmm.fp16.onnx", network="gmm")])
    small = replace(made, file="alias-512x384.fp32.onnx", sizes={"height": 512, "width": 384})
    assert publish.stale(tmp_path, small) == (
        "sizes was {'height': 1024, 'width': 768}, is {'height': 512, 'width': 384}")
    assert publish.stale(tmp_path, replace(made, file="seg.fp32.onnx", network="seg")) == (
        publish.NEW)
    assert publish.stale(tmp_path, made) == "alias.fp32.onnx is not there"


def test_a_missed_gate_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = {"fp32": Gate(1e-12), "fp16": Gate(1e-2), "bf16": Gate(5e-2)}
    monkeypatch.setitem(NETWORKS, "seg", replace(NETWORKS["seg"], gates=gates))
    checkpoint(tmp_path, "seg")
    report = export_seg(tmp_path)
    assert not report.ok and states(report) == [("seg", "fp32", "failed")]
    assert "MISSED" in report.rows[0].reason and "nothing was written" in report.table()
    assert not list((tmp_path / "onnx").glob("*.onnx"))


def test_a_reduced_gate_is_reached_by_wider_islands(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    gates = {"fp32": Gate(1e-4), "fp16": Gate(3e-4), "bf16": Gate(5e-2)}
    monkeypatch.setitem(NETWORKS, "seg", replace(NETWORKS["seg"], gates=gates))
    checkpoint(tmp_path, "seg")
    report = export_seg(tmp_path, "fp16")
    assert report.ok and "stay fp32, for the gate to hold" in report.rows[0].reason
    assert 0 < (report.rows[0].islands or 0) <= 1


def test_a_runtime_that_errs_more_is_heeded_too(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO sums bf16 files in bf16 where the processor can, the simulation in fp32."""
    run, node = verify.run_onnx, "conv5.0/Conv_0"

    def sloppy(spec: NetSpec, path: Path, *rest: object, **more: object) -> list[F32]:
        answers = run(spec, path, *rest, **more)  # type: ignore[arg-type]
        kept = graph.metadata(graph.load(path)).get("fuw.islands", node).split(",")
        wrong = more.get("how") == "openvino" and node not in kept
        return [x * 0.8 for x in answers] if wrong else answers

    monkeypatch.setattr(verify, "run_onnx", sloppy)
    checkpoint(tmp_path, "seg")
    report = export_seg(tmp_path, "bf16", backends=("openvino",))
    assert report.ok, report.table()
    assert "stay fp32, for the gate to hold" in report.rows[0].reason
    assert 0 < (report.rows[0].islands or 0) < 0.5
    assert [v.split(":")[0] for v in report.rows[0].verdicts] == [
        "seg fp32 in openvino", "seg bf16 in rounded", "seg bf16 in openvino"]


def test_weights_past_fp16s_range_still_export(tmp_path: Path) -> None:
    checkpoint(tmp_path, "gmm", scale=40.0)  # its features then pass 65504
    options = ExportOptions(weights=str(tmp_path), networks=("gmm",), threads=1,
                            precisions=("fp16",))
    report = main_export(options)
    assert report.ok, report.table()
    assert 0 < (report.rows[0].islands or 0) < 1


def test_missing_weights_are_skipped_unless_asked_for(tmp_path: Path) -> None:
    checkpoint(tmp_path, "seg")
    report = main_export(ExportOptions(weights=str(tmp_path), networks=("seg", "gmm"), threads=1))
    assert not report.ok
    assert states(report) == [("seg", "fp32", "proved"), ("gmm", "", "failed")]
    assert "gmm_final.pth" in report.rows[1].reason
    everything = main_export(ExportOptions(weights=str(tmp_path), threads=1))
    assert everything.ok
    assert {r.status for r in everything.rows if r.network != "seg"} == {"skipped"}
    empty = tmp_path / "empty"
    empty.mkdir()
    assert not main_export(ExportOptions(weights=str(empty))).ok


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        main_export(ExportOptions(weights=str(tmp_path / "typo")))
    assert not list(tmp_path.iterdir())


def test_all_failures_are_told_together(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / NETWORKS[name].checkpoint.file).write_bytes(b"<html>quota exceeded</html>")
    report = main_export(ExportOptions(weights=str(tmp_path), networks=NAMES))
    assert states(report) == [("seg", "fp32", "failed"), ("gmm", "fp32", "failed")]
    assert report.table().count("quota") >= 2


def test_what_breaks_in_one_network_leaves_the_others(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's exporter, a full disk, too little memory: a row like any failure."""
    def broken(spec: NetSpec, *rest: object) -> onnx.ModelProto:
        if spec.name == "gmm":
            raise RuntimeError("unsupported operator\nand a page of advice")
        return traced_once(spec, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(to_onnx, "_traced", broken)
    for name in NAMES:
        checkpoint(tmp_path, name)
    report = main_export(ExportOptions(weights=str(tmp_path), networks=("gmm", "seg"), threads=1,
                                       backends=("ort-cpu",)))
    assert states(report) == [("gmm", "fp32", "failed"), ("seg", "fp32", "proved")]
    assert report.rows[0].reason == "gmm: RuntimeError: unsupported operator"
    assert {p.name for p in (tmp_path / "onnx").iterdir()} == {MANIFEST, "seg.fp32.onnx"}


def test_what_breaks_in_one_precision_leaves_the_others(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("42 GB")

    checkpoint(tmp_path, "seg")
    monkeypatch.setattr(precision, "convert", broken)
    report = export_seg(tmp_path, "fp16", "fp32", backends=("ort-cpu",))
    assert states(report) == [("seg", "fp16", "failed"), ("seg", "fp32", "proved")]
    assert report.rows[0].reason == "seg: MemoryError: 42 GB"
    report = export_seg(tmp_path, "fp16", "fp32", backends=("ort-cpu",))
    assert states(report) == [("seg", "fp32", "up to date"), ("seg", "fp16", "failed")]


def test_without_a_runtime_nothing_is_begun(tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"pip install 'fuw\[export\]'"):
        main_export(ExportOptions(weights=str(tmp_path)))


def test_a_size_alias_cannot_take_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "alias_final.pth").write_bytes(b"any")
    report = main_export(ExportOptions(weights=str(tmp_path), networks=("alias",), size=(500, 400)))
    assert not report.ok and "multiples of 128" in report.rows[0].reason


def _interrupt_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """Ctrl-C at the `moment`-th of the three steps of a publication."""
    calls = iter(range(10))
    write = publish.write_manifest

    def stopped(*args: object) -> None:
        if next(calls) == moment:
            raise KeyboardInterrupt
        write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "write_manifest", stopped)
    if moment == 2:
        monkeypatch.setattr(publish, "write_manifest", write)
        monkeypatch.setattr(Path, "replace", _refuse(Path.replace))


def _refuse(replace_: Callable[..., Path]) -> Callable[..., Path]:
    def stopped(self: Path, target: Path) -> Path:
        if target.suffix == ".onnx":
            raise KeyboardInterrupt
        return replace_(self, target)
    return stopped


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_an_interrupted_publication_is_not_trusted(tmp_path: Path, moment: int,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it stops, the manifest names no file but those whose bytes it knows."""
    checkpoint(tmp_path, "seg")
    export_seg(tmp_path)
    checkpoint(tmp_path, "seg", seed=1)
    with monkeypatch.context() as patch:
        _interrupt_at(patch, moment)
        with pytest.raises(KeyboardInterrupt):
            export_seg(tmp_path)
    out = tmp_path / "onnx"
    for entry in read_manifest(out):
        assert publish.sha256(out / entry.file) == entry.sha256
    assert not list(out.glob(".*.part"))
    assert states(export_seg(tmp_path)) == [("seg", "fp32", "proved")]


class _Shipped:
    """A starter folder made from a tiny export, as the package ships one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        checkpoint(folder, "seg")
        export_seg(folder)
        from fuw.export import sources

        monkeypatch.setattr(sources, "folder_of", lambda weights: folder / "onnx")


def test_starter_weights_start_from_their_own_onnx(tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    _Shipped(tmp_path, monkeypatch)
    out = tmp_path / "starter"
    options = ExportOptions("starter", out, ("seg",), ("fp32", "fp16"), threads=1)
    report = main_export(options)
    assert report.ok and [r.status for r in report.rows] == ["proved", "proved"]
    shipped = (tmp_path / "onnx" / "seg.fp32.onnx").read_bytes()
    assert (out / "seg.fp32.onnx").read_bytes() == shipped
    refused = main_export(replace(options, batch=2))
    assert not refused.ok and "cannot be stretched to batch 2" in refused.rows[0].reason


@pytest.mark.parametrize(("network", "mask_size", "variant"), [
    ("u2net", 320, "official"), ("u2net", 640, "official-640"), ("seg", 640, "official")])
def test_the_masks_picture_size(tmp_path: Path, network: str, mask_size: int,
                                variant: str) -> None:
    spec = NETWORKS[network]
    (tmp_path / spec.checkpoint.file).write_bytes(b"not read here")
    assert find_source(str(tmp_path), spec, mask_size).variant == variant


def test_out_folder() -> None:
    assert ExportOptions(weights="w").folder == Path("w/onnx")
    assert ExportOptions().folder == Path("onnx")
    assert ExportOptions(out=Path("o")).folder == Path("o")


def test_report_is_not_ok_without_a_file() -> None:
    assert not Report(()).ok


def test_tiny_is_what_is_exported() -> None:
    spec: NetSpec = NETWORKS["seg"]
    assert spec.sizes("official") == dict(tiny_spec("seg").sizes("tiny"))
    assert np.prod(spec.inputs[0].shape(spec.sizes("official"))) < 1e5
