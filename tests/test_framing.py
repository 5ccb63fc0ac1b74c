"""Frames: exact where nothing needs to change, invertible elsewhere, like VITON-HD's in the end."""

import numpy as np
import pytest
import shapes
from golden_files import golden
from PIL import Image

from fuw.engine.decode import GROUND
from fuw.engine.errors import InputError
from fuw.engine.frame import Frame
from fuw.engine.framing import (
    background,
    garment_frame,
    largest_parts,
    on_ground,
    person_frame,
    whole_frame,
)
from fuw.engine.upright import upright_angle


def picture(height: int = 1024, width: int = 768, seed: int = 0) -> np.ndarray:
    """A smooth picture with some structure, so that misplaced pixels show."""
    y, x = np.mgrid[:1:height * 1j, :width / height:width * 1j].astype(np.float32) * 8
    waves = [np.sin(x * (1 + seed) + y), np.cos(y * 2 - x), np.sin(x * y / 2 + seed)]
    return np.rint(127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)


def gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


# --- Frame ------------------------------------------------------------------------------------


def test_a_photo_of_the_size_comes_out_bit_for_bit():
    photo = picture()
    frame = whole_frame(photo)
    assert np.array_equal(frame.apply(photo), photo)
    assert np.array_equal(frame.apply_mask(photo[..., 0]), photo[..., 0])
    assert np.array_equal(frame.paste_back(photo, photo[::-1]), photo[::-1])


