"""The second search: only where the first look found nobody, and never a ghost for a person."""

from typing import Any

import numpy as np
import pytest
from made_up import standing

from fuw.engine import pipeline, preparing, search
from fuw.engine.clock import Clock
from fuw.engine.errors import NoPersonError
from fuw.engine.images import load_image
from fuw.engine.ops import cpu_ops
from fuw.engine.preparing import Wanted
from fuw.engine.records import Given

SIZE = (256, 192)


@pytest.mark.parametrize(("shape", "share", "rows", "columns"), [
    ((110, 420), 1.0, 1, 10), ((420, 110), 1.0, 5, 1), ((256, 192), 1.0, 0, 0),
    ((256, 192), 0.5, 3, 3), ((300, 200), 1.0, 2, 1), ((64, 6400), 1.0, 0, 0)])
def test_windows_cover_the_photo_and_overlap_by_half(
        shape: tuple[int, int], share: float, rows: int, columns: int) -> None:
    found = search.windows(np.zeros((*shape, 3), np.uint8), SIZE, share)
    assert len(found) == rows * columns
    if not found:  # the whole photo was looked at already, or there would be too many
        return
    for middles, length, window in (
            (sorted({f.y for f in found}), shape[0], SIZE[0] / found[0].scale),
            (sorted({f.x for f in found}), shape[1], SIZE[1] / found[0].scale)):
        assert window <= length + 1
        assert middles[0] - window / 2 < 0.51 and middles[-1] + window / 2 > length - 0.51
        assert max(np.diff(middles), default=0) <= window / 2 + 1e-6


def test_a_person_that_several_windows_show_is_one() -> None:
    large = standing(1000, 750)
    again = large + [2, 3, 0]
    half = large.copy()
    half[9:] = 0  # cut off by its window
    other = standing(500, 375) + [900, 0, 0]
    kept = search.distinct([other, half, again, large])
    assert len(kept) == 2
    assert np.array_equal(kept[1], other) and kept[0][14, 2] > 0


@pytest.mark.parametrize("missing", [[0], [1], [2], [5], [8, 9, 12]])
def test_a_window_needs_more_than_a_neck_and_a_shoulder(missing: list[int]) -> None:
    person = standing()
    assert search.is_sure(person)
    person[missing] = 0
    assert not search.is_sure(person)


class Eyes:
    """Finds the one person of a photo wherever it is shown at least `least` pixels tall."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, people: list[np.ndarray],
                 least: float) -> None:
        self.looks: list[Any] = []
        real = preparing._cut

        def cut(ops: Any, wanted: Wanted, frame: Any) -> Any:
            self.frame = frame
            return real(ops, wanted, frame)

        def find(nets: Any, ops: Any, image: Any, clock: Any) -> np.ndarray:
            self.looks.append(self.frame)
            shown = [self.frame.to_frame(p) for p in people]
            inside = [p for p in shown if np.ptp(p[p[:, 2] > 0, 1]) >= least
                      and (p[:, 0] >= 0).all() and (p[p[:, 2] > 0, 0] < SIZE[1]).all()]
            return np.array(inside, np.float32).reshape(-1, 25, 3)

        monkeypatch.setattr(preparing, "_cut", cut)
        monkeypatch.setattr(pipeline, "find_people", find)


def framed(photo: np.ndarray) -> Any:
    wanted = Wanted(load_image(photo, "panorama"), Given(), False, SIZE)
    return preparing._framed(None, cpu_ops(), wanted, Clock())  # type: ignore[arg-type, type-var]


def person_at(x: float, tall: int = 240) -> np.ndarray:
    return standing(tall, tall * 3 // 4) + np.array([x, 0, 0], np.float32) * (
        standing()[:, 2:] > 0)


def test_a_panorama_is_searched_and_its_person_framed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = person_at(700)
    eyes = Eyes(monkeypatch, [body], least=120)
    cut = framed(np.full((256, 1100, 3), 90, np.uint8))
    assert len(eyes.looks) == 1 + 11 + 1  # the whole, the windows, closer
    assert cut.people == 1
    assert np.allclose(cut.frame.to_original(cut.given.body)[:15], body[:15], atol=0.5)
    assert cut.image.shape == (*SIZE, 3)


def test_two_people_of_a_panorama_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    Eyes(monkeypatch, [person_at(300, 200), person_at(700)], least=120)
    cut = framed(np.full((256, 1100, 3), 90, np.uint8))
    assert cut.people == 2
    assert cut.frame.to_original(cut.given.body)[1, 0] == pytest.approx(700 + 90, abs=1)


def test_small_people_are_sought_in_smaller_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = Eyes(monkeypatch, [person_at(100, 100)], least=150)
    cut = framed(np.full((256, 192, 3), 90, np.uint8))
    assert len(eyes.looks) == 1 + 9 + 1 and cut.people == 1


def test_who_is_found_at_once_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = Eyes(monkeypatch, [person_at(300)], least=10)
    framed(np.full((256, 1100, 3), 90, np.uint8))
    assert len(eyes.looks) == 2  # the whole, closer


def test_nobody_anywhere_is_said_with_the_photo_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Eyes(monkeypatch, [], least=10)
    with pytest.raises(NoPersonError, match="panorama: nobody was found"):
        framed(np.full((256, 1100, 3), 90, np.uint8))


def test_a_ghost_that_the_closer_look_does_not_see_is_nobody(
        monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = Eyes(monkeypatch, [person_at(700)], least=120)
    find = pipeline.find_people

    def only_windows(*a: Any) -> np.ndarray:
        found = find(*a)
        return found if len(eyes.looks) <= 12 else found[:0]

    monkeypatch.setattr(pipeline, "find_people", only_windows)
    with pytest.raises(NoPersonError):
        framed(np.full((256, 1100, 3), 90, np.uint8))
