"""Decoding of heat maps, PAFs and hands, and OpenPose's keypoint files."""

import json
import time

import numpy as np
import pytest
from golden_files import golden

from fuw.engine import keypoints
from fuw.engine.assembly import assemble
from fuw.engine.errors import InputError, NoPersonError
from fuw.kernels.cpu import pose
from fuw.kernels.cpu.body25 import PAIRS

CASES = ("clean", "missing", "clutter", "no_paf_arm", "weak", "two_people", "noise")


@pytest.fixture(scope="module")
def z():
    with np.load(golden("pose/openpose.npz")) as archive:
        return {k: archive[k] for k in archive.files if k.startswith(("decode/", "hand/"))}


def maps_of(z, case):
    return z[f"decode/{case}/net_output"].astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_peaks_golden(z, case):
    scale = float(z["decode/scale_net_to_output"])
    count, peaks = pose.heat_peaks(maps_of(z, case)[:25], 0.5 / scale)
    assert (count == z[f"decode/{case}/peak_count"]).all()
    stored = z[f"decode/{case}/peaks"]
    for c, n in enumerate(np.minimum(count, stored.shape[1])):
        mine = peaks[c, :n]
        assert np.abs(mine[:, :2] - stored[c, :n, :2]).max(initial=0) <= 0.01 / scale
        assert np.abs(mine[:, 2] - stored[c, :n, 2]).max(initial=0) <= 1e-4


@pytest.mark.parametrize("case", CASES)
def test_people_golden(z, case):
    stored = z[f"decode/{case}/people"]
    people, scores = keypoints.decode_people(
        maps_of(z, case), float(z["decode/scale_net_to_output"]))
    assert people.shape == stored.shape and people.dtype == np.float32
    assert np.abs(people[..., :2] - stored[..., :2]).max(initial=0) <= 0.01
    assert np.abs(people[..., 2] - stored[..., 2]).max(initial=0) <= 1e-4
    assert np.abs(scores - z[f"decode/{case}/scores"]).max(initial=0) <= 1e-4


def test_main_person_comes_first(z):
    scale = float(z["decode/scale_net_to_output"])
    in_order, _ = keypoints.decode_people(maps_of(z, "two_people"), scale)
    mirrored = maps_of(z, "two_people")[:, :, ::-1].copy()
    mirrored[26::2] *= -1  # the x channels of the PAFs
    first = keypoints.decode_body(maps_of(z, "two_people"), scale)[0]
    assert (first == in_order[0]).all()
    assert np.ptp(keypoints.decode_body(mirrored, scale)[0][:, 1]) == pytest.approx(
        np.ptp(first[:, 1]), abs=3)
    assert keypoints.decode_body(maps_of(z, "weak"), scale).shape == (0, 25, 3)


def test_decoding_is_fast(z):
    maps, scale = maps_of(z, "clean"), float(z["decode/scale_net_to_output"])
    keypoints.decode_body(maps, scale)
    best = min(_cpu_seconds(lambda: keypoints.decode_body(maps, scale)) for _ in range(5))
    assert best < 0.040  # 5 ms on a quiet core


def _cpu_seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


@pytest.mark.parametrize("seed, size, lift", [(0, (6, 4), 0.0), (1, (12, 9), 0.3), (2, (3, 2), 0)])
def test_peaks_are_the_plain_rule(seed, size, lift):
    """The boxes, bounds and windows of the fast form change nothing: against plain loops."""
    rng = np.random.default_rng(seed)
    maps = (rng.random((4, *size)) - lift).astype(np.float32)
    maps[3] = 0.5  # flat: ties everywhere
    count, peaks = pose.heat_peaks(maps)
    fine = pose.enlarge(maps)
    for c in range(4):
        found = plain_peaks(fine[c])
        assert count[c] == min(len(found), pose.MAX_PEAKS)
        stored = np.array(found[: pose.MAX_PEAKS], np.float32).reshape(-1, 3)
        assert np.allclose(peaks[c, : count[c]], stored, atol=1e-4)
        assert not peaks[c, count[c] :].any()


def plain_peaks(fine):
    height, width = fine.shape
    found = []
    for y in range(height):
        for x in range(width):
            beside = [fine[j, i] for j in range(max(y - 1, 0), min(y + 2, height))
                      for i in range(max(x - 1, 0), min(x + 2, width)) if (j, i) != (y, x)]
            value, line = fine[y, x], x in (1, width - 2) or y in (1, height - 2)
            edge = x in (0, width - 1) or y in (0, height - 1)
            is_peak = (value >= max(beside)) if line else (value > max(beside) and not edge)
            if value > pose.PEAK_THRESHOLD and is_peak:
                part = [(i, j, fine[j, i]) for j in range(max(y - 3, 0), min(y + 4, height))
                        for i in range(max(x - 3, 0), min(x + 4, width)) if fine[j, i] > 0]
                mass = sum(v for *_, v in part)
                found.append((sum(i * v for i, _, v in part) / mass,
                              sum(j * v for _, j, v in part) / mass, value))
    return found


