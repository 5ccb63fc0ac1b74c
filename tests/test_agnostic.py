"""The agnostic maps equal the official code's, pixel for pixel."""

from pathlib import Path

import numpy as np
import pytest
from golden_files import golden, inputs
from made_up import read_body, read_png, standing
from PIL import Image

from fuw.kernels.cpu.agnostic import (
    Shape,
    arm_shapes,
    body_shapes,
    draw_mask,
    image_agnostic,
    parse_agnostic,
    spread_hips,
)
from fuw.kernels.cpu.parse import group13
from fuw.kernels.cpu.spans import spans

PERSONS = ("00891_00", "03615_00", "08909_00", "10549_00")


@pytest.fixture(scope="module")
def synthetic_photo() -> np.ndarray:
    x = inputs.image("syn/photo", (3, 1024, 768), 91)
    return np.rint(127.5 * x + 127.5).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize("case", range(6))
def test_synthetic_people(case: int, synthetic_photo: np.ndarray) -> None:
    folder = golden("preprocess_synthetic")
    body = read_body(folder / f"{case}-keypoints.json")
    parse = read_png(folder / f"{case}-parse.png")
    kept = body.copy()
    agnostic = parse_agnostic(parse, body)
    np.testing.assert_array_equal(agnostic, read_png(folder / f"{case}-parse-agnostic.png"))
    groups = read_png(folder / f"{case}-parse-agnostic-13.png")
    np.testing.assert_array_equal(group13(agnostic), groups)
    picture = image_agnostic(synthetic_photo, parse, body)
    grey = (picture == 128).all(-1)
    np.testing.assert_array_equal(grey, read_png(folder / f"{case}-grey.png") == 255)
    np.testing.assert_array_equal(picture[~grey], synthetic_photo[~grey])
    np.testing.assert_array_equal(body, kept)


@pytest.mark.golden
@pytest.mark.parametrize("person", PERSONS)
def test_real_people(person: str) -> None:
    folder: Path = golden(f"preprocess/{person}")
    body, parse = read_body(folder / "openpose.json"), read_png(folder / "image-parse.png")
    photo = np.asarray(Image.open(folder / "image.jpg").convert("RGB"))
    agnostic = parse_agnostic(parse, body)
    np.testing.assert_array_equal(agnostic, read_png(folder / "parse-agnostic.png"))
    np.testing.assert_array_equal(group13(agnostic), read_png(folder / "parse-agnostic-13.png"))
    picture = image_agnostic(photo, parse, body)
    np.testing.assert_array_equal(picture, read_png(folder / "img-agnostic.png"))


def test_equal_hips_have_a_guard() -> None:
    body = standing()
    body[[9, 12]] = 0
    joints = spread_hips(body)
    assert np.isfinite(joints).all()
    shoulders = joints[5] - joints[2]
    np.testing.assert_allclose(joints[12] - joints[9], shoulders)
    assert joints[9, 1] > joints[2, 1] + np.linalg.norm(shoulders)
    body[[9, 12], :2] = 400, 600  # seen, but one point
    np.testing.assert_allclose(spread_hips(body)[[9, 12]].mean(0), (400, 600))


def test_nobody_is_still_a_picture() -> None:
    parse = np.full((64, 48), 15, np.uint8)
    body = np.zeros((25, 3), np.float32)
    np.testing.assert_array_equal(parse_agnostic(parse, body, 1 / 16), parse)
    assert image_agnostic(np.zeros((64, 48, 3), np.uint8), parse, body, 1 / 16).shape == (64, 48, 3)


def test_scale_draws_the_same_figure_smaller() -> None:
    large = draw_mask(body_shapes(standing()), 1024, 768)
    small = draw_mask(body_shapes(standing(256, 192), 0.25), 256, 192)
    assert (large[2::4, 2::4] != small).mean() < 0.01


def _filled(table: np.ndarray, width: int) -> np.ndarray:
    columns = np.arange(width)
    return ((columns >= table[..., :1]) & (columns <= table[..., 1:])).any(0)


@pytest.mark.parametrize("case", range(6))
def test_spans_are_what_pillow_draws(case: int) -> None:
    body = read_body(golden("preprocess_synthetic") / f"{case}-keypoints.json")
    for shapes in (arm_shapes(body, 14), arm_shapes(body, 15), body_shapes(body)):
        drawn = draw_mask(shapes, 1024, 768) != 0
        np.testing.assert_array_equal(_filled(spans(shapes, 1024, 768), 768), drawn)


def test_spans_of_any_shape() -> None:
    """Bow ties, notches, slivers, off the picture: at most single pixels at a corner differ."""
    rng = np.random.default_rng(1)
    unequal = total = 0
    for _ in range(400):
        height, width = (int(v) for v in rng.integers(1, 80, 2))
        points = rng.uniform(-30, 100, (4, 2))
        kind = str(rng.choice(["line", "ellipse", "polygon", "box"]))
        if kind in ("ellipse", "box"):
            points = np.sort(points[:2], 0)
        corners = tuple((float(x), float(y)) for x, y in points[: 2 if kind == "line" else 4])
        shapes = [Shape(kind, corners, int(rng.integers(2, 40)))]  # type: ignore[arg-type]
        drawn = draw_mask(shapes, height, width) != 0
        unequal += int((_filled(spans(shapes, height, width), width) != drawn).sum())
        total += drawn.size
    assert unequal / total < 2e-4
