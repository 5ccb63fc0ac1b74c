"""Kill a command at random moments: what it leaves is whole, and the same command then finishes.

    python tests/kill_moments.py prepare --moments 50 --seed 1

Every moment: a fresh folder, the command, SIGKILL after a random part of the time that it takes
undisturbed. Each file that is there by its name must equal the undisturbed run's to the byte, or
it is torn. Then the command is run again, unless the folder is as empty as before the first run:
it has to succeed, to end with the undisturbed run's files and no others, and to leave nothing
unfinished behind. A few moments run in the suite (`test_kill_moments.py`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fuw
from fuw.engine.store import stores
from fuw.engine.weights import MANIFEST, read_manifest

EXAMPLES = Path(fuw.__file__).parent / "examples"
FRESH_CACHE = 5  # every so many moments the compiled networks are kept anew, which is killed too


@dataclass(frozen=True)
class Victim:
    """A command: `arguments(work, out)` are its words, after `prepared(work)` made its input."""

    command: str
    arguments: Callable[[Path, Path], Sequence[object]]
    prepared: Callable[[Path], object] = lambda work: None


def _photos(work: Path) -> None:
    for kind, names in (("people", ["person_1"]), ("garments", ["garment_1", "garment_2"])):
        (work / "photos" / kind).mkdir(parents=True)
        for name in names:
            shutil.copy(EXAMPLES / f"{name}.jpg", work / "photos" / kind)


def _prepared_folder(work: Path) -> None:
    _photos(work)
    done = _start("prepare", _prepare(work, work / "viton")).wait()
    assert done == 0, "fuw-prepare, which makes the folder for --pairs, failed"


def _engine(work: Path) -> tuple[object, ...]:
    return "--precision", "fp32", "--threads", 1, "--cache", work / "cache", "-q"


def _prepare(work: Path, out: Path) -> Sequence[object]:
    return work / "photos", "-o", out, *_engine(work)


VICTIMS = {
    "prepare": Victim("prepare", _prepare, _photos),
    "pairs": Victim("run", lambda work, out: (
        "--pairs", work / "viton" / "test_pairs.txt", "--data", work / "viton", "-o", out,
        *_engine(work)), _prepared_folder),
    "export": Victim("export", lambda work, out: (
        "--networks", "openpose_hand,gmm", "--fp16", "--backend", "ort-cpu", "--threads", 1,
        "-o", out, "-q")),
}


def _start(command: str, arguments: Sequence[object]) -> subprocess.Popen[bytes]:
    code = f"from fuw.cli import {command}; {command}()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *map(str, arguments)], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def files(out: Path) -> dict[str, str]:
    """Every file below `out` that has its final name, with its hash."""
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(out.rglob("*")) if p.is_file() and not p.name.endswith(".part")}


def torn(out: Path, wanted: dict[str, str]) -> list[str]:
    """The files that are neither whole nor absent."""
    found = files(out)
    bad = [name for name, digest in found.items()
           if name != MANIFEST and digest != wanted.get(name)]
    if MANIFEST in found:  # it grows with every export: what it names must be there, as named
        bad += [e.file for e in read_manifest(out) if found.get(e.file) != e.sha256]
    return bad


def unfinished(folder: Path) -> list[Path]:
    """What a writer that was killed leaves; a rerun sweeps it away."""
    return [p for p in folder.rglob("*") if p.name.endswith(".part")]


def _finish(victim: Victim, work: Path, out: Path) -> float:
    """Run the command to its end; returns the seconds."""
    start = time.monotonic()
    process = _start(victim.command, victim.arguments(work, out))
    _, log = process.communicate()
    assert process.returncode == 0, f"{victim.command}: {process.returncode}\n{log.decode()}"
    return time.monotonic() - start


def _killed(victim: Victim, work: Path, out: Path, after: float) -> bool:
    """Kill the command `after` seconds; False where it was quicker."""
    process = _start(victim.command, victim.arguments(work, out))
    try:
        process.wait(after)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return True
    finally:
        process.communicate()


def run(name: str, moments: int, seed: int, work: Path,
        log: Callable[[str], None] = print) -> dict[str, object]:
    """Kill the victim `name` at so many moments in the folder `work`; returns what was counted.

    AssertionError says at which moment something was torn, or a rerun failed.
    """
    victim, chance = VICTIMS[name], random.Random(seed)
    victim.prepared(work)
    seconds = _finish(victim, work, work / "whole")
    wanted = files(work / "whole")
    assert wanted, "the undisturbed run wrote nothing"
    found: Counter[str] = Counter()
    killed = 0
    while killed < moments:
        out = work / f"out{killed}"
        fresh = killed % FRESH_CACHE == 1
        if fresh:
            shutil.rmtree(work / "cache", ignore_errors=True)
        after = chance.uniform(0, seconds)
        if _killed(victim, work, out, after):
            killed += 1
            there = files(out)
            parts = unfinished(out)
            found["parts swept"] += len(parts)
            found["nothing" if not there else "all" if there == wanted else "some"] += 1
            where = f"{name}, {seed=}, moment {killed}: killed after {after:.2f} s"
            assert not torn(out, wanted), f"{where}: torn {torn(out, wanted)}"
            if there or parts or fresh:
                seconds = 0.7 * seconds + 0.3 * max(seconds / 2, _finish(victim, work, out))
                _compare(files(out), wanted, where)
                assert not unfinished(out), f"{where}: left {unfinished(out)}"
                found["reruns that finished"] += 1
            log(f"{killed}: {after:.2f} s, {len(there)} of {len(wanted)} files were there, "
                f"{len(parts)} unfinished")
        shutil.rmtree(out, ignore_errors=True)
    problems = [e.problem for store in stores(work / "cache") for e in store.entries() if e.problem]
    return {"command": name, "killed": killed, "seconds undisturbed": round(seconds, 2),
            "files": len(wanted), "torn": 0, **found, "untrusted engines left": len(problems)}


def _compare(found: dict[str, str], wanted: dict[str, str], where: str) -> None:
    assert found.keys() == wanted.keys(), f"{where}: {sorted(found.keys() ^ wanted.keys())}"
    other = [n for n in wanted if n != MANIFEST and found[n] != wanted[n]]
    assert not other, f"{where}: a rerun wrote other bytes: {other}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=VICTIMS)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(run(arguments.command, arguments.moments, arguments.seed, Path(place))))
