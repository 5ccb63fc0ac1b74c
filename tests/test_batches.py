"""Batches: one person in many garments, many pairs, true batches where networks take them; every
fit of a batch is the one it would be alone, on the CPU and on the made-up GPU."""

import importlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from made_up import standing
from made_up_cuda import MadeUpCuda, install
from shim_device import build
from test_device_fit import QueuedBackend, hold

from fuw.engine.backend import Model, OpenOptions
from fuw.engine.clock import Clock
from fuw.engine.device_fit import FIT_NETS
from fuw.engine.errors import InputError
from fuw.engine.fitter import Fitter, Options, paired
from fuw.engine.framing import whole_frame
from fuw.engine.nets import Networks
from fuw.engine.networks import NETWORKS
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.records import Fit, Garment, Person
from fuw.engine.spec import Variant
from fuw.export.to_onnx import export_onnx
from fuw.kernels import cpu
from fuw.kernels.launch import CudaDevice

SIZE, BATCH = (256, 128), 3
NARROW = {"seg": Variant(0.0625, sizes={"height": 256, "width": 192}),
          "gmm": Variant(0.0625, sizes={"height": 256, "width": 192}),
          "alias": Variant(0.0625, sizes={"height": 256, "width": 128})}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Model]]:
    """Narrow networks with made-up weights, exported for one pair and for three."""
    folder = tmp_path_factory.mktemp("narrow")
    found: dict[int, dict[str, Model]] = {1: {}, BATCH: {}}
    for name in FIT_NETS:
        spec = replace(NETWORKS[name], variants={**NETWORKS[name].variants, "tiny": NARROW[name]})
        module, _, cls = spec.module.partition(":")
        for batch in found:
            torch.manual_seed(3)
            network: Any = getattr(importlib.import_module(module), cls)(NARROW[name].width)
            path = export_onnx(spec, network.eval(), folder / f"{name}-{batch}.onnx",
                               variant="tiny", batch=batch)
            found[batch][name] = Model(spec, "tiny", path, "fp32", NARROW[name].sizes, batch)
    return found


def _person(seed: int) -> Person:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    parse = np.zeros(SIZE, np.uint8)
    parse[60:160, 30 + 5 * seed : 90] = 5
    body = standing(*SIZE)
    body[:, 0] += seed
    drawn = cpu.draw_skeleton(body, None, *SIZE)
    agnostic = cpu.parse_agnostic(parse, body, SIZE[0] / 1024)
    return Person(image, body, np.zeros((2, 21, 3), np.float32), drawn, parse, None, agnostic,
                  cpu.group13(agnostic), cpu.image_agnostic(image, parse, body, SIZE[0] / 1024),
                  photo=image, frame=whole_frame(image, SIZE))


def _garment(seed: int) -> Garment:
    rng = np.random.default_rng(100 + seed)
    mask = np.zeros(SIZE, np.uint8)
    mask[30 + 9 * seed : 200, 20:100] = 255
    return Garment(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), mask, mask)


PEOPLE, GARMENTS = [_person(i) for i in range(2)], [_garment(i) for i in range(5)]


def _fitter(models: dict[int, dict[str, Model]], batch: int) -> Fitter:
    nets = {n: Networks(models[n], OrtCpu(), OpenOptions(1), "u2net", "made up") for n in models}
    return Fitter(nets[1], cpu_ops(), Options(size=SIZE, batch=batch), "made up", None,
                  nets[BATCH] if batch > 1 else None)


@pytest.fixture(scope="module")
def alone(models: dict[int, dict[str, Model]]) -> Iterator[Fitter]:
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


def test_a_true_batch_is_its_fits(models: dict[int, dict[str, Model]], alone: Fitter) -> None:
    """Five garments in batches of three: the second is filled up, and what fills it is dropped."""
    with _fitter(models, BATCH) as fitter:
        fits = fitter.fit(PEOPLE[1], GARMENTS)
        assert len(fits) == 5
        for fit, garment in zip(fits, GARMENTS, strict=True):
            hold(fit, alone.fit(PEOPLE[1], garment))
        assert fitter._many is not None and fitter._many["alias"].opened is not None
        assert fitter.nets["alias"].opened is None, "nothing was left to dress alone"
        hold(fitter.fit(PEOPLE[0], GARMENTS[0]), alone.fit(PEOPLE[0], GARMENTS[0]))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
@pytest.mark.parametrize("order", ["early", "random"])
def test_a_batch_on_the_device(models: dict[int, dict[str, Model]], alone: Fitter, order: str,
                               monkeypatch: pytest.MonkeyPatch,
                               tmp_path_factory: pytest.TempPathFactory) -> None:
    cuda: MadeUpCuda = install(monkeypatch, build(tmp_path_factory.mktemp("shim")))
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
    assert cuda.contexts() == (0, 0) and cuda.used() == 0


def test_without_files_for_a_batch_pairs_are_dressed_one_by_one(
        caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Fitter.open(backend="ort-cpu", batch=4) as fitter:
        assert fitter._many is None
    assert "no fp32 files of seg, gmm, alias for a batch of 4" in caplog.text
    assert "fuw-export --weights starter --batch 4" in caplog.text
    with pytest.raises(InputError, match="a batch of 0"):
        Fitter.open(backend="ort-cpu", batch=0)


def test_stages_are_told_for_each_fit(alone: Fitter) -> None:
    fit = alone.fit(PEOPLE[0], GARMENTS[0])
    assert isinstance(fit, Fit) and list(fit.timings) == ["seg", "warp", "misalign", "alias",
                                                          "picture"]
    assert Clock().ms == {}
