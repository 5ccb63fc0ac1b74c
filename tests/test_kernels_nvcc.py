"""The kernels as nvcc sees them, and the compiled file that is shipped."""

import json
import re
import shutil
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


@needs_nvcc
def test_shipped_kernels_hold_every_architecture_and_entry() -> None:
    def listed(what: str) -> str:
        return subprocess.run(["cuobjdump", what, str(build.FATBIN)], check=True,
                              capture_output=True, text=True).stdout

    found = {int(a) for a in re.findall(r"sm_(\d+)\.cubin", listed("-lelf"))}
    assert found == set(build.ARCHITECTURES)
    assert f"sm_{build.PTX}.ptx" in listed("-lptx")
    entries = set(re.findall(r"\.entry (\w+)", listed("-ptx")))
    for path in FILES:
        for name in re.findall(r"^ENTRY\((\w+),", path.read_text(), re.M):
            assert name in entries, f"{name} of {path.name} is not in the fatbin"


@needs_nvcc
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_compiles_alone(path: Path, tmp_path: Path) -> None:
    """Warnings are errors; one architecture, as the shipped file shows the others."""
    subprocess.run(["nvcc", "-std=c++17", "-Werror", "all-warnings", "-arch=sm_75", "-cubin",
                    f"-I{build.FOLDER}", str(path), "-o", str(tmp_path / "out.cubin")], check=True)
