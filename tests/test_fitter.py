"""The starter weights on the example pictures: deterministic, shared, picklable, memory flat."""

import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up import at_once

import fuw
from fuw.engine.errors import BackendError, CheckpointError, FuwError, InputError, NoPersonError
from fuw.engine.fitter import Fitter
from fuw.engine.images import load_image

EXAMPLES = Path(fuw.__file__).parent / "examples"
PERSON, GARMENT = EXAMPLES / "person_1.jpg", EXAMPLES / "garment_1.jpg"


@pytest.fixture(scope="module")
def fitter() -> Fitter:
    return Fitter.open(precision="fp32", threads=2)


@pytest.fixture(scope="module")
def person(fitter: Fitter) -> fuw.Person:
    return fitter.person(PERSON)


@pytest.fixture(scope="module")
def garment(fitter: Fitter) -> fuw.Garment:
    return fitter.garment(GARMENT)


def test_every_network_has_its_part(fitter: Fitter, person: fuw.Person,
                                    garment: fuw.Garment) -> None:
    fit = fitter.fit(person, garment)
    assert fit.image.shape == (1024, 768, 3) and fit.image.dtype == np.uint8
    assert set(fit.origins.values()) == {"starter"} and len(fit.origins) == 8
    assert list(fit.timings) == ["seg", "warp", "misalign", "alias", "picture"]
    assert {"pose", "hands", "densepose", "parse", "agnostic"} <= set(person.timings)
    assert person.iuv is not None and (person.iuv[..., 0] > 0).mean() > 0.05
    assert (garment.mask == 255).mean() > 0.05


def test_the_garment_is_where_the_upper_body_was(fitter: Fitter, person: fuw.Person,
                                                 garment: fuw.Garment) -> None:
    """The picture takes on the garment's colour there, and keeps the rest of the photo."""
    fit = fitter.fit(person, garment)
    worn = (fit.parts.seg == 2) & (fit.parts.warped_mask > 200)
    assert worn.mean() > 0.05
    want = np.median(garment.image[garment.mask == 255], 0)
    was = np.median(person.image[worn], 0)
    got = np.median(fit.image[worn], 0)
    assert np.abs(got - want).mean() < 0.5 * np.abs(was - want).mean()
    ground = (person.parse == 0) & (fit.parts.seg == 0)
    assert np.abs(fit.image[ground].astype(int) - person.image[ground].astype(int)).mean() < 40


def test_same_seed_same_bytes_alone_and_from_two_threads(fitter: Fitter, person: fuw.Person,
                                                         garment: fuw.Garment) -> None:
    alone = fitter.fit(person, garment, seed=3).image.tobytes()
    pictures: list[bytes] = []

    def work(k: int) -> None:
        for _ in range(2):
            pictures.append(fitter.fit(person, garment, seed=3).image.tobytes())

    at_once(work, 2)
    assert set(pictures) == {alone} and len(pictures) == 4


def test_the_seed_matters(fitter: Fitter, person: fuw.Person, garment: fuw.Garment) -> None:
    a, b = (fitter.fit(person, garment, seed=s).image for s in (0, 1))
    assert not np.array_equal(a, b)


def test_person_and_garment_survive_pickling(fitter: Fitter, person: fuw.Person,
                                             garment: fuw.Garment) -> None:
    again = [pickle.loads(pickle.dumps(x)) for x in (person, garment)]
    want, got = fitter.fit(person, garment), fitter.fit(*again)
    assert np.array_equal(want.image, got.image)


def test_a_closed_fitter_opens_again(person: fuw.Person, garment: fuw.Garment) -> None:
    with Fitter.open(precision="fp32", threads=2) as fitter:
        first = fitter.fit(person, garment).image
    assert np.array_equal(fitter.fit(person, garment).image, first)
    fitter.close()


def test_both_cpu_backends_give_the_same_picture(fitter: Fitter, person: fuw.Person,
                                                 garment: fuw.Garment) -> None:
    want = fitter.fit(person, garment).image.astype(int)
    with Fitter.open(backend="ort-cpu", threads=2) as other:
        got = other.fit(person, garment).image.astype(int)
    assert (np.abs(want - got).max(-1) > 2).mean() < 1e-3


def test_a_given_mask_and_key_points_replace_the_networks(fitter: Fitter,
                                                          person: fuw.Person) -> None:
    given = fuw.Given(body=person.body, hands=person.hands, parse=person.parse)
    again = fitter.person(PERSON, given, framed=True)
    assert "pose" not in again.timings and again.iuv is None
    assert np.array_equal(again.agnostic, person.agnostic)
    mask = np.zeros((1024, 768), np.uint8)
    mask[200:800, 200:600] = 255
    cut = fitter.garment(GARMENT, mask, framed=True)
    assert np.array_equal(cut.mask, mask) and "mask" not in cut.timings


