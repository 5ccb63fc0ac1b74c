"""fuw-export of ALIAS: dense, sparse or static, timed or as it was asked for."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from tiny_export import checkpoint, states, tiny_table
from tiny_networks import TINY

from fuw.engine.backend import Model
from fuw.engine.networks import NETWORKS
from fuw.engine.weights import Entry, find_models, read_manifest
from fuw.export import alias_choice, publish
from fuw.export.alias_choice import Timed
from fuw.export.build import ExportOptions, main_export
from fuw.export.nets.alias_static import StaticALIAS

__all__ = ["tiny_table"]  # a fixture


@pytest.fixture
def alias_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExportOptions:
    """A folder with a tiny ALIAS checkpoint; the dense form is timed at 2 ms, the sparse at 1."""
    official = replace(NETWORKS["alias"], variants={"official": TINY["alias"]})
    monkeypatch.setitem(NETWORKS, "alias", official)
    monkeypatch.setattr(alias_choice, "timed", lambda *_: Timed("made up", 2.0, 1.0))
    checkpoint(tmp_path, "alias")
    return ExportOptions(str(tmp_path), networks=("alias",), threads=1, backends=("ort-cpu",))


def _alias(options: ExportOptions) -> tuple[str, Entry, bool]:
    """Export; the row's status and reason, the fp32 entry, and whether its graph is sparse."""
    report = main_export(options)
    assert report.ok, report.table()
    row = next(r for r in report.rows if r.precision == "fp32")
    entry = next(e for e in read_manifest(options.folder) if e.precision == "fp32")
    kinds = {n.op_type for n in onnx.load(options.folder / entry.file).graph.node}
    return f"{row.status} {row.reason}".strip(), entry, "NonZero" in kinds


@pytest.mark.slow
def test_alias_for_cpus_is_the_faster_form(alias_alone: ExportOptions,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    _, entry, sparse = _alias(alias_alone)
    assert sparse and entry.extra["form"] == "sparse"
    assert entry.extra["timed"] == {"runtime": "made up", "dense_ms": 2.0, "sparse_ms": 1.0}
    dense = alias_alone.folder / entry.extra["dense"]
    assert publish.sha256(dense) == entry.extra["dense_sha256"]
    assert "NonZero" not in {n.op_type for n in onnx.load(dense).graph.node}
    assert _alias(alias_alone)[0] == "up to date"
    dense.write_bytes(b"other")
    told, entry, _ = _alias(alias_alone)
    assert told == f"proved {dense.name} is not the one that was proved (its hash differs)"

    monkeypatch.setattr(alias_choice, "timed", lambda *_: Timed("made up", 1.0, 2.0))
    _, entry, sparse = _alias(replace(alias_alone, force=True))
    assert not sparse and entry.extra["form"] == "dense" and "timed" in entry.extra
    assert "dense" not in entry.extra and not dense.exists()


@pytest.mark.slow
def test_the_form_that_was_asked_for(alias_alone: ExportOptions,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_choice, "timed", lambda *_: pytest.fail("timed"))
    told, entry, sparse = _alias(replace(alias_alone, alias="dense", precisions=("fp32", "fp16")))
    assert not sparse and entry.extra["form"] == "dense" and told == "proved"
    told, entry, sparse = _alias(replace(alias_alone, alias="sparse"))
    assert sparse and "timed" not in entry.extra
    assert told == "proved form was dense, is sparse"
    low = next(e for e in read_manifest(alias_alone.folder) if e.precision == "fp16")
    assert "form" not in low.extra  # reduced files are for GPUs: always the plain graph
    assert _alias(replace(alias_alone, alias="sparse"))[0] == "up to date"
    monkeypatch.setattr(alias_choice, "timed", lambda *_: Timed("made up", 2.0, 1.0))
    assert _alias(alias_alone)[0] == "proved form was asked to be sparse, is to be timed"


@pytest.mark.slow
def test_the_static_form_for_engines_lies_beside_the_reduced_file(alias_alone: ExportOptions,
                                                                  ) -> None:
    asked = replace(alias_alone, alias="sparse", precisions=("fp16",))
    (row,) = main_export(asked).rows
    assert row.status == "proved", row.reason
    assert [v for v in row.verdicts if "alias fp16 static in rounded" in v and "holds" in v]
    size = tuple(TINY["alias"].sizes[word] for word in ("height", "width"))

    def found() -> Model:
        return find_models(asked.folder, "fp16", size)["alias"]

    static = found().static
    assert static is not None and static.path.name == "alias.fp16.static.onnx"
    assert publish.sha256(static.path) == static.sha256 and static.dense is None
    named = {v.name for v in onnx.load(static.path).graph.input}
    assert {level.rows for level in static.windows} < named and static.windows
    assert "places_1" not in {v.name for v in onnx.load(found().path).graph.input}
    assert states(main_export(asked)) == [("alias", "fp16", "up to date")]
    static.path.unlink()
    (row,) = main_export(asked).rows
    assert row.reason == "alias.fp16.static.onnx is not there"
    (row,) = main_export(replace(asked, alias="auto")).rows
    assert row.reason == "form was static, is dense" and found().static is None
    assert not static.path.exists()


@pytest.mark.slow
def test_a_map_that_the_tables_do_not_hold_is_no_proof(alias_alone: ExportOptions,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StaticALIAS.windowed, "__defaults__", (8,))
    (row,) = main_export(replace(alias_alone, alias="sparse", precisions=("fp16",))).rows
    assert row.status == "failed" and "export with --alias dense" in row.reason
    assert not list(alias_alone.folder.glob("*.onnx"))
