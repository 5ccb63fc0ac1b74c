"""Misalignment, divided labels, the generator's input and the last 8 bits."""

import numpy as np
import pytest
from golden_files import golden
from made_up import read_png
from PIL import Image

from fuw.kernels.cpu import compose
from fuw.kernels.cpu.parse import one_hot
from fuw.kernels.cpu.warp import warp_garment

PAIRS = ("00891_00__01430_00", "08909_00__02783_00")


def test_misalignment_is_fractional_and_never_negative() -> None:
    upper = np.array([1, 1, 0, 1], np.float32).reshape(1, 1, 2, 2)
    warped = np.array([0.25, 1, 0.5, 0], np.float32).reshape(1, 1, 2, 2)
    kept = upper.copy()
    np.testing.assert_array_equal(compose.misalignment(upper, warped).ravel(), [0.75, 0, 0, 1])
    np.testing.assert_array_equal(upper, kept)
    seg7 = np.full((1, 7, 2, 2), 9, np.float32)
    seg7[:, 2:3] = upper
    np.testing.assert_array_equal(compose.misalignment(seg7, warped),
                                  compose.misalignment(upper, warped))


def test_divided_labels_still_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    seg7 = one_hot(rng.integers(0, 7, (9, 5), dtype=np.uint8), 7)
    misalign = seg7[:, 2:3] * rng.random((1, 1, 9, 5), np.float32)
    divided = compose.split_seg(seg7, misalign)
    assert divided.shape == (1, 8, 9, 5)
    np.testing.assert_array_equal(divided[:, [0, 1, 3, 4, 5, 6]], seg7[:, [0, 1, 3, 4, 5, 6]])
    np.testing.assert_allclose(divided[:, 2:3], seg7[:, 2:3] - misalign)
    np.testing.assert_allclose(divided.sum(1), 1, atol=1e-6)


def test_to_image_truncates_and_clamps() -> None:
    levels = np.array([-3.0, -1.0, 0.0, 0.999, 1.0, 7.0], np.float32)
    x = np.broadcast_to(levels, (1, 3, 2, 6)).copy()
    x[0, 1] = -1
    picture = compose.to_image(x)
    assert picture.shape == (2, 6, 3) and picture.dtype == np.uint8
    assert picture[0, :, 0].tolist() == [0, 0, 127, 254, 255, 255]
    assert not picture[:, :, 1].any()


def test_alias_input_order() -> None:
    white, black = np.full((4, 6, 3), 255, np.uint8), np.zeros((4, 6, 3), np.uint8)
    warped = np.full((1, 3, 4, 6), 0.5, np.float32)
    x = compose.alias_input(white, black, warped)
    assert x.shape == (1, 9, 4, 6)
    np.testing.assert_array_equal(x.mean((0, 2, 3)), [1, 1, 1, -1, -1, -1, .5, .5, .5])


@pytest.mark.golden
@pytest.mark.parametrize("variant", ["pred", "real"])
@pytest.mark.parametrize("pair", PAIRS)
def test_official_composition(pair: str, variant: str) -> None:
    stage = golden(f"pipeline/{pair}")
    arrays = np.load(stage / "arrays.npz")
    cloth = np.asarray(Image.open(stage / "cloth.jpg").convert("RGB"))
    mask = np.asarray(Image.open(stage / "cloth-mask.jpg").convert("L")) >= 128
    W_c, W_m = warp_garment(cloth, mask, arrays[f"{variant}/theta"], 1024, 768)
    seg7 = one_hot(read_png(stage / f"{variant}-parse-7.png"), 7)
    misalign = compose.misalignment(seg7[:, 2:3], W_m)
    wanted = arrays[f"{variant}/misalign_s8"]
    # The official grid is good to 1e-5 in units of half a picture, 512 pixels: 5e-3 at an edge.
    assert np.abs(misalign[:, :, ::8, ::8] - wanted).max() < 5e-3
    stored = read_png(stage / f"{variant}-misalign.png").astype(int)
    assert np.abs(np.rint(255 * misalign[0, 0]).astype(int) - stored).max() <= 1
    picture = compose.to_image(W_c).astype(int)
    assert np.abs(picture - read_png(stage / f"{variant}-warped-cloth.png").astype(int)).max() <= 1
    final = compose.to_image(arrays[f"{variant}/out_crop448_320"])
    official = read_png(stage / f"{variant}-final.png")[448:576, 320:448]
    np.testing.assert_array_equal(final, official)