def test_nobody_in_the_picture_is_said(fitter: Fitter) -> None:
    with pytest.raises(NoPersonError, match="nobody was found"):
        fitter.person(np.full((900, 700, 3), 220, np.uint8))


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        Fitter.open(weights=str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match="fuw-export"):
        Fitter.open(weights=str(tmp_path))
    with pytest.raises(BackendError, match="cuda:77"):
        Fitter.open(device="cuda:77")
    with pytest.raises(FuwError, match="there are u2net"):
        Fitter.open(mask_net="u3net")
    with pytest.raises(TypeError, match="no option wieghts"):
        Fitter.open(wieghts="starter")


def test_a_network_that_is_missing_is_named_when_it_is_needed(fitter: Fitter) -> None:
    with pytest.raises(CheckpointError, match="tracer_b7.*--fill starter"):
        fitter.nets["tracer_b7"]


def test_a_photo_that_is_none_is_said(fitter: Fitter, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff not a photo")
    with pytest.raises(InputError, match="photo.jpg"):
        fitter.person(path)


@pytest.mark.slow
def test_memory_is_flat_over_many_fits(fitter: Fitter, person: fuw.Person,
                                       garment: fuw.Garment) -> None:
    def resident() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return int(fields[1]) * 4096

    for _ in range(25):  # the allocators' pools fill during the first twenty
        fitter.fit(person, garment)
    before = resident()
    for _ in range(25):
        fitter.fit(person, garment)
    assert resident() - before < 16 << 20


def test_given_key_points_without_shoulders_are_nobody(fitter: Fitter) -> None:
    with pytest.raises(NoPersonError, match="given key points"):
        fitter.person(PERSON, fuw.Given(body=np.zeros((25, 3), np.float32)))


def test_a_person_of_another_size_is_told(fitter: Fitter, person: fuw.Person,
                                          garment: fuw.Garment) -> None:
    small = replace(person, image=person.image[::2, ::2])
    with pytest.raises(InputError, match="prepared for pictures of 512x384"):
        fitter.fit(small, garment)


def test_a_person_in_a_larger_photo_is_looked_at_closer(fitter: Fitter) -> None:
    """Framed from a wide photo: found there, and dressed in nearly the same place."""
    picture = load_image(PERSON).pixels
    wide = np.full((1500, 2400, 3), picture[:20].reshape(-1, 3).mean(0), np.uint8)
    wide[476:, 800:1568] = picture
    found = fitter.person(wide)
    assert found.frame.scale > 0.9 and found.body[1, 2] > 0
    x, y = found.frame.to_original(found.body)[1, :2]
    want = fitter.person(PERSON).body[1, :2] + (800, 476)
    assert np.hypot(x - want[0], y - want[1]) < 40


def test_the_person_of_a_panorama_is_found(fitter: Fitter) -> None:
    """In the whole photo the person is an eighth as wide as the network expects."""
    picture = load_image(PERSON).pixels
    wide = np.full((1100, 4200, 3), picture[:20].reshape(-1, 3).mean(0), np.uint8)
    wide[76:, 2900:3668] = picture
    found = fitter.person(wide)
    want = fitter.person(PERSON).body[1, :2] + (2900, 76)
    assert np.hypot(*(found.frame.to_original(found.body)[1, :2] - want)) < 40
    assert found.frame.scale > 0.9
    assert "several_people" not in {w.code for w in found.warnings}


def test_a_wide_picture_of_no_person_shows_nobody(fitter: Fitter) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 40, 3), np.uint8)
    with pytest.raises(NoPersonError, match="nobody was found"):
        fitter.person(np.asarray(cv2.resize(noise, (2000, 600), interpolation=cv2.INTER_CUBIC)))


def test_of_several_people_the_largest_is_dressed_and_it_is_said(fitter: Fitter) -> None:
    picture = load_image(PERSON).pixels
    both = np.full((1024, 1536, 3), picture[:20].reshape(-1, 3).mean(0), np.uint8)
    both[300:1024, 60:603] = cv2.resize(picture, (543, 724), interpolation=cv2.INTER_AREA)
    both[:, 768:] = picture
    found = fitter.person(both)
    x, y = found.frame.to_original(found.body)[1, :2]
    want = fitter.person(PERSON).body[1, :2] + (768, 0)
    assert np.hypot(x - want[0], y - want[1]) < 40
    (warning,) = (w for w in found.warnings if w.code == "several_people")
    assert warning.measure == 2
