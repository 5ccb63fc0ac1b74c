"""A quick, seeded part of `fuzz_doors.py`, and what it once found."""

import fuzz_doors
import numpy as np


def test_damaged_files_load_or_are_refused(tmp_path, capfd):
    ended = fuzz_doors.run(600, 0, tmp_path)
    assert ended["loaded"] > 20 and ended["refused"] > 200
    # libtiff's C code tells damage on stderr by itself; nothing else may write there.
    printed = [line for line in capfd.readouterr().err.splitlines() if "Decode" not in line]
    assert printed == []


def test_the_good_files_load(tmp_path):
    for name, data, door in fuzz_doors.seeds():
        (tmp_path / "case").write_bytes(data)
        if name in ("apng", "webp-frames", "gif"):
            continue  # animated: refused, tests/test_images.py
        assert door(tmp_path / "case") is not None, name


def test_damage_is_the_same_for_the_same_seed():
    first = fuzz_doors.damaged(b"x" * 300, np.random.default_rng([1, 2]))
    assert first == fuzz_doors.damaged(b"x" * 300, np.random.default_rng([1, 2]))
