"""Runs over pairs: one that cannot be done fails alone, the rest is done, a second run resumes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fuw.engine import run
from fuw.engine.errors import CheckpointError, InputError
from fuw.engine.images import load_image, save_image

PIXELS = np.zeros((128, 96, 3), np.uint8)


class Stub:
    """A Fitter that reads photos and dresses nobody; `broken` makes every fit fail."""

    summary, broken, batch = "stub", False, 1

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.batches: list[list[str]] = []

    def person(self, source: Path, given: object, framed: bool) -> str:
        """Its name."""
        return self._read(source)

    def garment(self, source: Path, mask: object, framed: bool) -> str:
        """Its name."""
        return self._read(source)

    def fit(self, people: list[str], garments: list[str], seed: int) -> list[SimpleNamespace]:
        """Black."""
        if self.broken:
            raise CheckpointError("alias: no such network")
        self.batches.append([f"{p} {g}" for p, g in zip(people, garments, strict=True)])
        return [SimpleNamespace(image=PIXELS, timings={"alias": 1.0}) for _ in people]

    def _read(self, source: Path) -> str:
        load_image(source)
        self.prepared.append(source.name)
        return source.name


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()

    @contextmanager
    def opened(**options: Any) -> Iterator[Stub]:
        yield made

    monkeypatch.setattr(run, "Fitter", SimpleNamespace(open=opened))
    return made


def job(tmp_path: Path, pairs: str) -> run.PairsJob:
    for name in ("image/a.jpg", "image/b.jpg", "cloth/c.jpg"):
        save_image(tmp_path / name, PIXELS)
    (tmp_path / "pairs.txt").write_text(pairs)
    return run.PairsJob(tmp_path / "pairs.txt", tmp_path, tmp_path / "out")


def test_a_pair_without_its_photo_fails_alone_and_a_rerun_does_only_that(
        tmp_path: Path, stub: Stub) -> None:
    wanted = job(tmp_path, "a.jpg c.jpg\nx.jpg c.jpg\nb.jpg none.jpg\nb.jpg c.jpg\n")
    left = tmp_path / "out" / ".a_c.jpg.1.999999999.part"  # of a run that was killed
    left.parent.mkdir()
    left.touch()
    done = run.run_pairs(wanted, {}, log=lambda line: None)
    assert (done.written, done.kept, done.failed) == (2, 0, ["x.jpg c.jpg", "b.jpg none.jpg"])
    assert sorted(p.name for p in left.parent.iterdir()) == ["a_c.jpg", "b_c.jpg"]

    save_image(tmp_path / "image/x.jpg", PIXELS)
    stub.prepared.clear()
    done = run.run_pairs(wanted, {}, log=lambda line: None)
    assert (done.written, done.kept, done.failed) == (1, 2, ["b.jpg none.jpg"])
    assert stub.prepared == ["x.jpg", "c.jpg", "b.jpg"]


def test_pairs_are_dressed_a_batch_at_a_time(tmp_path: Path, stub: Stub) -> None:
    """A pair that cannot be used leaves no gap in its batch; the last batch is what is left."""
    stub.batch = 2
    lines: list[str] = []
    done = run.run_pairs(job(tmp_path, "a.jpg c.jpg\nx.jpg c.jpg\nb.jpg c.jpg\na.jpg b.jpg\n"), {},
                         log=lines.append)
    assert (done.written, done.failed) == (2, ["x.jpg c.jpg", "a.jpg b.jpg"])
    assert stub.batches == [["a.jpg c.jpg", "b.jpg c.jpg"]]
    assert stub.prepared == ["a.jpg", "c.jpg", "b.jpg"], "each once"
    save_image(tmp_path / "cloth/b.jpg", PIXELS)
    done = run.run_pairs(job(tmp_path, "a.jpg c.jpg\nb.jpg b.jpg\na.jpg b.jpg\nb.jpg c.jpg\n"), {},
                         log=lines.append)
    assert (done.written, done.kept) == (2, 2)
    assert stub.batches[1:] == [["b.jpg b.jpg", "a.jpg b.jpg"]]
    assert [line.split()[0] for line in lines[1:3]] == ["[1/4]", "[3/4]"]


def test_what_would_fail_for_every_pair_ends_the_run(tmp_path: Path, stub: Stub) -> None:
    stub.broken = True
    with pytest.raises(CheckpointError, match="alias"):
        run.run_pairs(job(tmp_path, "a.jpg c.jpg\nb.jpg c.jpg\n"), {}, log=lambda line: None)
    assert stub.prepared == ["a.jpg", "c.jpg"] and not (tmp_path / "out").exists()


def test_pairs_that_share_a_results_name_are_refused(tmp_path: Path, stub: Stub) -> None:
    with pytest.raises(InputError, match="'a.jpg b_c.jpg' and 'a_b.jpg c.jpg'.*a_b_c.jpg"):
        run.run_pairs(job(tmp_path, "a.jpg b_c.jpg\na.jpg b_c.jpg\na_b.jpg c.jpg\n"), {},
                      log=lambda line: None)
    assert not stub.prepared
