"""What goes wrong upstream, as training draws it: near the truth, and never twice the same."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch (extra: export)")

from fuw.engine.framing import GARMENT_HEIGHT, GARMENT_WIDTH  # noqa: E402
from fuw.starter.training import upstream  # noqa: E402

H, W = 512, 384


def body() -> np.ndarray:
    points = np.zeros((25, 3), np.float32)
    for k, (x, y) in {0: (192, 80), 1: (192, 140), 2: (140, 145), 3: (120, 220), 4: (122, 290),
                      5: (244, 145), 6: (264, 220), 7: (262, 290), 8: (192, 300)}.items():
        points[k] = x, y, 1
    return points


def test_points_are_a_little_off_and_missing_ones_stay_missing() -> None:
    rng, truth = np.random.default_rng(0), body()
    hands = np.zeros((2, 21, 3), np.float32)
    hands[:, :, :] = 120, 290, 1
    found = [upstream.seen_points(rng, truth, hands) for _ in range(60)]
    for joints, _ in found:
        gone = joints[:, 2] == 0
        assert (joints[gone] == 0).all() and gone[truth[:, 2] == 0].all()
    off = [np.hypot(*(j[:9, :2] - truth[:9, :2]).T)[j[:9, 2] > 0].mean() for j, _ in found]
    assert 1 < np.mean(off) < 0.08 * 160  # pixels; the torso is 160
    kept = [h[side, :, 2].any() for _, h in found for side in range(2)]
    assert 0.5 < np.mean(kept) < 0.95


def test_labels_waver_at_their_edges_only() -> None:
    parse = np.zeros((H, W), np.uint8)
    parse[100:400, 100:300] = 5
    parse[400:, 120:280] = 9
    found = upstream.seen_parse(np.random.default_rng(1), parse)
    assert set(np.unique(found)) <= {0, 5, 9}
    assert 0.002 < np.mean(found != parse) < 0.1
    assert np.mean(found[180:320, 160:240] == 5) > 0.9


def test_a_garment_is_laid_out_as_a_fitter_does_it() -> None:
    rng = np.random.default_rng(2)
    garment, mask = np.full((H, W, 3), 200, np.uint8), np.zeros((H, W), np.uint8)
    mask[60:160, 50:130] = 255
    garment[mask > 0] = (10, 20, 200)
    boxes = []
    for _ in range(20):
        picture, where, matrix = upstream.laid_out(rng, garment, mask)
        rows, columns = np.nonzero(where >= 128)
        boxes.append((np.ptp(rows) / H, np.ptp(columns) / W, rows.mean() / H, columns.mean() / W))
        corner = matrix[:, :2] @ [90, 110] + matrix[:, 2]  # the middle of the garment
        x, y = corner.astype(int)
        assert where[y, x] == 255 and (np.abs(picture[y, x].astype(int) - (10, 20, 200)) < 3).all()
    tall, wide, y, x = np.mean(boxes, 0)
    assert wide == pytest.approx(GARMENT_WIDTH, abs=0.08) and tall < GARMENT_HEIGHT
    assert y == pytest.approx(0.5, abs=0.02) and x == pytest.approx(0.5, abs=0.02)
    assert len(np.unique(np.round(boxes, 4), axis=0)) == 20


def test_a_region_grows_or_shrinks_and_nothing_is_lost() -> None:
    labels = np.zeros((H, W), np.uint8)
    labels[100:300, 100:300], labels[300:, 100:300] = 2, 1
    sizes = []
    for seed in range(12):
        found = upstream.seen_region(np.random.default_rng(seed), labels, 2)
        assert set(np.unique(found)) <= {0, 1, 2}
        sizes.append(int((found == 2).sum()))
    assert min(sizes) < 200 * 200 < max(sizes)


def test_a_person_is_cut_from_head_to_thigh_and_all_maps_alike() -> None:
    rng, joints = np.random.default_rng(3), body() * np.array([0.4, 0.4, 1], np.float32)
    joints[joints[:, 2] > 0, 1] += 60
    photo = np.full((H, W, 3), 90, np.uint8)
    parse = np.zeros((H, W), np.uint8)
    x, y = joints[8, :2].astype(int)
    parse[y - 3 : y + 4, x - 3 : x + 4] = 5
    photo[parse > 0] = (250, 0, 0)
    torsos = []
    for _ in range(30):
        matrix = upstream.person_place(rng, photo, joints, (256, 192))
        moved = upstream.placed_points(joints, matrix, (256, 192))
        labels = upstream.placed_labels(parse, matrix, (256, 192))
        picture = upstream.placed(photo, matrix, (90, 90, 90), (256, 192))
        x, y = np.rint(moved[8, :2]).astype(int)
        assert labels[y, x] == 5 and picture[y, x, 0] > 160
        torsos.append((moved[8, 1] - moved[1, 1]) / 256)
    assert np.median(torsos) == pytest.approx(0.381, abs=0.04)  # engine.framing.TORSO
    assert min(torsos) < 0.2  # some stay as they are


def test_points_outside_the_cut_are_missing() -> None:
    matrix = np.array([[1, 0, -150], [0, 1, 0]], np.float32)
    moved = upstream.placed_points(body(), matrix, (H, W))
    assert (moved[2] == 0).all() and moved[5, 0] == 94
