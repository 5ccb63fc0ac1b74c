"""The whole fit on a device without a GPU: real kernels (g++), real networks (ONNX Runtime on the
CPU, queued as a GPU's would be), the real `CudaDevice` over the made-up driver, held against the
CPU's fit. Nothing of the device's memory can be reached by the host meanwhile."""

import copy
import gc
import logging
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_cuda import MadeUpCuda
from narrow import SIZE, hold, narrow_garment, narrow_model, narrow_person
from queued import Overflowing, QueuedBackend

import fuw
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.clock import Clock
from fuw.engine.device_fit import FIT_NETS, DeviceFit
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.fitter import Fitter, Options
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.ort_cuda import BoundSession
from fuw.engine.records import Fit, Garment, Person
from fuw.engine.weights import find_models
from fuw.kernels.launch import CudaDevice

EXAMPLES = Path(fuw.__file__).parent / "examples"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("narrow")
    return {name: narrow_model(name, folder, 1) for name in FIT_NETS}


@pytest.fixture(scope="module")
def cpu(models: dict[str, Model]) -> Iterator[Fitter]:
    nets = Networks(models, OrtCpu(), OpenOptions(1), "u2net", "made up")
    with Fitter(nets, cpu_ops(), Options(size=SIZE), "made up") as fitter:
        yield fitter


@pytest.fixture(scope="module")
def pair() -> tuple[Person, Garment]:
    return narrow_person(1), narrow_garment(2)


@pytest.fixture(scope="module")
def want(cpu: Fitter, pair: tuple[Person, Garment]) -> Fit:
    return cpu.fit(*pair)


class OnDevice:
    """A Fitter on the made-up GPU."""

    def __init__(self, cuda: MadeUpCuda, models: dict[str, Model],
                 size: tuple[int, int] = SIZE, **changed: Any) -> None:
        self.backend, self.gpu = QueuedBackend(cuda), CudaDevice("cuda:0")
        nets = Networks({n: replace(models[n], **changed) for n in FIT_NETS}, self.backend,
                        OpenOptions(1, "cuda:0", None, self.gpu), "u2net", "made up", models)
        self.fitter = Fitter(nets, cpu_ops(), Options(size=size), "made up", None, None, self.gpu)


@pytest.fixture
def there(cuda: MadeUpCuda, models: dict[str, Model]) -> Iterator[OnDevice]:
    made = OnDevice(cuda, models)
    yield made
    made.fitter.close()


def test_the_starter_weights_at_their_size(cuda: MadeUpCuda) -> None:
    """Real weights, real photos, 1024x768, the branches as early as they may."""
    with Fitter.open(backend="ort-cpu", threads=1) as cpu:
        pair = cpu.person(EXAMPLES / "person_1.jpg"), cpu.garment(EXAMPLES / "garment_1.jpg")
        want = cpu.fit(*pair)
    cuda.order("early")
    made = OnDevice(cuda, find_models("starter", "fp32", (1024, 768)), (1024, 768))
    try:
        hold(made.fitter.fit(*pair), want)
    finally:
        made.fitter.close()


def test_a_fit_on_the_device_is_the_cpus(there: OnDevice, cuda: MadeUpCuda, want: Fit,
                                         pair: tuple[Person, Garment]) -> None:
    first = there.fitter.fit(*pair)
    hold(first, want)
    tables = cuda.counts()["uploads"] - 6  # 3 of the person, 2 of the garment, noise: 6
    assert 0 < tables < 12
    again = there.fitter.fit(*pair)
    assert np.array_equal(again.image, first.image)
    ran = cuda.counts()
    # Everything is there already: one graph in, one download out, and nothing else crosses.
    assert (ran["graphs"], ran["uploads"], ran["downloads"], ran["unlocked"]) == (1, 0, 1, 0)
    assert ran["copies"] == 7 and ran["launches"] <= 20
    assert list(again.timings) == ["upload", "fit"]


@pytest.mark.parametrize("order", ["late", "early", "random"])
def test_any_order_that_the_events_allow(cuda: MadeUpCuda, models: dict[str, Model],
                                         order: str, want: Fit,
                                         pair: tuple[Person, Garment]) -> None:
    cuda.order(order, 11)
    made = OnDevice(cuda, models)
    try:
        hold(made.fitter.fit(*pair), want)
    finally:
        made.fitter.close()


def test_one_person_in_several_garments(there: OnDevice, cuda: MadeUpCuda, cpu: Fitter, want: Fit,
                                        pair: tuple[Person, Garment]) -> None:
    person, garment = pair
    flipped = replace(garment, image=garment.image[:, ::-1].copy(),
                      mask=garment.mask[:, ::-1].copy())
    fits = there.fitter.fit(person, [garment, flipped, garment])
    assert len(fits) == 3 and fits[1].garment is flipped
    hold(fits[0], want)
    hold(fits[1], cpu.fit(person, flipped))
    assert np.array_equal(fits[0].image, fits[2].image), "what ran between left something behind"
    cuda.counts()
    there.fitter.fit(person, [flipped, garment])
    ran = cuda.counts()
    assert (ran["uploads"], ran["graphs"], ran["downloads"]) == (0, 2, 2)
    assert ran["copies"] == 2 * 7 + 2 * 2  # of the answer, and the garment to its place


