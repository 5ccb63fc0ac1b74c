"""The kernels as nvcc sees them, and the compiled file that is shipped."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from fuw.kernels import build
from fuw.kernels.launch import fatbin_is_fresh

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on this machine")
FILES = [path for path in build.sources() if path.suffix == ".cu"]


def test_shipped_kernels_are_those_of_the_sources() -> None:
    assert fatbin_is_fresh(), "kernels/fuw.fatbin is stale: run `make kernels` and commit it"
    record = json.loads(build.FATBIN.with_name("fuw.fatbin.json").read_text())
    assert record["bytes"] == build.FATBIN.stat().st_size
    assert record["architectures"] == list(build.ARCHITECTURES)


def test_shipped_kernels_hold_every_architecture() -> None:
    """Read off the container's own headers: each image has its kind (1 PTX, 2 machine code) first
    and its architecture at byte 28."""
    data = build.FATBIN.read_bytes()
    magic, _, at, size = struct.unpack_from("<IHHQ", data)
    assert magic == 0xBA55ED50 and at + size == len(data)
    found = set()
    while at < len(data):
        kind, _, header, length = struct.unpack_from("<HHIQ", data, at)
        found.add((kind, struct.unpack_from("<I", data, at + 28)[0]))
        at += header + length
    assert found == {(1, build.PTX), *((2, a) for a in build.ARCHITECTURES)}


@needs_nvcc
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_compiles_alone(path: Path, tmp_path: Path) -> None:
    """Warnings are errors; one architecture, as the shipped file shows the others."""
    subprocess.run(["nvcc", "-std=c++17", "-Werror", "all-warnings", "-arch=sm_75", "-cubin",
                    f"-I{build.FOLDER}", str(path), "-o", str(tmp_path / "out.cubin")], check=True)
