"""Batches: one person in many garments, many pairs, true batches where networks take them; every
fit of a batch is the one it would be alone, on the CPU and on the made-up GPU."""

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_cuda import MadeUpCuda
from narrow import SIZE, hold, narrow_garment, narrow_model, narrow_person
from queued import QueuedBackend

from fuw.engine import run
from fuw.engine.backend import Backend, Model, OpenOptions
from fuw.engine.device_fit import FIT_NETS
from fuw.engine.errors import InputError, NoRoom
from fuw.engine.fitter import Fitter, Options, paired
from fuw.engine.images import load_image, save_image
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino
from fuw.kernels.launch import CudaDevice

BATCH = 3
PEOPLE = [narrow_person(i) for i in range(2)]
GARMENTS = [narrow_garment(i) for i in range(5)]
Models = dict[int, dict[str, Model]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("narrow")
    return {batch: {name: narrow_model(name, folder, batch) for name in FIT_NETS}
            for batch in (1, BATCH)}


def _fitter(models: Models, batch: int, backend: Backend | None = None) -> Fitter:
    backend = backend or OrtCpu()
    nets = {n: Networks(models[n], backend, OpenOptions(1), "u2net", "made up") for n in models}
    return Fitter(nets[1], cpu_ops(), Options(size=SIZE, batch=batch), "made up", None,
                  nets[BATCH] if batch > 1 else None)


@pytest.fixture(scope="module")
def alone(models: Models) -> Iterator[Fitter]:
    with _fitter(models, 1) as fitter:
        yield fitter


def test_pairs() -> None:
    people, garments = PEOPLE, GARMENTS[:2]
    assert paired(people[:1], garments) == [(people[0], g) for g in garments]
    assert paired(people, garments[:1]) == [(p, garments[0]) for p in people]
    assert paired(people, garments) == list(zip(people, garments, strict=True))
    assert paired(people[:1], []) == []
    with pytest.raises(InputError, match="2 people and 5 garments make no pairs"):
        paired(people, GARMENTS)


def test_a_list_is_its_fits(alone: Fitter) -> None:
    fits = alone.fit(PEOPLE[0], GARMENTS[:2], seed=4)
    for fit, garment in zip(fits, GARMENTS, strict=False):
        want = alone.fit(PEOPLE[0], garment, seed=4)
        assert np.array_equal(fit.image, want.image) and fit.garment is garment
    assert alone.fit([], GARMENTS[:1]) == []


@pytest.mark.parametrize("backend", [OrtCpu(), OpenVino()], ids=lambda b: b.name)
def test_a_true_batch_is_its_fits(models: Models, alone: Fitter, backend: Backend) -> None:
    """Five garments in batches of three: the second is filled up, and what fills it is dropped."""
    with _fitter(models, BATCH, backend) as fitter:
        fits = fitter.fit(PEOPLE[1], GARMENTS)
        assert len(fits) == 5 and fitter.batch == BATCH
        stages = list[float]()
        fitter._on_stage = lambda _, ms: stages.append(ms)
        three = fitter.fit(PEOPLE[1], GARMENTS[:3])
        shares = sum(ms for fit in three for ms in fit.timings.values())
        assert shares == pytest.approx(sum(stages)), "a fit's timings are its share of the batch's"
        for fit, garment in zip(fits, GARMENTS, strict=True):
            hold(fit, alone.fit(PEOPLE[1], garment))
        assert fitter._many is not None and fitter._many["alias"].opened is not None
        assert fitter.nets["alias"].opened is None, "nothing was left to dress alone"
        hold(fitter.fit(PEOPLE[0], GARMENTS[0]), alone.fit(PEOPLE[0], GARMENTS[0]))


@pytest.mark.parametrize("order", ["early", "random"])
def test_a_batch_on_the_device(models: Models, alone: Fitter, order: str,
                               cuda: MadeUpCuda) -> None:
    cuda.order(order, 2)
    gpu, backend = CudaDevice(), QueuedBackend(cuda)
    one, many = (Networks(models[n], backend, OpenOptions(1, "cuda:0", None, gpu), "u2net", "")
                 for n in (1, BATCH))
    with Fitter(one, cpu_ops(), Options(size=SIZE, batch=BATCH), "", None, many, gpu) as fitter:
        pairs = [(PEOPLE[i % 2], GARMENTS[i]) for i in range(5)]
        fits = fitter.fit([p for p, _ in pairs], [g for _, g in pairs], seed=1)
        for fit, (person, garment) in zip(fits, pairs, strict=True):
            hold(fit, alone.fit(person, garment, seed=1))
        cuda.counts()
        again = fitter.fit(PEOPLE[0], GARMENTS[:3], seed=1)
        ran = cuda.counts()
        assert (ran["graphs"], ran["uploads"], ran["downloads"], ran["unlocked"]) == (1, 0, 1, 0)
        single = fitter.fit(PEOPLE[0], GARMENTS[2], seed=1)
        off = np.abs(single.image.astype(int) - again[2].image.astype(int))
        assert off.max() <= 1


@pytest.mark.parametrize("backend", [OrtCpu(), OpenVino()], ids=lambda b: b.name)
def test_pairs_of_a_folder_in_batches(models: Models, alone: Fitter, backend: Backend,
                                      tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fuw-run --pairs --batch 3`: four pairs, the pictures that each pair gets alone."""
    with _fitter(models, BATCH, backend) as fitter:
        monkeypatch.setattr(fitter, "person", lambda photo, *_, **__: PEOPLE[int(photo.stem)])
        monkeypatch.setattr(fitter, "garment", lambda photo, *_, **__: GARMENTS[int(photo.stem)])
        monkeypatch.setattr(run, "Fitter", SimpleNamespace(open=lambda **_: nullcontext(fitter)))
        wanted = [(0, 0), (0, 1), (1, 1), (0, 3)]
        for folder in ("image", "cloth"):
            for i in range(4):
                save_image(tmp_path / folder / f"{i}.jpg", GARMENTS[0].image)
        pairs = tmp_path / "pairs.txt"
        pairs.write_text("".join(f"{p}.jpg {g}.jpg\n" for p, g in wanted))
        done = run.run_pairs(run.PairsJob(pairs, tmp_path, tmp_path / "out"), {}, lambda line: None)
    assert (done.written, done.failed) == (4, [])
    for p, g in wanted:
        save_image(tmp_path / "alone.jpg", alone.fit(PEOPLE[p], GARMENTS[g]).image)
        want, got = (load_image(path).pixels.astype(int) for path in (
            tmp_path / "alone.jpg", tmp_path / "out" / f"{p}_{g}.jpg"))
        assert np.abs(got - want).mean() < 0.5


@pytest.mark.parametrize("words", ["Failed to allocate memory for requested buffer of size 9",
                                   "std::bad_alloc"])
def test_a_batch_without_memory_names_a_smaller_one(models: Models, words: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    with _fitter(models, BATCH) as fitter:
        assert fitter._many is not None
        session = fitter._many["alias"].open()

        def full(feeds: object) -> list[np.ndarray]:
            raise RuntimeError(words)

        monkeypatch.setattr(session, "run", full)
        with pytest.raises(NoRoom, match="a batch of 3 does not fit .* use a batch of 1, with"):
            fitter.fit(PEOPLE[0], GARMENTS[:2])
        words = "something else"
        with pytest.raises(RuntimeError, match="something else"):
            fitter.fit(PEOPLE[0], GARMENTS[:2])


def test_without_files_for_a_batch_pairs_are_dressed_one_by_one(
        caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Fitter.open(backend="ort-cpu", batch=4) as fitter:
        assert fitter._many is None
    assert "no fp32 files of seg, gmm, alias for a batch of 4" in caplog.text
    assert "the starter weights come for one pair at a time" in caplog.text
    with pytest.raises(InputError, match="a batch of 0"):
        Fitter.open(backend="ort-cpu", batch=0)
