"""A quick, seeded part of the fuzz program; what it found is tested where it was mended."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz import child
from fuzz.__main__ import batch
from fuzz.damage import in_bytes, in_json, in_png, in_zip
from fuzz.pictures import ANIMATED
from PIL import Image

SHARE = {"pictures": 360, "texts": 240, "networks": 100}


@pytest.mark.parametrize("group", child.GROUPS)
def test_damaged_files_load_or_are_refused(group: str) -> None:
    ended = batch(group, 0, SHARE[group], seed=0)
    assert ended["loaded"] + ended["refused"] == SHARE[group]
    assert ended["loaded"] > 5 and ended["refused"] > SHARE[group] / 4


@pytest.mark.parametrize("group", ["pictures", "texts"])
def test_the_good_files_load(group: str, tmp_path: Path) -> None:
    for door in child.doors(group):
        assert child.good(door, tmp_path) == (door.name not in ANIMATED), door.name


def _png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (70, 70)).save(data, "PNG")
    return data.getvalue()


def _zip() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a/data.pkl", bytes(300))
    return data.getvalue()


@pytest.mark.parametrize(("damage", "good"), [
    (in_bytes, b"x" * 300), (in_json, json.dumps({"a": [1, {"b": "c"}]}).encode()),
    (in_png, _png()), (in_zip, _zip())])
def test_damage_is_the_same_for_the_same_seed_and_another_for_others(damage, good) -> None:
    made = {damage(good, np.random.default_rng([1, case])) for case in range(20)}
    assert len(made) > 5 and damage(good, np.random.default_rng([1, 2])) in made
