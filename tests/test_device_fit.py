"""The whole fit on a device without a GPU: real kernels (g++), real networks (ONNX Runtime on the
CPU, queued as a GPU's would be), the real `CudaDevice` over the made-up driver, held against the
CPU's fit. Nothing of the device's memory can be reached by the host meanwhile."""

import copy
import gc
import logging
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from made_up_cuda import MadeUpCuda, install
from shim_device import build

import fuw
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.clock import Clock
from fuw.engine.device_fit import FIT_NETS, DeviceFit
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.fitter import Fitter, Options
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.ort_cuda import BoundSession
from fuw.engine.records import Fit, Garment, Person
from fuw.engine.weights import find_models
from fuw.kernels.device import Device
from fuw.kernels.launch import CudaDevice

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
EXAMPLES = Path(fuw.__file__).parent / "examples"


class Queued:
    """An ONNX Runtime session whose runs wait in a stream's queue, as on a GPU; `spoil` may touch
    the outputs afterwards."""

    def __init__(self, session: Any, device: Device, cuda: MadeUpCuda) -> None:
        self.session, self.device, self.cuda, self.runs = session, device, cuda, 0
        self.io_binding = session.io_binding
        self.allocates = False

    def run_with_iobinding(self, binding: Any, settings: Any) -> None:
        assert settings.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        if self.allocates and self.device.recording:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")

        def run() -> None:
            self.runs += 1
            self.session.run_with_iobinding(binding)

        self.cuda.host(self.device.stream, run)


class QueuedBackend:
    """ONNX Runtime CUDA as far as our code goes, on the CPU."""

    name = "ort-cuda"

    def __init__(self, cuda: MadeUpCuda) -> None:
        self.cuda, self.sessions = cuda, dict[str, Queued]()
        self.wrap: Callable[[Model, Any], Any] = lambda model, session: session

    def open(self, model: Model, options: OpenOptions) -> BoundSession:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        session = ort.InferenceSession(str(model.path), settings,
                                       providers=["CPUExecutionProvider"])
        assert options.gpu is not None
        queued = Queued(session, options.gpu, self.cuda)
        self.sessions[f"{model.spec.name} {model.precision}"] = queued
        return BoundSession(ort, self.wrap(model, queued), model, options.gpu, "cpu", owns=False)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def cpu() -> Iterator[Fitter]:
    with Fitter.open(backend="ort-cpu", threads=1) as fitter:
        yield fitter


@pytest.fixture(scope="module")
def pair(cpu: Fitter) -> tuple[Person, Garment]:
    return cpu.person(EXAMPLES / "person_1.jpg"), cpu.garment(EXAMPLES / "garment_1.jpg")


@pytest.fixture(scope="module")
def want(cpu: Fitter, pair: tuple[Person, Garment]) -> Fit:
    return cpu.fit(*pair)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, library: Path) -> Iterator[MadeUpCuda]:
    made = install(monkeypatch, library)
    yield made
    gc.collect()
    assert made.contexts() == (0, 0) and made.used() == 0


class OnDevice:
    """A Fitter on the made-up GPU."""

    def __init__(self, cuda: MadeUpCuda, **changed: Any) -> None:
        self.backend, self.gpu = QueuedBackend(cuda), CudaDevice("cuda:0")
        models = find_models("starter", "fp32", (1024, 768))
        nets = Networks({n: replace(models[n], **changed) for n in FIT_NETS}, self.backend,
                        OpenOptions(1, "cuda:0", None, self.gpu), "u2net", "starter",
                        {n: models[n] for n in FIT_NETS})
        self.fitter = Fitter(nets, cpu_ops(), Options(), "made up", None, None, self.gpu)


@pytest.fixture
def there(cuda: MadeUpCuda) -> Iterator[OnDevice]:
    made = OnDevice(cuda)
    yield made
    made.fitter.close()


def hold(got: Fit, want: Fit) -> None:
    """Every stage within what its twin is held to, the picture to one grey level."""
    a, b = got.parts, want.parts
    assert (a.groups != b.groups).mean() < 2e-4 and (a.seg != b.seg).mean() < 2e-4
    assert a.theta.shape == b.theta.shape and np.abs(a.theta - b.theta).max() < 1e-4
    for name in ("warped", "warped_mask", "misalign"):
        x, y = getattr(a, name).astype(int), getattr(b, name).astype(int)
        assert x.shape == y.shape and (np.abs(x - y) > 1).mean() < 1e-3, name
    off = np.abs(got.image.astype(int) - want.image.astype(int))
    assert got.image.shape == want.image.shape and (off > 1).mean() < 2e-4, off.max()


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
def test_any_order_that_the_events_allow(cuda: MadeUpCuda, order: str, want: Fit,
                                         pair: tuple[Person, Garment]) -> None:
    cuda.order(order, 11)
    made = OnDevice(cuda)
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


def test_where_nothing_can_be_recorded(cuda: MadeUpCuda, want: Fit, pair: tuple[Person, Garment],
                                       caplog: pytest.LogCaptureFixture) -> None:
    made = OnDevice(cuda)
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


def test_a_network_that_overflows_answers_again_in_fp32(cuda: MadeUpCuda, want: Fit,
                                                        pair: tuple[Person, Garment]) -> None:
    made = OnDevice(cuda, precision="fp16")
    spoilt: list[np.ndarray] = []

    class Overflowing(Queued):
        def run_with_iobinding(self, binding: Any, settings: Any) -> None:
            super().run_with_iobinding(binding, settings)

            def spoil() -> None:
                (value,) = binding.get_outputs()
                value.numpy()  # a copy: ONNX Runtime's own memory is written below
                import ctypes

                at = (ctypes.c_float * 3).from_address(value.data_ptr() + 4000)
                at[1] = float("inf")
                spoilt.append(np.array(at))

            self.cuda.host(self.device.stream, spoil)

    made.backend.wrap = lambda model, queued: (
        Overflowing(queued.session, queued.device, cuda)
        if (model.spec.name, model.precision) == ("alias", "fp16") else queued)
    try:
        fit = made.fitter.fit(*pair)
        assert spoilt and [w.code for w in fit.warnings].count("overflow") == 1
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
    assert pickle.loads(pickle.dumps(there.fitter.fit(*pair))).image.shape == (1024, 768, 3)


def test_close_waits_for_a_fit(cuda: MadeUpCuda, want: Fit, pair: tuple[Person, Garment]) -> None:
    made, fits, errors = OnDevice(cuda), list[Fit](), list[BackendError]()

    def work() -> None:
        try:
            for _ in range(50):
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


def test_no_room_names_a_batch(cuda: MadeUpCuda, pair: tuple[Person, Garment]) -> None:
    made = OnDevice(cuda)
    try:
        cuda.room(700 << 20)
        many = DeviceFit(made.fitter.nets, made.gpu, (1024, 768), 64)
        with pytest.raises(NoRoom, match=r"a batch of 64 does not fit .*; a batch of (\d), about "
                                         r"\d+ MiB, would: open the Fitter with batch=\1") as no:
            many.dress([pair], 0, Clock())
        del no  # its frames hold arrays
        gc.collect()
        assert made.gpu.free_memory() > 690 << 20, "what was allocated for it is free again"
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
