"""From the start of a process to a picture on the disk: `fuw-run` with the starter weights."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fuw.bench.stats import Stats


def process_starts(person: Path, cloth: Path, backend: str, precision: str, threads: int,
                   warm: int = 4) -> dict[str, Any]:
    """Milliseconds of whole `fuw-run` processes.

    Args:
        warm: starts with the engines of the first one in the cache.

    Returns:
        "first start ever": into an empty cache folder (n 1; the disk's cache of the packages is
        warm), "warm cache": statistics of the others.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-c", "from fuw.cli import run; run()", str(person),
                   str(cloth), "-o", f"{folder}/out.jpg", "-q", "--threads", str(threads),
                   "--backend", backend, "--precision", precision, "--cache", f"{folder}/cache"]
        spent = []
        for _ in range(1 + warm):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            spent.append((time.perf_counter() - start) * 1000)
    return {"first start ever": asdict(Stats.of(spent[:1])),
            "warm cache": asdict(Stats.of(spent[1:]))}
