"""Each limit on its own code path: what raises it, what does not, and what it measures."""

import json

import numpy as np
import pytest
import shapes
from golden_files import golden
from PIL import Image

from fuw.engine import judgement as j
from fuw.engine.errors import InputError, NoPersonError

SIZE = (1024, 768)


@pytest.fixture
def body() -> np.ndarray:
    return shapes.body()


@pytest.fixture
def parse(body) -> np.ndarray:
    return shapes.parse(body)


def codes(found: list[j.Warning_]) -> list[str]:
    for w in found:
        assert w.sentence and "\n" not in w.sentence and np.isfinite(w.measure)
    return [w.code for w in found]


def test_a_good_person_raises_nothing(body, parse):
    assert codes(j.judge_person(body, parse, shapes.iuv(parse))) == []
    assert codes(j.judge_person(body, parse)) == []


@pytest.mark.golden
@pytest.mark.parametrize("name", ["00891_00", "03615_00", "08909_00", "10549_00"])
def test_viton_hd_people_raise_nothing(name):
    folder = golden(f"preprocess/{name}")
    points = json.loads((folder / "openpose.json").read_text())["people"][0]["pose_keypoints_2d"]
    parse = np.asarray(Image.open(folder / "image-parse.png"))
    assert codes(j.judge_person(np.array(points, np.float32).reshape(25, 3), parse)) == []


def test_nobody_is_an_error(body):
    with pytest.raises(NoPersonError, match="nobody was found"):
        j.usable_people(np.zeros((0, 25, 3), np.float32), "a.jpg")
    legs_only = np.zeros((1, 25, 3), np.float32)
    legs_only[0, 9:15] = 1
    with pytest.raises(NoPersonError):
        j.usable_people(legs_only)


def test_passers_by_and_ghosts_are_not_counted(body):
    legs, far, near = np.zeros((25, 3), np.float32), body.copy(), body.copy()
    legs[9:15] = 1
    far[:, :2] *= 0.2
    near[:, :2] *= 0.6
    kept = j.usable_people(np.stack([legs, body, far, near]))
    assert np.array_equal(kept, np.stack([body, near]))


def test_what_decoding_overlooked_is_told():
    assert j.judge_photo(()) == []
    assert j.judge_photo(("a.tif: has 2 pages",)) == [j.Warning_("file", 1, 0,
                                                                 "a.tif: has 2 pages")]


def test_several_people_and_a_small_one(body, parse):
    found = j.judge_person(body, parse, people_found=3, scale=3.5)
    assert codes(found) == ["several_people", "small_person"]
    assert (found[0].measure, found[0].threshold) == (3, 1)
    assert "3 people" in found[0].sentence and "3.5 times" in found[1].sentence


def test_arms_out_of_the_picture(body):
    assert codes(j.judge_arms(body, SIZE)) == []
    body[4, :2] = -20, 700
    found = j.judge_arms(body, SIZE)
    assert codes(found) == ["arms_out_of_frame"] and "right wrist is" in found[0].sentence
    body[7, :2] = 900, 700
    assert j.judge_arms(body, SIZE)[0].measure == 2


def test_a_missing_wrist_is_out_only_if_the_arm_leads_out(body):
    body[4] = 0  # hidden behind the body: shoulder and elbow say it would be inside
    assert codes(j.judge_arms(body, SIZE)) == []
    body[3, :2] = 100, 500  # now a straight arm ends left of the picture
    assert codes(j.judge_arms(body, SIZE)) == ["arms_out_of_frame"]
    body[3] = 0
    assert codes(j.judge_arms(body, SIZE)) == []


def test_back_and_side_by_densepose(body, parse):
    assert codes(j.judge_view(body, shapes.iuv(parse, torso=1))) == ["back_view"]
    half = shapes.iuv(parse)
    half[:, :370][half[:, :370] == 2] = 1
    found = j.judge_view(body, half)
    assert codes(found) == ["not_frontal"] and 0.5 < found[0].measure < 0.8


def test_back_and_side_by_shoulders_where_densepose_has_no_torso(body, parse):
    empty = np.zeros((*SIZE, 3), np.uint8)
    assert codes(j.judge_view(body, empty)) == []
    side = body.copy()
    side[2, 0], side[5, 0] = 380, 400
    assert codes(j.judge_view(side, empty)) == codes(j.judge_view(side, None)) == ["not_frontal"]
    back = body.copy()
    back[[2, 5]] = back[[5, 2]]
    assert codes(j.judge_view(back, None)) == ["back_view"]
    back[8] = 0
    assert j.judge_view(back, None) == []


