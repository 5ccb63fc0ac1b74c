"""The static form of ALIAS on a device: real kernels and networks on the made-up GPU, windows found
in the same queue, and maps that overflow it in the dense form."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_cuda import MadeUpCuda
from narrow import SIZE, hold, narrow_garment, narrow_model, narrow_person
from queued import QueuedBackend
from static_alias import static_alias

from fuw.engine.arrays import F32
from fuw.engine.backend import Model, Network, OpenOptions
from fuw.engine.errors import BackendError
from fuw.engine.fitter import Fitter, Options
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.windowed import Windowed
from fuw.export.alias_case import alias_inputs, person_map
from fuw.kernels.device import DeviceArray
from fuw.kernels.launch import CudaDevice

ROOMY, TIGHT = 1700, 300  # rows for a person and not for noise; too few for a made-up fit


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    return static_alias(tmp_path_factory.mktemp("static"), (ROOMY, TIGHT))


@pytest.fixture
def roomy(models: list[Model]) -> Model:
    return models[0]


@pytest.fixture
def gpu(cuda: MadeUpCuda) -> Iterator[CudaDevice]:
    made = CudaDevice("cuda:0")
    yield made
    made.close()


def noise() -> list[F32]:
    return alias_inputs(np.random.default_rng(0).integers(0, 7, SIZE))


def dense(model: Model, inputs: list[F32]) -> F32:
    with Network(replace(model, static=None), OrtCpu(), OpenOptions(1)) as net:
        return net(*inputs)[0]


def far(got: F32, want: F32) -> float:
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def queued(net: Network, gpu: CudaDevice, inputs: list[F32]) -> F32:
    there: list[DeviceArray] = [gpu.upload(value) for value in inputs]
    return np.asarray(gpu.download(net(*there)[0]), np.float32)


def test_it_answers_as_the_dense_form(cuda: MadeUpCuda, gpu: CudaDevice, roomy: Model) -> None:
    inputs, backend = alias_inputs(person_map(*SIZE)), QueuedBackend(cuda)
    with Network(roomy, backend, OpenOptions(1, "cuda:0", None, gpu)) as net:
        assert isinstance(net.open(), Windowed)
        want = dense(roomy, inputs)
        assert far(net(*inputs)[0], want) < 1e-4 and far(queued(net, gpu, inputs), want) < 1e-4


def test_an_overflow_takes_the_dense_form_and_is_told_once(
        cuda: MadeUpCuda, gpu: CudaDevice, roomy: Model, caplog: pytest.LogCaptureFixture) -> None:
    person, torn, backend = alias_inputs(person_map(*SIZE)), noise(), QueuedBackend(cuda)
    with Network(roomy, backend, OpenOptions(1, "cuda:0", None, gpu)) as net, caplog.at_level(
            logging.WARNING):
        want = dense(roomy, torn)
        assert np.array_equal(net(*torn)[0], want) and np.array_equal(net(*torn)[0], want)
        (line,) = caplog.messages
        assert line.startswith("alias: the parse map has more different 5x5 windows than the 1700 ")
        assert "overflows, so it runs in the dense form" in line and "dense.onnx" in line
        answer = queued(net, gpu, torn)
        assert np.isnan(answer.flat[0]), "on the device it cannot be told in time"
        assert far(queued(net, gpu, person), dense(roomy, person)) < 1e-4, "the flag stayed"


def test_without_a_dense_file_it_says_so(cuda: MadeUpCuda, gpu: CudaDevice, roomy: Model) -> None:
    options, backend = OpenOptions(1, "cuda:0", None, gpu), QueuedBackend(cuda)
    net = Network(roomy, backend, options)
    session = net.open()
    assert isinstance(session, Windowed)
    session._standby._dense = None
    with pytest.raises(BackendError, match="no dense file beside it"):
        net(*noise())
    net.close()


def test_a_cpu_keeps_to_the_dense_form(roomy: Model) -> None:
    with Network(roomy, OrtCpu(), OpenOptions(1)) as net:
        assert not isinstance(net.open(), Windowed)


class Fits:
    """A Fitter on the CPU and one on the made-up GPU, with the static form."""

    def __init__(self, cuda: MadeUpCuda, folder: Path, alias: Model) -> None:
        models = {name: narrow_model(name, folder, 1) for name in ("seg", "gmm")} | {"alias": alias}
        self.backend, self.gpu = QueuedBackend(cuda), CudaDevice("cuda:0")
        cpu = Networks(models, OrtCpu(), OpenOptions(1), "u2net", "made up")
        there = Networks(models, self.backend, OpenOptions(1, "cuda:0", None, self.gpu), "u2net",
                         "made up", models)
        self.cpu = Fitter(cpu, cpu_ops(), Options(size=SIZE), "made up")
        self.there = Fitter(there, cpu_ops(), Options(size=SIZE), "made up", None, None, self.gpu)

    def close(self) -> None:
        self.cpu.close()
        self.there.close()


@pytest.mark.parametrize("order", ["program", "late", "random"])
def test_a_recorded_fit_finds_its_windows(cuda: MadeUpCuda, tmp_path: Path, roomy: Model,
                                          order: str) -> None:
    """Nothing waits and nothing crosses: one graph in, one download out."""
    cuda.order(order, 5)
    fits, pair = Fits(cuda, tmp_path, roomy), (narrow_person(1), narrow_garment(2))
    try:
        want = fits.cpu.fit(*pair)
        hold(fits.there.fit(*pair), want)
        cuda.counts()
        again = fits.there.fit(*pair)
        ran = cuda.counts()
        assert fits.there.recorded and not again.warnings
        assert (ran["graphs"], ran["uploads"], ran["downloads"], ran["unlocked"]) == (1, 0, 1, 0)
        hold(again, want)
    finally:
        fits.close()


def test_a_fit_that_overflows_is_made_again_in_the_dense_form(
        cuda: MadeUpCuda, tmp_path: Path, models: list[Model],
        caplog: pytest.LogCaptureFixture) -> None:
    fits = Fits(cuda, tmp_path, models[1])
    pair = narrow_person(1), narrow_garment(2)
    try:
        with caplog.at_level(logging.WARNING):
            made = [fits.there.fit(*pair) for _ in range(2)]
        for fit in made:
            hold(fit, fits.cpu.fit(*pair))
            assert not fit.warnings, "no number overflowed"
        assert caplog.text.count("it overflows, so it runs in the dense form") == 1
    finally:
        fits.close()


def test_a_graph_that_was_freed_leaves_the_session_whole(cuda: MadeUpCuda, tmp_path: Path,
                                                         roomy: Model) -> None:
    fits, pair = Fits(cuda, tmp_path, roomy), (narrow_person(1), narrow_garment(2))
    try:
        want = fits.there.fit(*pair)
        assert fits.there._single is not None
        fits.there._single.close()
        hold(fits.there.fit(*pair), want)
    finally:
        fits.close()
