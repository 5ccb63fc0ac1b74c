"""Photos prepared on a device without a GPU: real kernels (g++), the starter networks (ONNX Runtime
on the CPU, queued as a GPU's would be), the real `CudaDevice` over the made-up driver, held against
the CPU's preparation, and its waits counted."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import at_once
from made_up_cuda import MadeUpCuda
from narrow import hold_person
from queued import Overflowing, QueuedBackend

import fuw
from fuw.engine.backend import OpenOptions
from fuw.engine.errors import NoPersonError
from fuw.engine.fitter import Fitter, Options
from fuw.engine.images import load_image
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.records import Garment, Given, Person
from fuw.engine.spec import View
from fuw.engine.weights import find_models
from fuw.kernels.launch import CudaDevice

EXAMPLES = Path(fuw.__file__).parent / "examples"
PERSON, GARMENT = EXAMPLES / "person_1.jpg", EXAMPLES / "garment_1.jpg"
SIZE = (1024, 768)


class OnDevice:
    """A Fitter with the starter weights on the made-up GPU."""

    def __init__(self, cuda: MadeUpCuda, precision: str = "fp32") -> None:
        self.backend, self.gpu = QueuedBackend(cuda), CudaDevice("cuda:0")
        models = find_models("starter", "fp32", SIZE)
        low = {name: replace(model, precision=precision) for name, model in models.items()}
        nets = Networks(low, self.backend, OpenOptions(1, "cuda:0", None, self.gpu), "u2net",
                        "starter", models)
        self.fitter = Fitter(nets, cpu_ops(), Options(size=SIZE), "made up", None, None, self.gpu)


@pytest.fixture
def there(cuda: MadeUpCuda) -> Iterator[OnDevice]:
    made = OnDevice(cuda)
    yield made
    made.fitter.close()


@pytest.fixture(scope="module")
def cpu() -> Iterator[Fitter]:
    with Fitter.open(backend="ort-cpu", threads=1) as fitter:
        yield fitter


@pytest.fixture(scope="module")
def person(cpu: Fitter) -> Person:
    return cpu.person(PERSON)


@pytest.fixture(scope="module")
def garment(cpu: Fitter) -> Garment:
    return cpu.garment(GARMENT)


def test_a_person_on_the_device_is_the_cpus(there: OnDevice, cuda: MadeUpCuda,
                                            person: Person) -> None:
    first = there.fitter.person(PERSON)
    hold_person(first, person)
    cuda.counts()
    again = there.fitter.person(PERSON)
    assert np.array_equal(again.parse, first.parse) and np.array_equal(again.body, first.body)
    ran = cuda.counts()
    # Key points, hands, maps; and three times for the second looks of the starter networks.
    assert ran["downloads"] == 6 and ran["unlocked"] == 0


def test_a_person_that_is_cut_closer(there: OnDevice, cuda: MadeUpCuda, cpu: Fitter,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that look once, as the official ones do."""
    monkeypatch.setattr(Networks, "views", lambda self, name: (View(),))
    photo = np.pad(load_image(PERSON).pixels, ((0, 0), (300, 500), (0, 0)), "edge")
    cuda.counts()
    hold_person(there.fitter.person(photo), cpu.person(photo))
    assert cuda.counts()["downloads"] == 4, "key points, key points closer, hands, maps"
    there.fitter.person(PERSON)
    assert cuda.counts()["downloads"] == 3


@pytest.mark.parametrize("order", ["late", "random"])
def test_threads_prepare_at_once(there: OnDevice, cuda: MadeUpCuda, person: Person,
                                 order: str) -> None:
    cuda.order(order, 7)
    at_once(lambda _: hold_person(there.fitter.person(PERSON), person), 3)


def test_what_is_given_takes_the_place_of_a_network(there: OnDevice, cpu: Fitter,
                                                    person: Person) -> None:
    given = Given(body=person.body, hands=person.hands, parse=person.parse,
                  skeleton=person.skeleton)
    made = there.fitter.person(person.image, given, framed=True)
    want = cpu.person(person.image, given, framed=True)
    assert made.iuv is None and not there.backend.sessions, "no network was asked"
    for name in ("skeleton", "parse", "parse_agnostic", "groups_agnostic"):
        assert np.array_equal(getattr(made, name), getattr(want, name)), name


def test_nobody_is_nobody_on_a_device_too(there: OnDevice) -> None:
    with pytest.raises(NoPersonError, match="nobody was found"):
        there.fitter.person(np.full((1024, 768, 3), 128, np.uint8))


@pytest.mark.parametrize("name", ["openpose_body", "schp", "u2net"])
def test_a_network_that_overflows_answers_again_in_fp32(cuda: MadeUpCuda, person: Person,
                                                        garment: Garment, name: str) -> None:
    """Seen in a flag, also where nobody is found for it: the host then looks step by step."""
    made = OnDevice(cuda, "fp16")
    made.backend.wrap = lambda model, queued: (
        Overflowing(queued.session, queued.device, cuda)
        if (model.spec.name, model.precision) == (name, "fp16") else queued)
    try:
        if name == "u2net":
            there = made.fitter.garment(GARMENT)
            assert (there.mask != garment.mask).mean() < 1e-3
        else:
            there = made.fitter.person(PERSON)
            hold_person(replace(there, warnings=person.warnings), person)
        assert [w.code for w in there.warnings].count("overflow") == 1
    finally:
        made.fitter.close()


def test_what_was_prepared_is_there_for_the_fit(there: OnDevice, cuda: MadeUpCuda,
                                                garment: Garment) -> None:
    made = there.fitter.person(PERSON)
    first = there.fitter.fit(made, garment)
    other = there.fitter.person(PERSON)
    cuda.counts()
    assert np.array_equal(there.fitter.fit(other, garment).image, first.image)
    assert cuda.counts()["uploads"] == 0, "the maps never left the device"
    fit = there.fitter.fit(pickle.loads(pickle.dumps(made)), garment)
    assert np.array_equal(fit.image, first.image), "what is pickled is host data"


def test_a_picture_goes_back_into_its_photo(there: OnDevice, cuda: MadeUpCuda, cpu: Fitter,
                                            garment: Garment) -> None:
    photo = np.pad(load_image(PERSON).pixels, ((0, 0), (300, 500), (0, 0)), "edge")
    fit = cpu.fit(cpu.person(photo), garment)
    cuda.counts()
    back = there.fitter.paste_back(fit)
    assert cuda.counts()["downloads"] == 1
    off = np.abs(back.astype(int) - fit.pasted_back())
    assert off.max() <= 2 and (off > 0).mean() < 5e-3 and (back != photo).any()


def test_a_garment_on_the_device_is_the_cpus(there: OnDevice, cuda: MadeUpCuda,
                                             garment: Garment) -> None:
    there.fitter.garment(GARMENT)
    cuda.counts()
    made = there.fitter.garment(GARMENT)
    assert cuda.counts()["downloads"] == 1, "a garment waits once, for its mask"
    assert (np.abs(made.soft_mask.astype(int) - garment.soft_mask) > 1).mean() < 2e-3
    assert (made.mask != garment.mask).mean() < 1e-3
    assert (np.abs(made.image.astype(int) - garment.image) > 1).mean() < 2e-3
