"""A run of cases in a process of its own: watched for time, bounded in memory.

The number of the case is written to stdout before it is tried, so that whoever started this
process knows which one it did not survive.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import logging
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from fuw.engine.errors import FuwError
from fuzz.door import Door

SECONDS = 5.0  # of the processor; typical is a millisecond
HANGS = 600.0  # seconds on the clock; a busy machine may stop a process for minutes
MEGABYTES = 1500  # on top of what the libraries take: a header may honestly declare 100 megapixels
GROUPS = ("pictures", "texts", "networks")


def doors(group: str) -> list[Door]:
    """The doors of a group; only the child that tries them loads what they need."""
    found: list[Door] = importlib.import_module(f"fuzz.{group}").doors()
    return found


def run(group: str, first: int, count: int, seed: int, folder: Path) -> dict[str, int]:
    """Try cases first .. first + count - 1; returns how they ended."""
    logging.getLogger("fuw").addHandler(logging.NullHandler())  # warnings are no finding
    open_doors, ended = doors(group), Counter[str]()
    for door in open_doors:
        good(door, folder)  # what is loaded lazily is loaded before memory is bounded
    _bound()
    for case in range(first, first + count):
        door = open_doors[case % len(open_doors)]
        print(f"{case} {door.name}", flush=True)
        faulthandler.dump_traceback_later(HANGS, exit=True)
        start = time.process_time()
        ended[_one(door, case // len(open_doors), seed, case, folder)] += 1
        took = time.process_time() - start
        assert took < SECONDS, f"took {took:.1f} s"
        ended["slowest ms"] = max(ended["slowest ms"], round(took * 1e3))
    faulthandler.cancel_dump_traceback_later()
    ended["peak MB"] = _status("VmHWM")
    return dict(ended)


def good(door: Door, folder: Path) -> bool:
    """Whether the undamaged file is taken (an animation, for one, is not)."""
    try:
        _opened(door, door.good, folder)
    except FuwError:
        return False
    return True


def _opened(door: Door, data: bytes, folder: Path) -> object:
    if door.prepare:
        door.prepare(folder)
    path = folder / door.place
    path.write_bytes(data)
    return door.open(path)


def _one(door: Door, turn: int, seed: int, case: int, folder: Path) -> str:
    """"loaded" or "refused"; anything else is raised."""
    rng = np.random.default_rng([seed, case])
    data = door.damages[turn % len(door.damages)](door.good, rng)
    try:
        _opened(door, data, folder)
    except FuwError as error:
        text = str(error)
        assert text and "\n" not in text and len(text) < 700, f"not a sentence: {text!r}"
        assert not _ran_out(error), f"asked for more than {MEGABYTES} MB: {text}"
        return "refused"
    return "loaded"


def _ran_out(error: BaseException) -> bool:
    """Whether running out of memory hides behind the error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _bound() -> None:
    """Let this process have MEGABYTES more than now. Not on systems without /proc."""
    now = _status("VmSize")
    if now:
        most = (now + MEGABYTES) << 20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _status(name: str) -> int:
    """A figure of /proc/self/status, MB. Not getrusage's: that one is inherited through exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = [line for line in status.read_text().splitlines() if line.startswith(name)]
    return int(lines[0].split()[1]) >> 10


if __name__ == "__main__":
    faulthandler.enable()
    group, first, count, seed, place = sys.argv[1:]
    print(json.dumps(run(group, int(first), int(count), int(seed), Path(place))))