def test_an_empty_upper_region(body, parse):
    parse[parse == 5] = 0
    found = j.judge_parse(parse, body)
    assert codes(found) == ["no_upper"] and found[0].measure == 0


def test_a_torn_upper_region(body, parse):
    parse[500:560][parse[500:560] == 5] = 9  # a belt through the middle: two pieces
    found = j.judge_parse(parse, body)
    assert codes(found) == ["torn_upper"] and 0.4 < found[0].measure < 0.75


def test_ground_in_the_torso(body, parse):
    parse[400:550, 330:430] = 0
    found = j.judge_parse(parse, body)
    assert codes(found) == ["holes_in_torso"] and found[0].measure > 0.1


def test_an_arm_where_the_parse_has_none(body, parse):
    y, x = int(body[4, 1]), int(body[4, 0])
    parse[y - 60:, :x + 60][parse[y - 60:, :x + 60] == 15] = 0
    found = j.judge_parse(parse, body)
    assert codes(found) == ["arm_outside_parse"] and "right wrist is" in found[0].sentence


def test_a_parse_that_misses_half_the_body(parse):
    iuv = shapes.iuv(parse)
    assert codes(j.judge_agreement(parse, iuv)) == []
    parse[:, :384] = 0
    found = j.judge_agreement(parse, iuv)
    assert codes(found) == ["parse_contradicts_densepose"] and found[0].measure > 0.4
    assert j.judge_agreement(parse, np.zeros_like(iuv)) == []


@pytest.mark.parametrize("name", ["tshirt", "longsleeve", "tank"])
def test_tops_are_tops(name):
    assert codes(j.judge_garment(shapes.garment(name, 660))) == []


def test_trousers_a_dress_and_a_shoe_are_not():
    found = j.judge_garment(shapes.garment("trousers", 900))
    assert codes(found) == ["not_an_upper_garment"] and "trouser legs" in found[0].sentence
    dress, shoe, hoop = (np.zeros(SIZE, np.uint8) for _ in range(3))
    dress[60:960, 250:500] = 255
    shoe[400:600, 100:660] = 255
    assert "3.6 times as tall" in j.judge_garment(dress)[0].sentence
    assert "0.4 times as tall" in j.judge_garment(shoe)[0].sentence
    hoop[200:800, 150:600] = 255
    hoop[250:600, 180:570] = 0
    assert codes(j.judge_garment(hoop)) == ["not_an_upper_garment"]


def test_a_garment_that_is_missing_or_cut_off():
    speck = np.zeros(SIZE, np.uint8)
    speck[500:520, 300:330] = 255
    assert codes(j.judge_garment(speck)) == ["garment_not_found"]
    assert codes(j.judge_garment(np.zeros(SIZE, np.uint8))) == ["garment_not_found"]
    cut = np.roll(shapes.garment("tshirt", 660), 300, axis=1)
    cut[:, :400] = 0
    assert "garment_cut_off" in codes(j.judge_garment(cut))
    with pytest.raises(InputError, match="no garment was found"):
        j.require_garment(np.full(SIZE, 100, np.uint8))
    j.require_garment(cut)


def test_extreme_inputs_do_not_break():
    rng = np.random.default_rng(0)
    for _ in range(30):
        body = rng.uniform(-1e6, 1e6, (25, 3)).astype(np.float32)
        body[rng.random(25) < 0.3] = 0
        parse = rng.integers(0, 20, (96, 80)).astype(np.uint8)
        codes(j.judge_person(body, parse, rng.integers(0, 25, (96, 80, 3)).astype(np.uint8)))
        codes(j.judge_garment(rng.integers(0, 255, (96, 80)).astype(np.uint8)))
    codes(j.judge_garment(np.full((8, 8), 255, np.uint8)))


def test_a_garment_of_a_thirtieth_of_the_picture_is_found():
    for share, wanted in ((0.032, False), (0.028, True)):
        mask = np.zeros(SIZE, np.uint8)
        side = round(np.sqrt(share * mask.size))
        mask[200:200 + side, 200:200 + side] = 255
        assert ("garment_not_found" in codes(j.judge_garment(mask))) == wanted


def test_a_wrist_in_a_glove_is_an_arm(body, parse):
    y, x = int(body[4, 1]), int(body[4, 0])
    there = parse[y - 60:, :x + 60]
    there[there == 15] = 3
    assert codes(j.judge_parse(parse, body)) == []
