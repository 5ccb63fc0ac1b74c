"""Ctrl-C in a running command: exit code 130, no traceback, complete files or none, and a rerun
finishes. The commands run as processes, are told by their own progress lines when to be hit."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import fuw
from fuw.engine.dataset import VitonFolder
from fuw.engine.weights import MANIFEST, read_manifest

EXAMPLES = Path(fuw.__file__).parent / "examples"
PERSON, GARMENT = EXAMPLES / "person_1.jpg", EXAMPLES / "garment_1.jpg"
GARMENTS = [f"garment_{n}.jpg" for n in (1, 2, 3, 4)]
ONE_RUNTIME = ("--backend", "ort-cpu", "--threads", "1")


def start(command: str, *arguments: object) -> subprocess.Popen[str]:
    """A command as a process of its own, its output piped."""
    code = f"from fuw.cli import {command}; {command}()"
    # A shell's background jobs ignore SIGINT, and so would their children.
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def interrupt(process: subprocess.Popen[str], word: str) -> tuple[int, str, str]:
    """Send SIGINT when `word` appears on stderr; returns (exit code, stdout, stderr)."""
    with process:
        assert process.stderr is not None and process.stdout is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if word in line:
                process.send_signal(signal.SIGINT)
                break
        seen += process.stderr.readlines()
        out = process.stdout.read()
    return process.returncode, out, "".join(seen)


def leftovers(folder: Path) -> list[Path]:
    """Files that are not whole."""
    return [p for p in folder.rglob("*") if p.name.endswith(".part")]


def test_a_fit_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    process = start("run", PERSON, GARMENT, "-o", tmp_path / "out.jpg", "--sheet",
                    tmp_path / "sheet.jpg", "--parts", tmp_path / "parts", *ONE_RUNTIME)
    code, out, log = interrupt(process, "pose")
    assert (code, out) == (130, ""), log
    assert "fuw: interrupted" in log and "Traceback" not in log and "\x1b" not in log
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_preparation_is_taken_up_again(tmp_path: Path) -> None:
    for kind, names in (("people", ["person_1.jpg"]), ("garments", GARMENTS)):
        (tmp_path / kind).mkdir()
        for name in names:
            shutil.copy(EXAMPLES / name, tmp_path / kind)
    out = tmp_path / "test"
    code, told, log = interrupt(start("prepare", tmp_path, "-o", out, *ONE_RUNTIME), "[1/5]")
    assert (code, told) == (130, ""), log
    folder = VitonFolder(out)
    done = 1 + sum(folder.has_garment(name) for name in GARMENTS)
    assert folder.has_person("person_1.jpg") and done < 5
    assert not leftovers(out) and not folder.pairs_path().exists()
    for picture in (*out.rglob("*.jpg"), *out.rglob("*.png")):
        Image.open(picture).load()
    told, log = start("prepare", tmp_path, "-o", out, *ONE_RUNTIME).communicate()
    assert told == f"{5 - done} written, {done} there already, 0 failed\n", log
    assert folder.pairs_path().exists() and all(folder.has_garment(name) for name in GARMENTS)


@pytest.mark.slow
def test_an_export_leaves_only_what_was_proved(tmp_path: Path) -> None:
    process = start("export", "--fp16", "--backend", "ort-cpu", "--threads", "1",
                    "-o", tmp_path / "onnx")
    code, out, log = interrupt(process, "to ONNX")
    assert (code, out) == (130, ""), log
    assert "Traceback" not in log and "\r" not in log
    found = {p.name for p in (tmp_path / "onnx").iterdir()}
    named = read_manifest(tmp_path / "onnx") if MANIFEST in found else []
    assert found <= {MANIFEST} | {entry.file for entry in named}
