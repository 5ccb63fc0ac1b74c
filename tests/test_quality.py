"""The quality bench: its measures against known numbers, its folders against made-up ones."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fuw.bench import quality
from fuw.bench.measures import (
    Overlap,
    ciede2000,
    colour_difference,
    key_points_right,
    mask_iou,
    ssim,
)
from fuw.engine.errors import FuwError
from fuw.engine.keypoints import write_openpose_json

# Sharma, Wu, Dalal: "The CIEDE2000 color-difference formula" (2005), table 1.
KNOWN = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize("a, b, wanted", KNOWN)
def test_colour_difference_is_ciede2000(a: Any, b: Any, wanted: float) -> None:
    one, other = np.array([a]), np.array([b])
    assert ciede2000(one, other)[0] == pytest.approx(wanted, abs=1e-4)
    assert ciede2000(other, one)[0] == pytest.approx(wanted, abs=1e-4)


def test_colour_difference_looks_only_where_it_is_told() -> None:
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[:2] = 255
    upper = np.zeros((4, 4), bool)
    upper[:2] = True
    assert colour_difference(a, b, upper) == pytest.approx(100, abs=0.1)
    assert colour_difference(a, b, ~upper) == 0
    assert np.isnan(colour_difference(a, b, np.zeros((4, 4), bool)))


def test_likeness_is_one_for_equals_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (64, 48, 3)).astype(np.uint8)
    faint = np.clip(a + rng.normal(0, 10, a.shape), 0, 255).astype(np.uint8)
    strong = np.clip(a + rng.normal(0, 60, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, a) == pytest.approx(1)
    assert 1 > ssim(a, faint) > ssim(a, strong) > ssim(a, 255 - a)


def test_overlap_sums_over_pictures() -> None:
    overlap = Overlap(3)
    overlap.add(np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8))
    overlap.add(np.array([[0, 0]], np.uint8), np.array([[0, 1]], np.uint8))
    assert overlap.iou()[:2] == [2 / 3, 1 / 2]
    assert np.isnan(overlap.iou()[2]) and overlap.mean() == pytest.approx(7 / 12)
    with pytest.raises(ValueError, match="cannot be compared"):
        overlap.add(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8))


def test_an_id_that_only_an_answer_has_counts_in_the_strict_mean_alone() -> None:
    overlap = Overlap(3)
    overlap.add(np.array([[0, 1, 2]], np.uint8), np.array([[0, 1, 1]], np.uint8))
    assert overlap.mean() == pytest.approx((1 + 0.5 + 0) / 3)
    assert overlap.mean_of_true() == pytest.approx((1 + 0.5) / 2)


def test_masks_are_cut_at_128() -> None:
    found = np.array([[127, 128, 255, 0]], np.uint8)
    truth = np.array([[255, 255, 255, 0]], np.uint8)
    assert mask_iou(found, truth) == pytest.approx(2 / 3)
    assert mask_iou(found * 0, truth * 0) == 1


def test_joints_count_within_a_tenth_of_the_torso() -> None:
    truth = np.zeros((25, 3), np.float32)
    truth[1], truth[8], truth[0] = (50, 100, 1), (50, 200, 1), (50, 60, 1)
    found = truth.copy()
    found[0, 0] += 9
    found[8, 1] += 11
    found[5] = (10, 10, 1)  # not in the truth: neither right nor wrong
    assert key_points_right(found, truth) == (2, 3)
    assert key_points_right(None, truth) == (0, 3)
    truth[8, 2] = 0
    assert key_points_right(found, truth) == (0, 0)


def made_up_data(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A data folder with one sample of each kind; returns the parse and the key points."""
    photo = np.full((64, 48, 3), 200, np.uint8)
    parse = np.zeros((64, 48), np.uint8)
    parse[4:10, 18:30], parse[10:20, 20:28], parse[20:44, 14:34], parse[44:, 16:32] = 2, 13, 5, 9
    for name in ("street", "people/one", "cloth"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(photo).save(folder / "street" / "0001.jpg")
    names = ["null", "hair", "skin", "coat", "jeans", "bag"]
    ids = np.zeros(256, np.uint8)
    ids[[2, 13, 5, 9]] = [1, 2, 3, 4]
    Image.fromarray(ids[parse]).save(folder / "street" / "0001.png")
    groups = {"background": ["null"], "hair": ["hair"], "skin": ["skin"], "upper": ["coat"],
              "lower": ["jeans"], "other": ["bag"]}
    (folder / "street" / "labels.json").write_text(
        json.dumps({"labels": names, "coarse_groups": groups}))
    Image.fromarray(photo).save(folder / "people" / "one" / "image.jpg")
    Image.fromarray(parse).save(folder / "people" / "one" / "image-parse.png")
    body = np.zeros((25, 3), np.float32)
    body[1], body[8], body[2] = (24, 20, 1), (24, 44, 1), (14, 20, 1)
    write_openpose_json(folder / "people" / "one" / "openpose.json", body)
    Image.fromarray(photo).save(folder / "cloth" / "01_00.jpg")
    Image.fromarray((parse == 5).astype(np.uint8) * 255).save(
        folder / "cloth" / "01_00_mask.jpg", quality=100)
    return parse, body


def test_every_folder_is_scored_by_its_own_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, body = made_up_data(tmp_path)
    bald = parse.copy()
    bald[parse == 2] = 13  # all hair taken for face
    monkeypatch.setattr(quality, "parse", lambda fitter, photo: bald)
    moved = body.copy()
    moved[2, 0] += 5
    monkeypatch.setattr(quality, "body", lambda fitter, photo: moved)
    monkeypatch.setattr(quality.pipeline, "prepare_garment",
                        lambda *a: (parse == 5).astype(np.uint8) * 200)
    fitter: Any = SimpleNamespace(nets=None, ops=None)
    report = quality.measure(fitter, tmp_path, None, 0)
    found = report.figures
    assert found["street_miou"] == found["people_miou"] == pytest.approx(
        np.mean([1, 0, 80 / 152, 1, 1]), abs=1e-4)
    assert found["people_pck"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["cloth_iou"] > 0.95
    assert report.samples["street_miou"] == 1


def test_nothing_to_measure_is_an_error(tmp_path: Path) -> None:
    fitter: Any = SimpleNamespace(nets=None, ops=None)
    with pytest.raises(FuwError, match="nothing to measure"):
        quality.measure(fitter, tmp_path, None, 0)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(FuwError, match="x.jpg"):
        quality.read(tmp_path / "x.jpg")


def test_the_bench_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, fuw.bench.quality; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