def test_argmax_is_that_of_the_enlarged_map():
    maps = np.random.default_rng(3).normal(size=(9, 11, 7)).astype(np.float32)
    maps[8] = -1.0
    best, fine = pose.heat_argmax(maps), pose.enlarge(maps)
    for c, (x, y, value) in enumerate(best):
        assert np.unravel_index(fine[c].argmax(), fine[c].shape) == (int(y), int(x))
        assert value == fine[c].max()


def test_paf_scores_agree_between_few_and_many_limbs(monkeypatch):
    rng = np.random.default_rng(4)
    pafs = rng.random((52, 9, 12)).astype(np.float32) - 0.2
    count = rng.integers(5, 9, 25).astype(np.int32)
    peaks = np.zeros((25, pose.MAX_PEAKS, 3), np.float32)
    peaks[:, :9] = rng.random((25, 9, 3)) * (96, 72, 1)
    peaks[8, 0] = peaks[1, 0]  # neck and hip coincide
    peaks[8, 1, :2] = peaks[1, 1, :2] + 0.2
    many = pose.paf_scores(pafs, count, peaks)
    monkeypatch.setattr(pose, "_GATHER_LIMIT", 10**6)
    few = pose.paf_scores(pafs, count, peaks)
    # a sample at 0.05 to the last bit may fall on either side
    assert (np.abs(many - few) > 1e-5).sum() <= 2
    assert many[0, 0, 0] == 0 and many[0, 1, 1] > 0.05
    inside = np.zeros_like(many, bool)
    for p, (a, b, _) in enumerate(PAIRS):
        inside[p, : count[a], : count[b]] = True
    assert not many[~inside].any() and 0.1 < (many[inside] > 0).mean() < 0.95


def test_crowd_of_peaks_is_bounded():
    maps = np.random.default_rng(5).normal(size=(78, 46, 34)).astype(np.float32)
    count, peaks = pose.heat_peaks(maps[:25])
    assert count.max() == pose.MAX_PEAKS and peaks.shape == (25, 127, 3)
    people = keypoints.decode_body(maps[:, :24, :18].copy(), 2.0)
    assert people.shape[1:] == (25, 3) and len(people) <= 127


def test_hand_boxes_golden(z):
    boxes = keypoints.hand_boxes(z["hand/body_keypoints"])
    assert np.abs(boxes[0] - z["hand/left/box"]).max() <= 0.01
    assert np.abs(boxes[1] - z["hand/right/box"]).max() <= 0.01


def test_no_hand_without_the_whole_arm(z):
    body = z["hand/body_keypoints"].copy()
    body[5] = 0  # left shoulder
    body[3, 2] = 0.02  # right elbow
    assert not keypoints.hand_boxes(body).any()


def test_decode_hands_golden(z):
    boxes = np.stack([z["hand/left/box"], z["hand/right/box"]])
    maps = np.stack([z["hand/left/net_output"], z["hand/right/net_output"]]).astype(np.float32)
    hands = keypoints.decode_hands(maps, boxes)
    for i, side in enumerate(("left", "right")):
        stored = z[f"hand/{side}/keypoints"]
        assert np.abs(hands[i, :, :2] - stored[:, :2]).max() <= 0.01
        assert np.abs(hands[i, :, 2] - stored[:, 2]).max() <= 1e-4
    boxes[0] = 0
    assert not keypoints.decode_hands(maps, boxes)[0].any()
    maps[1] = np.nan
    assert not keypoints.decode_hands(maps, boxes)[1, :, 2].any()


def some_pose():
    rng = np.random.default_rng(6)
    body = (rng.random((25, 3)) * (768, 1024, 1)).astype(np.float32)
    body[4] = 0
    return body, (rng.random((2, 21, 3)) * (768, 1024, 1)).astype(np.float32)


def test_json_round_trip(tmp_path):
    body, hands = some_pose()
    path = tmp_path / "a" / "p_keypoints.json"
    keypoints.write_openpose_json(path, body, hands)
    again, hands_again = keypoints.read_openpose_json(path)
    assert np.allclose(again, body, rtol=1e-5) and np.allclose(hands_again, hands, rtol=1e-5)
    text = path.read_text()
    assert text.startswith('{"version":1.3,"people":[{"person_id":[-1],"pose_keypoints_2d":[')
    assert list(json.loads(text)["people"][0]) == [
        "person_id", "pose_keypoints_2d", "face_keypoints_2d", "hand_left_keypoints_2d",
        "hand_right_keypoints_2d", "pose_keypoints_3d", "face_keypoints_3d",
        "hand_left_keypoints_3d", "hand_right_keypoints_3d"]
    keypoints.write_openpose_json(path, again, hands_again)
    assert path.read_text() == text  # six digits are a fixed point
    assert ",0,0,0," in text