def test_where_nothing_can_be_recorded(cuda: MadeUpCuda, models: dict[str, Model],
                                       want: Fit, pair: tuple[Person, Garment],
                                       caplog: pytest.LogCaptureFixture) -> None:
    made = OnDevice(cuda, models)
    try:
        made.fitter.nets["alias"].open()
        made.backend.sessions["alias fp32"].allocates = True
        with caplog.at_level(logging.WARNING):
            fits = [made.fitter.fit(*pair) for _ in range(2)]
        assert caplog.text.count("queued step by step") == 1
        assert cuda.counts()["graphs"] == 0
        hold(fits[1], want)
    finally:
        made.fitter.close()


def test_onnxruntime_is_never_recorded(cuda: MadeUpCuda, models: dict[str, Model], want: Fit,
                                       pair: tuple[Person, Garment]) -> None:
    """It would end the process: queued step by step, it is the same fit."""
    made = OnDevice(cuda, models)
    made.backend.kind = BoundSession
    try:
        hold(made.fitter.fit(*pair), want)
        ran = cuda.counts()
        assert ran["graphs"] == 0 and ran["downloads"] == 1 and not made.fitter.recorded
        x = made.gpu.empty((1, 21, 256, 192), np.float32)
        with pytest.raises(BackendError, match="cannot be part of a CUDA graph"):
            made.gpu.record(lambda: made.fitter.nets["seg"](x) if made.gpu.recording else None)
    finally:
        made.fitter.close()


def test_a_network_that_overflows_answers_again_in_fp32(cuda: MadeUpCuda, models: dict[str, Model],
                                                        want: Fit,
                                                        pair: tuple[Person, Garment]) -> None:
    made = OnDevice(cuda, models, precision="fp16")
    made.backend.wrap = lambda model, queued: (
        Overflowing(queued.session, queued.device, cuda)
        if (model.spec.name, model.precision) == ("alias", "fp16") else queued)
    try:
        fit = made.fitter.fit(*pair)
        assert [w.code for w in fit.warnings].count("overflow") == 1
        hold(fit, want)
    finally:
        made.fitter.close()


def test_a_prepared_person_is_host_data(there: OnDevice, cuda: MadeUpCuda, want: Fit,
                                        pair: tuple[Person, Garment]) -> None:
    there.fitter.fit(*pair)
    person, garment = pickle.loads(pickle.dumps(pair))
    cuda.counts()
    fit = there.fitter.fit(person, garment)
    assert cuda.counts()["uploads"] == 5  # another object: uploaded anew, though it is equal
    assert np.array_equal(fit.image, there.fitter.fit(*pair).image)
    before = len(there.fitter._single._people._there)  # type: ignore[union-attr]
    del person
    gc.collect()
    del fit
    gc.collect()
    assert len(there.fitter._single._people._there) == before - 1  # type: ignore[union-attr]
    assert pickle.loads(pickle.dumps(there.fitter.fit(*pair))).image.shape == (*SIZE, 3)


def test_close_waits_for_a_fit(cuda: MadeUpCuda, models: dict[str, Model],
                               want: Fit, pair: tuple[Person, Garment]) -> None:
    made, fits, errors = OnDevice(cuda, models), list[Fit](), list[BackendError]()

    def work() -> None:
        try:
            for _ in range(500):
                fits.append(made.fitter.fit(*pair))
        except BackendError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not fits:
        thread.join(0.05)
    made.fitter.close()
    thread.join()
    assert len(errors) == 1 and "was closed; open another Fitter" in str(errors[0])
    assert all(np.array_equal(fit.image, fits[0].image) for fit in fits)


def test_no_room_names_a_batch(cuda: MadeUpCuda, models: dict[str, Model],
                               pair: tuple[Person, Garment]) -> None:
    made = OnDevice(cuda, models)
    try:
        cuda.room(150 << 20)
        many = DeviceFit(made.fitter.nets, made.gpu, SIZE, 640)
        with pytest.raises(NoRoom, match=r"a batch of 640 does not fit .*; a batch of (\d), about "
                                         r"\d+ MiB, would: --batch \1, of") as no:
            many.dress([pair], 0, Clock())
        del no  # its frames hold arrays
        gc.collect()
        assert made.gpu.free_memory() > 149 << 20, "what was allocated for it is free again"
        many.close()
    finally:
        made.fitter.close()


def test_a_shallow_copy_is_another_owner(there: OnDevice, pair: tuple[Person, Garment]) -> None:
    """The cache goes by the object: an id that is used again must not find another's arrays."""
    images = []
    for shade in (0, 200):
        person = copy.copy(pair[0])
        object.__setattr__(person, "agnostic", np.full_like(person.agnostic, shade))
        images.append(there.fitter.fit(person, pair[1]).image)
        del person
        gc.collect()
    assert not np.array_equal(*images)
