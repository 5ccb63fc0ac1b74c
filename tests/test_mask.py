"""Masks from the outputs of U2Net and TRACER, and their cleaning."""

import numpy as np
import pytest
from segmentation_case import arrays, seg_inputs

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.mask import binary_mask, clean_mask, tracer_mask, u2net_mask

SIZES = [(1024, 768), (320, 211)]


def _probabilities(size: int) -> F32:
    """The map that the goldens were made from (README, "prepost")."""
    soft = seg_inputs().synth_mask(size, size, 0) / 255 * 0.7 + 0.1
    return soft.astype(np.float32)[None, None]  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [320, 640])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_u2net_mask_is_carvekits(h: int, w: int, size: int) -> None:
    want = arrays("prepost")[f"u2net_post.{h}x{w}.{size}.mask_u8"]
    np.testing.assert_array_equal(u2net_mask(_probabilities(size), h, w), want)


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_tracer_mask_is_carvekits(h: int, w: int) -> None:
    want = arrays("prepost")[f"tracer_post.{h}x{w}.mask_u8"]
    np.testing.assert_array_equal(tracer_mask(_probabilities(640), h, w), want)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_map_is_not_stretched(value: float) -> None:
    mask = u2net_mask(np.full((1, 1, 32, 32), value, np.float32), 40, 30)
    assert (mask == int(value * 255)).all() and mask.shape == (40, 30)


def test_binary_mask_splits_at_128() -> None:
    mask = np.uint8([[0, 127, 128, 255]])
    assert binary_mask(mask).tolist() == [[0, 0, 1, 1]] and binary_mask(mask).dtype == np.uint8


def _disc(shape: tuple[int, int], y: int, x: int, radius: int) -> U8:
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(yy - y, xx - x)
    return np.clip((radius + 2 - distance) * 64, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]


def test_clean_mask_keeps_the_largest_piece_and_its_edge() -> None:
    garment, tag = _disc((120, 90), 60, 40, 25), _disc((120, 90), 10, 80, 6)
    np.testing.assert_array_equal(clean_mask(np.maximum(garment, tag)), garment)


def test_clean_mask_fills_pinholes_and_leaves_real_holes() -> None:
    mask = np.zeros((200, 150), np.uint8)
    mask[20:180, 20:130] = 255
    mask[50:53, 50:53] = 90  # 9 pixels, below 0.05 % of 30,000
    mask[100:130, 60:90] = 0
    cleaned = clean_mask(mask)
    assert (cleaned[50:53, 50:53] == 255).all()
    assert (cleaned[105:125, 65:85] == 0).all() and (cleaned[:15] == 0).all()


def test_clean_mask_leaves_gaps_at_the_border() -> None:
    mask = np.full((200, 150), 255, np.uint8)
    mask[0:2, 70:73] = 0
    np.testing.assert_array_equal(clean_mask(mask), mask)


@pytest.mark.parametrize("value", [0, 100, 255])
def test_clean_mask_of_a_constant_mask(value: int) -> None:
    mask = np.full((30, 20), value, np.uint8)
    np.testing.assert_array_equal(clean_mask(mask), mask)
    assert clean_mask(mask) is not mask
