"""A quick, seeded part of `fuzz_doors.py`, and what it once found."""

import ast
import subprocess
import sys

import fuzz_doors
import numpy as np


def test_damaged_files_load_or_are_refused():
    # A process of its own: the peak of memory is the process', and others' tests run in this one.
    done = subprocess.run([sys.executable, fuzz_doors.__file__, "--cases", "600"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended = ast.literal_eval(done.stdout.splitlines()[-1])
    assert ended["loaded"] > 20 and ended["refused"] > 200
    # libtiff's C code tells damage on stderr by itself; nothing else may write there.
    assert [line for line in done.stderr.splitlines() if "Decode" not in line] == []


def test_the_good_files_load(tmp_path):
    for name, data, door in fuzz_doors.seeds():
        (tmp_path / "case").write_bytes(data)
        if name in ("apng", "webp-frames", "gif"):
            continue  # animated: refused, tests/test_images.py
        assert door(tmp_path / "case") is not None, name


def test_damage_is_the_same_for_the_same_seed():
    first = fuzz_doors.damaged(b"x" * 300, np.random.default_rng([1, 2]))
    assert first == fuzz_doors.damaged(b"x" * 300, np.random.default_rng([1, 2]))
