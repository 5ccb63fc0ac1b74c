"""Signs of a collapse, and what of a person is kept, on fits whose answer is known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fuw.bench import kept, pairs, quality
from fuw.engine.errors import NoPersonError
from fuw.kernels.cpu.parse import UPPER_GROUP

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 220], [20, 20, 20],
                    [200, 200, 20]], np.uint8)


def fit(worn: np.ndarray, given: np.ndarray, garment_seen: bool = True) -> Any:
    """A picture with a dressed square of one colour, and a garment of another."""
    image, seg = np.full((40, 30, 3), 128, np.uint8), np.zeros((40, 30), np.uint8)
    image[10:30, 8:22] = worn
    if garment_seen:
        seg[10:30, 8:22] = UPPER_GROUP
    cloth, mask = np.full((40, 30, 3), 246, np.uint8), np.zeros((40, 30), np.uint8)
    cloth[5:35, 5:25], mask[5:35, 5:25] = given, 255
    return SimpleNamespace(image=image, parts=SimpleNamespace(seg=seg),
                           garment=SimpleNamespace(image=cloth, mask=mask))


def noted(worn: np.ndarray, given: np.ndarray = COLOURS) -> dict[str, float]:
    done = pairs.Pairs()
    for a, b in zip(worn, given, strict=True):
        done.note(fit(a, b))
    return done.figures()


def test_fits_that_wear_what_was_given_are_no_collapse() -> None:
    found = noted(COLOURS)
    assert found == {"own_nearer": 1, "own_nearest": 1, "spread": pytest.approx(1),
                     "ciede2000_median": pytest.approx(0)}


def test_one_grey_for_all_is_a_collapse() -> None:
    found = noted(np.full_like(COLOURS, 128))
    assert found["spread"] == 0
    assert found["own_nearest"] <= 1 / len(COLOURS) + 1e-9
    assert 0.3 < found["own_nearer"] < 0.7
    assert found["ciede2000_median"] > 20


def test_half_way_to_grey_keeps_the_order_and_loses_the_spread() -> None:
    found = noted((COLOURS.astype(int) // 2 + 64).astype(np.uint8))
    assert found["own_nearest"] == 1 and 0.2 < found["spread"] < 0.8


def test_colours_that_went_to_others_are_told() -> None:
    found = noted(np.roll(COLOURS, 1, 0))
    assert found["own_nearest"] == 0 and found["own_nearer"] < 0.5


def test_a_garment_given_twice_is_not_its_own_rival() -> None:
    twice = np.concatenate([COLOURS, COLOURS])
    assert noted(twice, twice)["own_nearer"] == 1


def test_a_picture_without_garment_counts_as_black() -> None:
    done = pairs.Pairs()
    done.note(fit(COLOURS[3], COLOURS[3], garment_seen=False))
    assert (done.worn[0] == 0).all() and (done.given[0][:, 0] > 50).all()


def test_shades_know_stripes_from_their_mean() -> None:
    stripes = np.zeros((40, 30, 3), np.uint8)
    stripes[::2] = 255
    everywhere = np.ones((40, 30), bool)
    grey = np.full_like(stripes, 119)
    apart = pairs.distances(pairs.shades(stripes, everywhere)[None],
                            pairs.shades(grey, everywhere)[None])
    assert apart[0, 0] > 25


def test_pairs_are_drawn_by_a_seed_and_all_have_their_turn() -> None:
    drawn = pairs.draw(20, 20, 60)
    assert drawn == pairs.draw(20, 20, 60) and len(drawn) == 60
    assert all(a != b for a, b in drawn)
    assert {a for a, _ in drawn} == {b for _, b in drawn} == set(range(20))
    assert pairs.draw(1, 1, 5) == []


def test_nobody_in_a_photo_is_counted_and_not_dressed() -> None:
    class Fitter:
        def person(self, photo: np.ndarray) -> int:
            if photo[0, 0, 0] == 3:
                raise NoPersonError("nobody")
            return int(photo[0, 0, 0])

        def garment(self, photo: np.ndarray) -> int:
            return int(photo[0, 0, 0])

        def fit(self, person: int, garment: int) -> Any:
            return fit(COLOURS[garment], COLOURS[garment])

    def photo(i: int) -> np.ndarray:
        return np.full((2, 2, 3), i, np.uint8)

    fitter: Any = Fitter()
    done = pairs.dress(fitter, photo, photo, 6, 12)
    assert done.nobody in (1, 2) and len(done.worn) == 12 - done.nobody


def known_fit(image: np.ndarray, photo: np.ndarray, parse: np.ndarray) -> Any:
    return SimpleNamespace(image=image, person=SimpleNamespace(image=photo, parse=parse))


def test_kept_regions_are_measured_each_for_itself() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (120, 90, 3)).astype(np.uint8)
    parse = np.zeros((120, 90), np.uint8)
    parse[5:35, 30:60], parse[70:, 20:70] = 13, 9
    image = photo.copy()
    image[65:] = 128  # trousers painted over
    found = kept.kept(known_fit(image, photo, parse))
    assert set(found) == {"face", "lower"}  # no hair is shown
    assert found["face"] == pytest.approx(1) and found["lower"] < 0.2


def test_every_person_is_dressed_in_every_garment_of_photos(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("person_1", "person_2", "cloth_1", "cloth_2", "other"):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / f"{name}.jpg")
    asked: list[tuple[str, str]] = []

    class Fitter:
        def person(self, path: Path) -> str:
            return path.stem

        garment = person

        def fit(self, person: str, garment: str) -> Any:
            asked.append((person, garment))
            return None

    monkeypatch.setattr(kept, "kept", lambda fit: {"face": 0.5 + 0.1 * len(asked)})
    report, fitter = quality.Report(), Fitter()
    quality.photos(fitter, tmp_path, report)  # type: ignore[arg-type]
    assert len(set(asked)) == 4 and {p for p, _ in asked} == {"person_1", "person_2"}
    figures = report.figures
    assert figures["photos_kept_face_ssim person_1+cloth_1"] == pytest.approx(0.6)
    assert figures["photos_kept_face_ssim"] == pytest.approx(0.75)
    assert figures["photos_kept_face_ssim_worst"] == pytest.approx(0.6)
    assert report.samples["photos_kept_face_ssim"] == 4
