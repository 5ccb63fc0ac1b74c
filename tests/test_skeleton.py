"""The skeleton picture against OpenPose's GPU drawing and published VITON-HD pictures."""

import numpy as np
import pytest
from golden_files import golden
from made_up import standing
from PIL import Image

from fuw.engine.keypoints import read_openpose_json
from fuw.kernels.cpu.skeleton import BODY, HAND, draw_skeleton


def share_of_painted(actual, expected):
    """Share of the painted pixels that differ."""
    painted = (actual > 0).any(2) | (expected > 0).any(2)
    return (actual != expected).any(2).sum() / painted.sum()


def test_gpu_look_golden():
    with np.load(golden("pose/openpose.npz")) as z:
        picture = draw_skeleton(z["render/body"], z["render/hands"], 1024, 768)
        expected = z["render/gpu_bgr"][:, :, ::-1]
    assert picture.shape == (1024, 768, 3) and picture.dtype == np.uint8
    assert share_of_painted(picture, expected) <= 0.0005


@pytest.mark.golden
@pytest.mark.parametrize("name", ["00891_00", "03615_00", "08909_00", "10549_00"])
def test_published_picture(name):
    body, hands = read_openpose_json(golden(f"preprocess/{name}/openpose.json"))
    with Image.open(golden(f"preprocess/{name}/openpose-img.png")) as image:
        expected = np.asarray(image.convert("RGB"))
    picture = draw_skeleton(body, hands, *expected.shape[:2])
    assert share_of_painted(picture, expected) <= 0.0005


def by_the_rule(body, hands, height, width):
    """Every pixel and every stroke, in float64."""
    frame = np.zeros((height, width, 3))
    y, x = np.mgrid[:height, :width].astype(float)
    for points, figure in [(body, BODY), *((hand, HAND) for hand in hands)]:
        seen = points[:, 2] > figure.threshold
        if not seen.any():
            continue
        low, high = points[seen, :2].min(0), points[seen, :2].max(0)
        near = ((x >= low[0] - 50) & (x <= high[0] + 50) & (y >= low[1] - 50)
                & (y <= high[1] + 50))
        size = np.clip((high - low).sum() / 400, 0.33, 1) * min(height, width)
        for a, b in figure.limbs:
            if seen[a] and seen[b]:
                (ax, ay), (bx, by) = points[a, :2], points[b, :2]
                angle = np.arctan2(by - ay, bx - ax)
                mx, my = x - (ax + bx) / 2, y - (ay + by) / 2
                along = np.cos(angle) * mx + np.sin(angle) * my
                beside = np.sin(angle) * mx - np.cos(angle) * my
                length2 = ((bx - ax) ** 2 + (by - ay) ** 2) / 4
                inside = along**2 / length2 + beside**2 / (size / figure.half_width) ** 2 <= 1
                frame[near & inside] = 0.4 * frame[near & inside] + 0.6 * np.array(
                    figure.colours[b])
        for i in np.flatnonzero(seen):
            px, py = points[i, :2]
            inside = (x - px) ** 2 + (y - py) ** 2 <= (size / figure.radius) ** 2
            frame[near & inside] = 0.4 * frame[near & inside] + 0.6 * np.array(figure.colours[i])
    return frame


@pytest.mark.parametrize("seed, size", [(0, (300, 200)), (1, (151, 230)), (2, (64, 48))])
def test_boxes_leave_no_pixel_out(seed, size):
    rng = np.random.default_rng(seed)
    spread = (size[1] * 1.6, size[0] * 1.6, 1.2)  # some points lie outside the picture
    shift = (size[1] * 0.3, size[0] * 0.3, 0.2)
    body = (rng.random((25, 3)) * spread - shift).astype(np.float32)
    hands = (rng.random((2, 21, 3)) * spread - shift).astype(np.float32)
    picture, expected = draw_skeleton(body, hands, *size), by_the_rule(body, hands, *size)
    wrong = (np.abs(picture - expected) > 1.01).any(2)
    assert (expected > 0).any() and wrong.mean() <= 0.0005


def test_unseen_and_unusable_points_are_not_drawn():
    body = np.zeros((25, 3), np.float32)
    hands = np.full((2, 21, 3), 30.0, np.float32)
    hands[..., 2] = 0.2  # not above the threshold
    assert not draw_skeleton(body, hands, 64, 48).any()
    body[1] = np.nan, 20, 0.9
    body[2] = 20, 30, np.nan
    assert not draw_skeleton(body, None, 64, 48).any()
    body[3] = body[4] = 20, 30, 0.9  # coincident: two joints, no limb between
    assert draw_skeleton(body, None, 64, 48).any()
    body[5] = -1e6, 1e6, 0.9
    body[6] = 1e6, -1e6, 0.9
    assert draw_skeleton(body, None, 64, 48).shape == (64, 48, 3)


def test_lines_are_as_thick_as_the_picture_is_large():
    body, hands = standing(1024, 768), np.zeros((2, 21, 3), np.float32)
    half = body * np.array([0.5, 0.5, 1], np.float32)
    large = draw_skeleton(body, hands, 1024, 768).any(2)
    small = draw_skeleton(half, hands, 512, 384).any(2)
    assert large.mean() == pytest.approx(small.mean(), rel=0.15)
