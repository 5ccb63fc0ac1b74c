"""Masks from the outputs of U2Net and TRACER."""

import numpy as np
import pytest
from segmentation_case import arrays, seg_inputs

from fuw.engine.arrays import F32
from fuw.kernels.cpu.mask import binary_mask, tracer_mask, u2net_mask

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
