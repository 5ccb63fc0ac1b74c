"""Start children over all cases and add up how they ended; the first that dies is told."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from fuzz.child import GROUPS  # noqa: E402

BATCH = 500  # cases a process
SHARES = {"pictures": 0.5, "texts": 0.25, "networks": 0.25}
# libtiff's C code tells damage on stderr by itself; nothing else may write there.
EXPECTED = ("Decode", "TIFF")


def run(cases: int, seed: int, log: Callable[[str], None] = print) -> dict[str, Counter[str]]:
    """Run `cases` cases; returns how they ended by group. AssertionError names a bad one."""
    ended: dict[str, Counter[str]] = {}
    for group in GROUPS:
        total, done = round(cases * SHARES[group]), 0
        while done < total:
            count = min(BATCH, total - done)
            _add(ended.setdefault(group, Counter()), batch(group, done, count, seed))
            done += count
            log(f"{group} {done}/{total}: {dict(ended[group])}")
    return ended


def batch(group: str, first: int, count: int, seed: int) -> dict[str, int]:
    """One child."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.child", group, str(first), str(count), str(seed), folder],
            capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout.splitlines()
    where = f"{group}, {seed=}, case {lines[-1] if lines else 'none'}"
    assert done.returncode == 0, f"{where}: exit {done.returncode}\n{done.stderr[-4000:]}"
    noise = [line for line in done.stderr.splitlines() if not any(w in line for w in EXPECTED)]
    assert not noise, f"{group}, {seed=}, cases {first}..{first + count - 1} printed {noise[:5]}"
    ended: dict[str, int] = json.loads(lines[-1])
    return ended


def _add(total: Counter[str], one: dict[str, int]) -> None:
    for name, value in one.items():
        largest = name in ("slowest ms", "peak MB")
        total[name] = max(total[name], value) if largest else total[name] + value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the doors.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    told = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    print(json.dumps(run(arguments.cases, arguments.seed, told)))
