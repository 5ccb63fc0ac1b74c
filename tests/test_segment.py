"""In front of and behind the segmentation generator, against the official tensors."""

import numpy as np
import pytest
from golden_files import compare, golden
from made_up import read_png
from PIL import Image

from fuw.kernels.cpu.parse import group7
from fuw.kernels.cpu.segment import (
    blurred_taps,
    garment,
    gaussian,
    seg_input,
    seg_labels,
    seg_noise,
)

PAIRS = ("00891_00__01430_00", "08909_00__02783_00")


def test_noise_is_a_seeded_coin() -> None:
    noise = seg_noise(3)
    assert noise.shape == (1, 1, 256, 192) and noise.dtype == np.float32
    assert set(np.unique(noise)) == {0, 1}
    assert 0.15 < noise.mean() < 0.17
    np.testing.assert_array_equal(noise, seg_noise(3))
    assert (noise != seg_noise(4)).any()


@pytest.mark.golden
@pytest.mark.parametrize("pair", PAIRS)
def test_official_input(pair: str) -> None:
    stage, person = golden(f"pipeline/{pair}"), golden(f"preprocess/{pair.split('__')[0]}")
    mask = np.asarray(Image.open(stage / "cloth-mask.jpg").convert("L")) >= 128
    cloth = np.asarray(Image.open(stage / "cloth.jpg").convert("RGB"))
    skeleton = np.asarray(Image.open(person / "openpose-img.png").convert("RGB"))
    parse13 = read_png(person / "parse-agnostic-13.png")
    x = seg_input(mask, cloth, parse13, skeleton, np.zeros((1, 1, 256, 192), np.float32))
    assert x.shape == (1, 21, 256, 192) and x.dtype == np.float32
    wanted = np.load(stage / "arrays.npz")["seg_input_s4"]
    np.testing.assert_allclose(x[:, :, ::4, ::4], wanted, atol=2e-6)


def test_input_is_the_mean_of_the_middle_of_each_cell() -> None:
    rng = np.random.default_rng(0)
    cloth, skeleton = rng.integers(0, 256, (2, 32, 24, 3), dtype=np.uint8)
    parse13 = rng.integers(0, 13, (32, 24), dtype=np.uint8)
    mask = rng.random((32, 24)) < 0.5
    noise = seg_noise(0, 8, 6)
    x = seg_input(mask, cloth, parse13, skeleton, noise)[0]

    def middle(plane: np.ndarray) -> np.ndarray:
        return plane.reshape(8, 4, 6, 4)[:, 1:3, :, 1:3].mean((1, 3))

    np.testing.assert_allclose(x[0], middle(mask.astype(float)), atol=1e-6)
    for c in range(3):
        np.testing.assert_allclose(x[1 + c], middle((cloth[:, :, c] / 127.5 - 1) * mask), atol=1e-6)
        np.testing.assert_allclose(x[17 + c], middle(skeleton[:, :, c] / 127.5 - 1), atol=1e-6)
    for k in range(13):
        np.testing.assert_allclose(x[4 + k], middle((parse13 == k).astype(float)), atol=1e-6)
    np.testing.assert_array_equal(x[20], noise[0, 0])


def test_same_size_input_is_untouched() -> None:
    parse13 = np.full((5, 7), 12, np.uint8)
    black = np.zeros((5, 7, 3), np.uint8)
    x = seg_input(np.ones((5, 7), bool), black, parse13, black, seg_noise(0, 5, 7))
    np.testing.assert_array_equal(x[0, 4 + 12], 1)
    np.testing.assert_allclose(x[0, 1:4], -1)


def test_mask_is_cut_at_128() -> None:
    levels = np.array([[0, 127, 128, 255]], np.uint8)
    assert garment(levels).tolist() == [[0, 0, 1, 1]]
    assert garment(levels >= 128).tolist() == [[0, 0, 1, 1]]
    assert garment(levels // 128).tolist() == [[0, 0, 1, 1]]
    with pytest.raises(ValueError, match="0..255 or bool"):
        garment(levels.astype(np.float32))


def test_zero_padding_darkens_a_corner() -> None:
    corner = float(blurred_taps(64, 16)[0].sum() * blurred_taps(48, 12)[0].sum())
    assert corner == pytest.approx(gaussian()[7:].sum() ** 2, abs=1e-6)
    assert corner == pytest.approx(0.32, abs=0.01)
    np.testing.assert_allclose(blurred_taps(64, 16)[7:-7].sum(1), 1, atol=1e-6)


def test_labels_against_the_plain_way() -> None:
    """Enlarge, pad, convolve and arg max, one after another, at an odd size."""
    rng = np.random.default_rng(1)
    probabilities = rng.random((1, 13, 10, 7)).astype(np.float32)
    height, width = 41, 29
    at = [np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
          for n, m in ((height, 10), (width, 7))]
    planes = []
    for plane in probabilities[0].astype(np.float64):
        wide = np.stack([np.interp(at[1], np.arange(7), row) for row in plane])
        full = np.stack([np.interp(at[0], np.arange(10), column) for column in wide.T], 1)
        padded = np.pad(full, 7)
        kernel = np.outer(gaussian(), gaussian())
        planes.append(sum(kernel[i, j] * padded[i : i + height, j : j + width]
                          for i in range(15) for j in range(15)))
    plain = np.stack(planes)
    sure = np.diff(np.sort(plain, 0)[-2:], axis=0)[0] > 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(seg_labels(probabilities, height, width)[sure],
                                  plain.argmax(0)[sure])


@pytest.mark.golden
@pytest.mark.parametrize("pair", PAIRS)
def test_official_blur(pair: str) -> None:
    """The output is stored at every second pixel only, so the blur is held where that suffices:
    the stored pixels are a coarse input of their own, and the official blur is a linear map."""
    stage = golden(f"pipeline/{pair}")
    np.testing.assert_array_equal(group7(read_png(stage / "pred-labels-13.png")),
                                  read_png(stage / "pred-parse-7.png"))
    arrays = np.load(stage / "arrays.npz")
    coarse = arrays["seg_out_s2"][0]
    # A corner of 12 pixels reaches 3 + 2 input pixels, of which every second one is stored; what is
    # between them is bounded, so the stored corner must lie inside what those bounds allow.
    rows, columns = blurred_taps(1024, 256)[:12], blurred_taps(768, 192)[:12]
    known = np.zeros((13, 256, 192), np.float32)
    known[:, ::2, ::2] = coarse
    weight = np.zeros((256, 192), np.float32)
    weight[::2, ::2] = 1
    low = rows @ known @ columns.T
    room = rows @ (1 - weight) @ columns.T
    corner = arrays["seg_blur_corner"][0]
    assert (corner >= low - 1e-5).all() and (corner <= low + room + 1e-5).all()
    assert compare.rel_l2(arrays["seg_blur_s16"][0, :, 0, 0], corner[:, 0, 0]) < 1e-6
