"""Compile every .cu into `fuw.fatbin`: `make kernels`. Needs nvcc, which users do not.

Beside it `fuw.fatbin.json` keeps the hash of the sources, so that a stale one is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FATBIN = FOLDER / "fuw.fatbin"
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)  # Turing to Blackwell
PTX = 75  # for everything else, older cousins and newer: the driver compiles it at first use
# -fmad=false would match the twins' rounding to the bit; contraction is left on, for speed and
# since every test allows for it.
FLAGS = ("-std=c++17", "-O3", "--compress-mode=size")


def sources() -> list[Path]:
    """Every file that the compiled kernels depend on, in a fixed order."""
    return sorted([*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh")])


def source_hash() -> str:
    """SHA-256 over names and contents of the sources and over what they are compiled for."""
    digest = hashlib.sha256(repr((ARCHITECTURES, PTX, FLAGS)).encode())
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def unity() -> str:
    """One source that includes every .cu: one module holds all kernels."""
    return "".join(f'#include "{path.name}"\n' for path in sources() if path.suffix == ".cu")


def command(source: Path, out: Path) -> list[str]:
    """nvcc for all architectures, and PTX for those between and to come."""
    code = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in ARCHITECTURES]
    return ["nvcc", *FLAGS, *code, f"-gencode=arch=compute_{PTX},code=compute_{PTX}",
            f"-I{FOLDER}", "-fatbin", str(source), "-o", str(out)]


def build(out: Path = FATBIN) -> None:
    """Write the fatbin and its record, each beside its place and then renamed."""
    with tempfile.TemporaryDirectory() as temporary:
        source, fatbin = Path(temporary, "fuw.cu"), Path(temporary, "fuw.fatbin")
        source.write_text(unity())
        subprocess.run(command(source, fatbin), check=True)
        record = {"sources": source_hash(), "architectures": list(ARCHITECTURES),
                  "ptx": PTX, "bytes": fatbin.stat().st_size}
        for path, data in ((out, fatbin.read_bytes()),
                           (out.with_name(out.name + ".json"),
                            (json.dumps(record, indent=1) + "\n").encode())):
            beside = path.with_name(path.name + ".new")
            beside.write_bytes(data)
            os.replace(beside, path)


if __name__ == "__main__":
    if shutil.which("nvcc") is None:
        sys.exit("nvcc is not on the PATH; the CUDA toolkit (12.8 or later) has it")
    build()
    print(f"{FATBIN.name}: {FATBIN.stat().st_size:,} bytes")