@pytest.mark.parametrize("height,width", [(3000, 2000), (500, 1500), (70, 64), (1024, 700)])
def test_whole_frame_holds_the_whole_photo(height, width):
    photo = picture(height, width)
    photo[:, :width // 20 + 1] = photo[:, -width // 20:] = photo[:height // 20 + 1] = (9, 99, 199)
    frame = whole_frame(photo)
    out = frame.apply(photo)
    assert out.shape == (1024, 768, 3) and background(photo) == (9, 99, 199)
    corners = np.array([[0, 0], [width - 1, height - 1]], np.float32)
    inside = frame.to_frame(corners)
    assert (inside > -1).all() and (inside < (769, 1025)).all()
    assert tuple(out[0, 0]) == (9, 99, 199) and tuple(out[1000, 2]) == (9, 99, 199)


def test_resampling_is_right_to_the_subpixel():
    """A linear ramp keeps its values wherever the frame lies: cut = ramp at to_original."""
    y, x = np.mgrid[:900, :1100]
    ramp = np.dstack([x * 200 / 1100 + 20, y * 200 / 900 + 20, x * 0 + 90.0])
    photo = np.rint(ramp).astype(np.uint8)
    for angle in (0.0, 90.0, -90.0, 180.0, 17.0, 110.0):
        for scale in (0.61, 1.0, 1.7):
            frame = Frame((900, 1100), (256, 192), 512.3, 467.8, scale, (0, 0, 0), angle)
            out = frame.apply(photo).astype(float)
            yy, xx = np.mgrid[20:236, 20:172]
            back = frame.to_original(np.stack([xx, yy], 2).reshape(-1, 2))
            expected = back * (200 / 1100, 200 / 900) + 20
            error = out[20:236, 20:172, :2].reshape(-1, 2) - expected
            assert np.abs(error).mean() < 0.4 and np.abs(error.mean(0)).max() < 0.15, (angle, scale)


def test_points_go_there_and_back_and_missing_ones_stay_missing():
    frame = Frame((900, 1100), (1024, 768), 400.2, 300.9, 1.37, (0, 0, 0), 33.0)
    points = np.random.default_rng(0).uniform(0, 900, (25, 3)).astype(np.float32)
    points[3] = 0
    moved = frame.to_frame(points)
    assert np.array_equal(moved[3], [0, 0, 0]) and np.array_equal(moved[:, 2], points[:, 2])
    assert np.abs(frame.to_original(moved) - points).max() < 2e-3
    centre = frame.to_frame(np.array([[400.2 - 0.5, 300.9 - 0.5]]))
    assert np.allclose(centre, [[383.5, 511.5]], atol=1e-3)


def test_a_mask_of_another_size_is_told():
    frame = whole_frame(picture(200, 150))
    with pytest.raises(InputError, match="is 100x100, but its frame was made for 150x200"):
        frame.apply_mask(np.zeros((100, 100), np.uint8))


# --- paste back -------------------------------------------------------------------------------


def test_paste_back_returns_the_region_at_full_resolution():
    photo = np.repeat(np.repeat(picture(1200, 1500), 2, 0), 2, 1)
    frame = Frame((2400, 3000), (1024, 768), 1500.0, 1200.0, 0.5, (0, 0, 0))
    out = frame.paste_back(photo, 255 - frame.apply(photo))
    assert out.shape == photo.shape
    outside = np.ones(photo.shape[:2], bool)
    outside[176:2224, 732:2268] = False
    assert np.array_equal(out[outside], photo[outside])
    middle = np.s_[500:1900, 900:2100]
    assert gap(out[middle], 255 - photo[middle]) < 1.0  # smooth picture: nothing is lost by half
    seam = out[1200, 732:760].astype(int)  # 3 % of 1536 is 46 pixels: begins with the photo
    assert np.abs(seam[0] - photo[1200, 732]).max() <= 1
    assert np.abs(np.diff(out[1200, 720:800].astype(int), axis=0)).max() < 20


def test_paste_back_of_the_unchanged_picture_changes_next_to_nothing():
    photo = picture(1500, 1300)
    frame = Frame((1500, 1300), (1024, 768), 600.0, 700.0, 0.8, (0, 0, 0))
    assert gap(frame.paste_back(photo, frame.apply(photo)), photo) < 0.3


def test_paste_back_has_no_seam_at_the_photos_own_border():
    photo = picture(2048, 1536)
    frame = whole_frame(photo)
    out = frame.paste_back(photo, np.full((1024, 768, 3), 77, np.uint8))
    assert (out == 77).all()


def test_paste_back_of_a_region_leaves_the_rest_alone():
    photo = picture(1024, 768)
    region = np.zeros((1024, 768), np.uint8)
    region[300:700, 200:500] = 255
    out = whole_frame(photo).paste_back(photo, np.zeros_like(photo), region)
    assert (out[400:600, 300:400] == 0).all()
    assert np.array_equal(out[:250], photo[:250]) and np.array_equal(out[:, 560:], photo[:, 560:])


def test_paste_back_with_a_frame_that_hangs_over_the_photo():
    photo = picture(600, 500)
    frame = Frame((600, 500), (1024, 768), 250.0, 600.0, 1.0, (0, 0, 0))
    out = frame.paste_back(photo, np.zeros((1024, 768, 3), np.uint8))
    assert out.shape == photo.shape
    assert (out[120:] == 0).all() and np.array_equal(out[:88], photo[:88])


@pytest.mark.parametrize("seed", range(40))
def test_paste_back_wherever_the_frame_lies(seed):
    """Edges between pixels, outside the photo, larger than it: the middle is the picture's."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(100, 300, 2))
    x, y, scale = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.2, 2)
    frame = Frame((height, width), (256, 192), x, y, scale, (0, 0, 0))
    photo = np.full((height, width, 3), 200, np.uint8)
    out = frame.paste_back(photo, np.full((256, 192, 3), 50, np.uint8))
    assert (out[int(y), int(x)] == 50).all()
    rows, columns = np.nonzero((out != photo).any(2))
    assert columns.min() >= frame.left - 1e-6 and columns.max() + 1 <= x + 96 / scale + 1e-6
    assert rows.min() >= frame.top - 1e-6 and rows.max() + 1 <= y + 128 / scale + 1e-6


# --- people -----------------------------------------------------------------------------------


def placed(dx: float, dy: float, scale: float) -> np.ndarray:
    person = shapes.body()
    person[person[:, 2] > 0, :2] = person[person[:, 2] > 0, :2] * scale + (dx, dy)
    return person


@pytest.mark.parametrize("dx,dy,scale", [(900, 300, 1.0), (2000, 100, 2.0), (700, 400, 0.4)])
def test_a_person_anywhere_in_a_photo_stands_as_in_viton_hd(dx, dy, scale):
    photo = np.zeros((2400, 4000, 3), np.uint8)
    person = placed(dx, dy, scale)
    out = person_frame(photo, person).to_frame(person)
    assert np.abs(out[:, :2] - shapes.body()[:, :2]).max() < 12


def test_well_framed_photos_are_only_resized():
    photo = picture()
    assert person_frame(photo, shapes.body()) == whole_frame(photo)
    large = picture(2048, 1536)
    assert person_frame(large, placed(0, 0, 2.0)) == whole_frame(large)
    full_length = placed(200, 30, 0.45)
    assert person_frame(photo, full_length) != whole_frame(photo)


def test_nobody_to_measure_gives_the_whole_photo():
    photo = picture(800, 900)
    assert person_frame(photo, np.zeros((25, 3), np.float32)) == whole_frame(photo)
    only_neck = np.zeros((25, 3), np.float32)
    only_neck[1] = 100, 100, 1
    assert person_frame(photo, only_neck) == whole_frame(photo)


def test_without_hips_shoulders_and_nose_set_the_height():
    photo = np.zeros((2400, 4000, 3), np.uint8)
    person = placed(1000, 300, 1.0)
    person[[8, 9, 12]] = 0
    neck = person_frame(photo, person).to_frame(person)[1]
    assert abs(neck[1] / 1024 - 0.336) < 0.02 and abs(neck[0] / 768 - 0.5) < 0.05


def test_hips_found_too_high_do_not_cut_too_close():
    photo = np.zeros((2400, 4000, 3), np.uint8)
    person = placed(1000, 300, 1.0)
    person[[8, 9, 12], 1] -= 230
    assert person_frame(photo, person).scale < 1.45


def test_spread_arms_widen_the_frame_by_a_third_at_most():
    photo = np.zeros((3000, 4000, 3), np.uint8)
    person = placed(1500, 900, 1.0)
    person[4, :2], person[7, :2] = (1500 + 20, 1500), (1500 + 750, 1500)
    out = person_frame(photo, person).to_frame(person)
    assert 20 < out[4, 0] and out[7, 0] < 748
    person[4, 0], person[7, 0] = 300, 3700
    assert person_frame(photo, person).scale > 0.74


def test_a_photo_that_ends_at_the_waist_is_cut_closer():
    photo = picture(640, 768)
    person = shapes.body()
    person[[4, 7, 8, 9, 12]] = 0
    frame = person_frame(photo, person)
    band_below = 1024 - frame.to_frame(np.array([[0, 639]]))[0, 1]
    nose = frame.to_frame(person)[0, 1]
    assert frame.scale > 1.1 and band_below < 200 and nose > 0.1 * 1024


@pytest.mark.golden
@pytest.mark.parametrize("name", ["00891_00", "03615_00", "08909_00", "10549_00"])
def test_viton_hd_people_stay_bit_for_bit(name):
    import json
    folder = golden(f"preprocess/{name}")
    photo = np.asarray(Image.open(folder / "image.jpg"))
    points = json.loads((folder / "openpose.json").read_text())["people"][0]["pose_keypoints_2d"]
    frame = person_frame(photo, np.array(points, np.float32).reshape(25, 3))
    assert np.array_equal(frame.apply(photo), photo)


# --- garments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tshirt", "longsleeve", "tank"])
@pytest.mark.parametrize("angle", [0, 20, -30, 90, -90])
def test_garments_are_turned_upright(name, angle):
    turn = upright_angle(shapes.garment(name, 600, (1400, 1400), angle))
    assert abs((turn + angle + 180) % 360 - 180) <= 6


def test_a_small_garment_in_a_corner_fills_the_picture_like_viton_hd():
    mask = shapes.garment("tshirt", 200, (900, 1600), 90, (250, 200))
    photo = np.full((900, 1600, 3), 60, np.uint8)
    photo[mask > 0] = (200, 30, 30)
    frame = garment_frame(photo, mask)
    cut = frame.apply_mask(mask)
    y, x = np.nonzero(cut >= 128)
    box = np.array([x.min(), y.min(), x.max(), y.max()])
    assert abs(box[0] + box[2] - 767) <= 6 and abs(box[1] + box[3] - 1023) <= 6
    assert max((box[2] - box[0]) / 622, (box[3] - box[1]) / 904) == pytest.approx(1, abs=0.03)
    image = on_ground(frame.apply(photo), cut)
    assert tuple(image[0, 0]) == GROUND and tuple(image[512, 384]) == (200, 30, 30)
    fringe = image[(cut < 8)]
    assert np.abs(fringe.astype(int) - GROUND).max() <= 2  # nothing of the old background


def test_a_framed_garment_stays_bit_for_bit_and_specks_do_not_count():
    mask = shapes.garment("tshirt", 660)
    photo = np.full((1024, 768, 3), 246, np.uint8)
    photo[mask > 0] = (30, 60, 120)
    mask[5:15, 5:15] = 255
    frame = garment_frame(photo, mask)
    assert np.array_equal(frame.apply(photo), photo)
    assert np.array_equal(on_ground(photo, mask), photo)
    assert largest_parts(mask)[10, 10] == 0 and largest_parts(mask)[512, 384] == 255


def test_white_becomes_the_grey_that_the_networks_know():
    mask = shapes.garment("tshirt", 660)
    photo = np.full((1024, 768, 3), 255, np.uint8)
    photo[mask > 0] = (30, 60, 120)
    image = on_ground(photo, mask)
    assert tuple(image[2, 2]) == GROUND and tuple(image[512, 384]) == (30, 60, 120)


def test_a_garment_on_any_ground_comes_onto_that_grey():
    """A floor of stripes and noise: away, and no line of it round the garment."""
    mask = shapes.garment("tshirt", 660)
    photo = np.random.default_rng(0).integers(0, 256, (1024, 768, 3), np.uint8)
    photo[::7] = (250, 10, 10)
    photo[mask > 0] = (30, 60, 120)
    image = on_ground(photo, mask).astype(int)
    assert (image[mask < 8] == GROUND).all() and tuple(image[512, 384]) == (30, 60, 120)
    assert image.min() >= 30 and image.max() <= 246  # edges are between garment and grey


def test_an_empty_mask_gives_the_whole_photo():
    photo = picture(500, 500)
    assert garment_frame(photo, np.zeros((500, 500), np.uint8)).scale == whole_frame(photo).scale


@pytest.mark.golden
def test_viton_hd_garment_stays_bit_for_bit():
    photo = np.asarray(Image.open(golden("segmentation/images/cloth_01260_00.jpg")))
    mask = np.where(np.abs(photo.astype(int) - 246).max(2) > 12, 255, 0).astype(np.uint8)
    frame = garment_frame(photo, mask)
    assert np.array_equal(frame.apply(photo), photo)
    assert np.array_equal(on_ground(photo, largest_parts(mask)), photo)