def test_json_without_hands_and_without_people(tmp_path):
    body, _ = some_pose()
    path = tmp_path / "p.json"
    keypoints.write_openpose_json(path, body)
    assert keypoints.read_openpose_json(path)[1] is None
    keypoints.write_openpose_json(path, None)
    assert keypoints.read_people(path) == ()
    with pytest.raises(NoPersonError, match="found nobody"):
        keypoints.read_openpose_json(path)


def test_six_significant_digits(tmp_path):
    body = np.zeros((25, 3), np.float32)
    body[0] = 1234.56789, 0.00001234567, 0.8515355587
    path = tmp_path / "p.json"
    keypoints.write_openpose_json(path, body)
    assert "[1234.57,1.23457e-05,0.851536,0,0" in path.read_text()


def person(**lists):
    return json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 75, **lists}]})


@pytest.mark.parametrize("text, says", [
    ("hello", "is not a JSON file"),
    ("[" * 100_000, "is not a JSON file"),
    ("[1, 2]", "has no list 'people'"),
    ('{"people": {}}', "has no list 'people'"),
    ('{"people": [3]}', "has no list 'people'"),
    ('{"people": [{}]}', "no list 'pose_keypoints_2d'"),
    (person(pose_keypoints_2d=[1.0] * 54), "COCO's 18 .*BODY_25"),
    (person(pose_keypoints_2d=[]), "holds 0 numbers where 75"),
    (person(pose_keypoints_2d=[float("nan")] * 75), "not a finite number"),
    (person(pose_keypoints_2d=[1e300] * 75), "not a finite number"),
    (person(pose_keypoints_2d=[10**400] * 75), "not a finite number|is not a JSON file"),
    (person(pose_keypoints_2d=["1"] * 75), "not a finite number"),
    (person(pose_keypoints_2d=[True] * 75), "not a finite number"),
    (person(hand_left_keypoints_2d=[1.0] * 60), "'hand_left_keypoints_2d' holds 60 numbers"),
    (person(hand_left_keypoints_2d="abc"), "no list 'hand_left_keypoints_2d'"),
    (b"\x89PNG\xff\xfe", "not a text file"),
    (b"", "empty"),
])  # fmt: skip
def test_broken_json_is_one_clear_sentence(tmp_path, text, says):
    path = tmp_path / "broken.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=says) as error:
        keypoints.read_people(path)
    assert "broken.json" in str(error.value) and len(str(error.value)) < 300


@pytest.mark.golden
@pytest.mark.parametrize("name", ["00891_00", "03615_00", "08909_00", "10549_00"])
def test_published_keypoint_file(name):
    path = golden(f"preprocess/{name}/openpose.json")
    body, hands = keypoints.read_openpose_json(path)
    raw = json.loads(path.read_text())["people"][0]
    assert body.ravel().tolist() == pytest.approx(raw["pose_keypoints_2d"], rel=1e-6)
    assert hands[1].ravel().tolist() == pytest.approx(raw["hand_right_keypoints_2d"], rel=1e-6)


def made_peaks(limbs):
    """One peak of each joint of `limbs`, and those limbs scored 0.9."""
    count, peaks = np.zeros(25, np.int32), np.zeros((25, 127, 3), np.float32)
    scores = np.zeros((len(PAIRS), 127, 127), np.float32)
    for index, (a, b, _) in enumerate(PAIRS):
        if (a, b) in limbs:
            count[[a, b]] = 1
            peaks[[a, b], 0] = 10, 10, 0.9
            scores[index, 0, 0] = 0.9
    return count, peaks, scores


def test_a_peak_whose_partner_was_found_nowhere_stands_alone_and_counts_once():
    """Two joints are no person, though the hip was noted before its limb was looked at."""
    assert assemble(*made_peaks({(8, 9)})) == []
    (person,) = assemble(*made_peaks({(8, 9), (9, 10)}))
    assert person.count == 3 and person.parts[8] == person.parts[9] == person.parts[10] == 0


def test_who_stands_alone_first_comes_first():
    """No neck: the hip is noted with the first pair of the table, before the arm's first limb."""
    people = assemble(*made_peaks({(8, 9), (9, 10), (2, 3), (3, 4)}))
    assert [p.parts[8] >= 0 for p in people] == [True, False]
