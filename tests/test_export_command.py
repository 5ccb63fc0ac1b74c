"""The command fuw-export: options, exit codes, what it prints and writes."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fuw import cli
from fuw.engine.errors import CheckpointError, DownloadError
from fuw.engine.weights import Entry
from fuw.export import command
from fuw.export import download as downloads
from fuw.export.report import Report, Row

PROVED = Row("seg", "fp16", "proved", "seg.fp16.onnx", rel_l2=1e-3, gate=1e-2, bytes=1000)
MISSED = Row("gmm", "fp16", "failed", reason="theta MISSED")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.export, list(arguments))


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The options that `main_export` was called with; it answers one proved file."""
    seen: list[Any] = []

    def main_export(options: Any, progress: Any) -> Report:
        seen.append(options)
        if progress:
            progress("seg", "to ONNX", 0.5)
        return Report((PROVED,))

    monkeypatch.setattr(command, "main_export", main_export)
    monkeypatch.setattr(command, "read_manifest", lambda folder: [])
    return seen


def test_options_reach_the_export(called: list[Any], tmp_path: Path) -> None:
    result = _run("--weights", "w", "--networks", "seg, gmm", "--fp16", "--bf16", "--size",
                  "512x384", "--batch", "2", "--force", "--mask-size", "640",
                  "--backend", "ort-cpu", "--out", "o", "--json", str(tmp_path / "r.json"))
    assert result.exit_code == 0, result.output
    (options,) = called
    assert (options.weights, options.networks, options.precisions) == (
        "w", ("seg", "gmm"), ("fp16", "bf16"))
    assert (options.size, options.batch, options.force) == ((512, 384), 2, True)
    assert options.mask_size == 640
    assert options.backends == ("ort-cpu",) and options.out == Path("o")
    assert "seg.fp16.onnx" in result.stdout and "seg: to ONNX" in result.stderr
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["network"] == "seg"


def test_reduced_files_alone_are_no_use_to_a_cpu(called: list[Any], monkeypatch: Any) -> None:
    low = Entry("seg.fp16.onnx", "seg", "official", "fp16", {}, "", "me", "")
    entries = [low, replace(low, network="gmm"), replace(low, network="gmm", precision="fp32")]
    monkeypatch.setattr(command, "read_manifest", lambda folder: entries)
    assert "onnx holds no fp32 file of seg, which a run on a CPU takes" in _run("--fp16").stderr
    assert "no fp32 file" not in _run("--fp16", "-q").stderr
    entries[0] = replace(low, precision="fp32")
    assert "no fp32 file" not in _run("--fp16").stderr


def test_defaults_are_the_starter_in_fp32(called: list[Any]) -> None:
    assert _run("-q").exit_code == 0
    assert called[0].weights == "starter" and called[0].precisions == ("fp32",)
    assert called[0].networks == () and called[0].size is None


def test_a_failure_is_exit_code_7(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "main_export", lambda *_: Report((PROVED, MISSED)))
    result = _run()
    assert result.exit_code == 7 and "gmm fp16: theta MISSED" in result.stdout


def test_an_unknown_network_is_exit_code_2() -> None:
    result = _run("--networks", "vton", "--weights", ".")
    assert result.exit_code == 2 and "there is no network 'vton'" in result.output


@pytest.mark.parametrize("size", ["1024", "ax3", "1024x"])
def test_a_size_that_is_none(size: str) -> None:
    result = _run("--size", size)
    assert result.exit_code == 2 and "HEIGHTxWIDTH" in result.output


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("fuw.export")]:
        monkeypatch.delitem(sys.modules, name)
    import fuw

    monkeypatch.delattr(fuw, "export", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = _run()
    assert result.exit_code == 1 and "pip install 'fuw[export]'" in result.output
    assert "fuw-export needs torch" in result.output


def _answer(status: str):  # type: ignore[no-untyped-def]
    def download(specs: Any, folder: Path, ask: Any, progress: Any) -> downloads.Report:
        agreed = ask("CC BY-NC 4.0", specs)
        kind = status if agreed else "refused"
        return downloads.Report((downloads.Row("seg", folder / "seg_final.pth", kind, "why"),))  # type: ignore[arg-type]
    return download


def test_download_asks_and_exports_only_if_told(called: list[Any], tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "download", _answer("downloaded"))
    arguments = ("--download", "--weights", str(tmp_path), "--networks", "seg")
    refused = CliRunner().invoke(cli.export, arguments, input="n\n")
    assert refused.exit_code == DownloadError.exit_code and "Licence: CC BY-NC" in refused.output
    assert _run(*arguments, "--accept-licences").exit_code == 0 and called == []
    assert _run(*arguments, "--accept-licences", "--fp16").exit_code == 0 and len(called) == 1


def test_the_starter_is_not_downloaded() -> None:
    result = _run("--download")
    assert result.exit_code == CheckpointError.exit_code and "--weights DIR" in result.output


def test_a_download_tells_tenths_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    progress = command._bytes()
    for done in range(0, 1001, 5):
        progress("seg", done, 1000)
    progress("gmm", 5_000_000, None)
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.splitlines() == [
        *(f"seg: {share}%" for share in range(0, 101, 10)), "gmm: 5 MB"]


def test_the_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    step = command.bar()
    step("seg", "weights", 0.0)
    step("seg", "to ONNX", 0.5)
    step("gmm", "weights", 0.0)
    shown = capsys.readouterr().err
    assert "\rseg            [############............] to ONNX" in shown
    assert shown.count("\n") == 1
