"""DensePose after the network: I, U, V in the picture, the person's box, front or back."""

import math
import time

import numpy as np
import pytest
from golden_files import golden, inputs

from fuw.engine import densepose
from fuw.engine.palettes import colour_iuv
from fuw.kernels.cpu.iuv import box_pixels, compose_iuv, sample_iuv


@pytest.fixture(scope="module")
def z():
    with np.load(golden("pose/densepose.npz")) as archive:
        return {k: archive[k] for k in archive.files if k.startswith("compose/")}


def maps(tag="compose", size=112):
    out = []
    for name, channels in (("coarse", 2), ("fine", 25), ("u", 25), ("v", 25)):
        field = inputs.smooth_field(f"densepose/{tag}/{name}", (1, channels, size, size),
                                    4 if name == "coarse" else 5)
        out.append((field if channels == 2 or name == "fine" else 0.5 + 0.25 * field
                    ).astype(np.float32))
    return out


def test_labels_and_uv_golden(z):
    x, y, w, h = box_pixels(z["compose/box"])
    assert (h, w) == z["compose/labels"].shape
    labels, uv = sample_iuv(*maps(), h, w)
    same = labels == z["compose/labels"]
    assert (~same).mean() <= 0.001
    both = same[::2, ::2]
    assert np.abs(uv[:, ::2, ::2] - z["compose/uv"])[:, both].max() <= 1e-5


def test_picture_golden(z):
    height, width = (int(v) for v in z["compose/image_hw"])
    iuv = compose_iuv(*maps(), z["compose/box"], height, width)
    assert iuv.shape == (height, width, 3) and iuv.dtype == np.uint8
    x, y, w, h = box_pixels(z["compose/box"])
    patch = iuv[y : y + h, x : x + w].transpose(2, 0, 1)
    difference = np.abs(patch.astype(int) - z["compose/quantized_iuv"])
    assert (difference > 0).any(0).mean() <= 0.001
    outside = iuv.copy()
    outside[y : y + h, x : x + w] = 0
    assert not outside.any()


def test_label_picture_golden(z):
    expected = z["compose/dp_segm_black_alpha1"][:, :, ::-1]
    iuv = compose_iuv(*maps(), z["compose/box"], *expected.shape[:2])
    assert (colour_iuv(iuv) != expected).any(2).mean() <= 0.001


@pytest.mark.parametrize("box", [
    (-20.5, -10.2, 60.9, 70.1), (30.0, 40.0, 140.0, 160.0), (10.0, 10.0, 10.2, 10.3),
    (-60.0, 5.0, -20.0, 40.0), (200.0, 5.0, 240.0, 40.0),
])  # fmt: skip
def test_box_beside_the_picture_is_cut(box):
    """The same patch painted onto a larger canvas and cropped."""
    tensors = maps(size=28)
    iuv = compose_iuv(*tensors, np.array(box, np.float32), 96, 80)
    x, y, w, h = box_pixels(np.array(box, np.float32))
    shifted = np.array([x + 100, y + 100, x + 100 + w, y + 100 + h], np.float32)
    canvas = compose_iuv(*tensors, shifted, 400, 400)
    assert (iuv == canvas[100:196, 100:180]).all()


def test_labels_where_the_person_is():
    coarse, fine, u, v = (np.zeros((1, c, 8, 8), np.float32) for c in (2, 25, 25, 25))
    coarse[:, 1, :, 4:] = 1
    fine[:, 7], u[:, 7], v[:, 7] = 1, 2.0, -3.0  # beyond 0..1: clamped
    u[:, 0] = v[:, 0] = 0.5
    iuv = compose_iuv(coarse, fine, u, v, np.array([0, 0, 8, 8], np.float32), 8, 8)
    assert (iuv[:, :4] == 0).all()
    assert (iuv[:, 4:] == (7, 255, 0)).all()


def test_composing_is_fast():
    tensors, box = maps(), np.array([100, 20, 700, 1000], np.float32)
    compose_iuv(*tensors, box, 1024, 768)
    start = time.process_time()
    compose_iuv(*tensors, box, 1024, 768)
    assert time.process_time() - start < 0.5  # 0.1 s on a quiet core


def standing():
    """A person from head to feet, arms down, in a 768 x 1024 picture."""
    body = np.zeros((25, 3), np.float32)
    rows = {0: (380, 160), 1: (380, 260), 2: (310, 260), 3: (300, 380), 4: (290, 480),
            5: (450, 260), 6: (460, 380), 7: (470, 480), 8: (380, 500), 9: (340, 500),
            10: (340, 680), 11: (340, 850), 12: (420, 500), 13: (420, 680), 14: (420, 850)}
    for part, point in rows.items():
        body[part] = *point, 0.9
    return body


def test_person_box_holds_head_hands_and_feet():
    x0, y0, x1, y1 = densepose.person_box(standing(), 1024, 768)
    assert 0 < y0 < 60  # the crown is about a head above the nose
    assert 150 < x0 < 283 and 477 < x1 < 620  # finger tips within
    assert 892 < y1 < 1000  # soles within


def test_person_box_of_half_a_person_reaches_the_edge():
    body = standing()
    body[[10, 11, 13, 14]] = 0
    body[3, :2] = 20, 380
    body[4, :2] = -40, 420
    box = densepose.person_box(body, 640, 768)
    assert box[3] == 640 and box[0] == 0 and box.dtype == np.float32


@pytest.mark.parametrize("body", [
    np.zeros((25, 3), np.float32),
    np.full((25, 3), np.nan, np.float32),
    np.full((25, 3), 5000, np.float32),
])  # fmt: skip
def test_person_box_without_a_person_is_the_picture(body):
    assert densepose.person_box(body, 64, 48).tolist() == [0, 0, 48, 64]


def test_frontal_share():
    iuv = np.zeros((10, 10, 3), np.uint8)
    assert math.isnan(densepose.frontal_share(iuv))
    iuv[:5, :, 0] = densepose.TORSO_FRONT
    assert densepose.frontal_share(iuv) == 1
    iuv[:, :, 0][iuv[:, :, 0] == 0] = densepose.TORSO_BACK
    assert densepose.frontal_share(iuv) == 0.5
