"""Pre-processing of the pose networks against the official recipes (golden/pose)."""

import numpy as np
import pytest
from golden_files import golden, inputs

from fuw.kernels.cpu.fit_pose import densepose_input, densepose_size, hand_input, openpose_input


def photo(name, height, width, seed=0):
    """A made-up photo; goldens are BGR, ours is RGB."""
    raw = inputs.image(f"{name}{height}x{width}", (3, height, width), seed)
    bgr = np.clip(np.rint(127.5 * raw + 127.5), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def levels(x):
    """Undo x / 256 - 0.5: (3, h, w) planes as u8 HWC."""
    return np.rint((x + 0.5) * 256).astype(np.int64).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def z():
    with np.load(golden("pose/openpose.npz")) as archive:
        return dict(archive)


def test_openpose_input_golden(z):
    image = photo("pose/photo/", 1024, 768)
    assert (image[:4, :4, ::-1] == z["pre/image_head"]).all()
    x, scale = openpose_input(image)
    assert x.shape == (1, 3, 368, 272) and x.dtype == np.float32
    difference = np.abs(levels(x[0]) - z["pre/u8"])
    assert difference.max() <= 4 and difference.mean() <= 0.6
    assert scale == pytest.approx(float(z["decode/scale_net_to_output"]), rel=1e-6)
    stride = z["pre/float_strided"].shape
    cut = x[0][:, :: 368 // stride[1], :: 272 // stride[2]]
    assert np.abs(cut - z["pre/float_strided"]).max() <= 4 / 256
    assert (x[0, :, 363:] == -0.5).all()  # below the photo


@pytest.mark.parametrize("height, width, shape", [
    (720, 1280, (368, 656)), (300, 2000, (368, 656)), (90, 60, (368, 240)), (2000, 300, (368, 48)),
])  # fmt: skip
def test_openpose_input_sizes(height, width, shape):
    x, scale = openpose_input(photo("size/", height, width))
    assert x.shape == (1, 3, *shape)
    used = min((shape[1] - 1) / (width - 1), (shape[0] - 1) / (height - 1))
    assert scale == pytest.approx(1 / used, rel=0.02)


@pytest.mark.parametrize("side, index", [("left", 0), ("right", 1)])
def test_hand_input_golden(z, side, index):
    boxes = np.stack([z["hand/left/box"], z["hand/right/box"]])
    x = hand_input(photo("pose/photo/", 1024, 768), boxes)
    assert x.shape == (2, 3, 368, 368) and x.dtype == np.float32
    difference = np.abs(levels(x[index])[::2, ::2] - z[f"hand/{side}/crop_u8"])
    assert difference.max() <= 4 and difference.mean() <= 0.6


def test_hand_input_of_a_missing_hand_is_black():
    boxes = np.array([[0, 0, 0, 0], [-50, -50, 90, 90]], np.float32)
    x = hand_input(np.full((64, 64, 3), 200, np.uint8), boxes, 96)
    assert (x[0] == -0.5).all()
    assert (x[1, :, :50, :50] == -0.5).all() and (x[1, :, 60:, 60:] > 0.2).all()


@pytest.mark.parametrize("size", [(1024, 768), (500, 1200), (640, 480)])
def test_densepose_input_golden(size):
    with np.load(golden("pose/densepose.npz")) as archive:
        z = {k: archive[k] for k in archive.files if k.startswith(f"pre_{size[0]}x{size[1]}")}
    case = f"pre_{size[0]}x{size[1]}"
    x, scale = densepose_input(photo("densepose/pre/", *size))
    h, w = (int(v) for v in z[f"{case}/resized_shape"][:2])
    assert densepose_size(*size) == (h, w)
    assert x.shape[2] % 32 == 0 and x.shape[3] % 32 == 0
    assert (x[0, :, h:] == 0).all() and (x[0, :, :, w:] == 0).all()
    bgr = x[0, :, :h, :w].transpose(1, 2, 0) + np.array([103.53, 116.28, 123.675], np.float32)
    stored = z[f"{case}/strided"]
    step = -(-h // stored.shape[0])
    assert (np.rint(bgr[::step, ::step]) == stored).all()
    assert scale == pytest.approx([w / size[1], h / size[0]] * 2)
