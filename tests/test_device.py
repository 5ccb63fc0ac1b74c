"""The whole table of kernel operations once more, through `CudaDevice` on the made-up driver, and
what a device promises: order, memory, recording."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from kernel_cases import SIZES, check, fit_chain
from kernel_cases_pose import ALL_CASES
from made_up import at_once
from made_up_cuda import MadeUpCuda

from fuw.engine.errors import BackendError, NoRoom
from fuw.kernels.launch import CudaDevice


@pytest.fixture
def device(cuda: MadeUpCuda) -> Iterator[CudaDevice]:
    gpu = CudaDevice("cuda")
    yield gpu
    gpu.close()


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda c: c.__name__)
def test_kernels_through_the_device(case, device: CudaDevice, cuda: MadeUpCuda) -> None:  # type: ignore[no-untyped-def]
    check(case, device, "f32", SIZES[1], 3)
    assert cuda.counts()["unlocked"] == 0, "a copy from or to memory that is not page-locked"


def test_a_fit_in_order(device: CudaDevice) -> None:
    for pair in fit_chain(device, SIZES[0]):
        pair.check("f32")


def _grouped(device: CudaDevice, labels: np.ndarray) -> np.ndarray:
    from fuw.kernels.steps import Steps

    return np.asarray(device.download(Steps(device).group7(device.upload(labels))))


def test_nothing_runs_before_a_wait(device: CudaDevice, cuda: MadeUpCuda) -> None:
    there = device.upload(np.arange(12, dtype=np.uint8).reshape(3, 4))
    other = device.empty(there.shape, there.dtype)
    device.copy(there, other)
    assert cuda.counts()["copies"] == 0
    np.testing.assert_array_equal(device.download(other).ravel(), np.arange(12))
    assert cuda.counts()["copies"] == 1


@pytest.mark.parametrize("order", ["late", "early", "random"])
def test_branches_run_in_any_order_and_join(device: CudaDevice, cuda: MadeUpCuda,
                                            order: str) -> None:
    cuda.order(order, 3)
    for value in range(8):
        a = device.upload(np.full(600, value, np.int32))
        with device.branch():
            b = device.empty((600,), np.int32)
            device.copy(a, b)
            scratch = device.empty((600,), np.int32)
            device.fill(scratch, 99)
            del scratch  # back in the pool, and not to be had before the join
        with device.branch():
            c = device.empty((600,), np.int32)
            device.copy(a, c)
        d = device.empty((600,), np.int32)
        device.fill(d, -1)
        device.join()
        device.copy(b, a)
        assert [int(device.download(x)[0]) for x in (a, b, c, d)] == [value, value, value, -1]


@pytest.mark.parametrize("order", ["program", "early", "random"])
def test_a_recording_runs_again_on_what_its_places_hold(device: CudaDevice, cuda: MadeUpCuda,
                                                        order: str) -> None:
    cuda.order(order, 5)
    place, out = device.empty((1000,), np.int32), device.empty((1000,), np.int32)
    device.fill(place, 7)

    def work() -> None:
        middle = device.empty((1000,), np.int32)
        with device.branch():
            device.copy(place, middle)
        device.fill(out, 0)
        device.join()
        device.copy(middle, out)

    graph, _ = device.record(work)
    for value in (3, 4):
        device.upload(np.full(1000, value, np.int32), place)
        between = device.upload(np.full(1000, 5, np.int32))  # the graph's memory is its own
        graph.launch()
        assert (device.download(out) == value).all() and (device.download(between) == 5).all()
    assert cuda.counts()["graphs"] == 2
    graph.close()
    graph.close()


def test_what_cannot_be_recorded_is_an_error_and_does_no_harm(device: CudaDevice,
                                                              cuda: MadeUpCuda) -> None:
    a = device.upload(np.arange(5, dtype=np.int32))
    with pytest.raises(BackendError, match="cu|failed"):
        device.record(lambda: device.download(a))  # waits

    def forked() -> None:
        with device.branch():
            device.fill(a, 1)

    with pytest.raises(BackendError, match="unjoined"):
        device.record(forked)
    seen: list[int] = []

    def grows() -> None:
        seen.append(1)
        device.empty((10 ** len(seen) * 1000,), np.uint8)
        device.fill(a, 3)

    with pytest.raises(BackendError, match="out of memory|mem|cu"):
        device.record(grows)  # asks for memory that the first run did not leave
    device.fill(a, 2)
    assert device.download(a).tolist() == [2] * 5 and not device.recording


def test_threads_share_a_device(device: CudaDevice) -> None:
    wrong: list[int] = []

    def work(k: int) -> None:
        for i in range(20):
            labels = np.full((9, 40), (k + i) % 13, np.uint8)
            if len({*_grouped(device, labels).ravel().tolist()}) != 1:
                wrong.append(k)

    at_once(work)
    assert not wrong


def test_a_picture_outlives_its_device(cuda: MadeUpCuda) -> None:
    device = CudaDevice("cuda:1")
    data = device.download(device.upload(np.arange(5000, dtype=np.int32)))
    part = data[100:200]
    device.close()
    del data
    np.testing.assert_array_equal(part, np.arange(100, 200))


def test_downloads_are_taken_back_and_bounded(device: CudaDevice, cuda: MadeUpCuda) -> None:
    there = device.upload(np.arange(3000, dtype=np.int32))
    held = [device.download(there) for _ in range(20)]
    assert cuda.counts()["unlocked"] == 4  # the seventeenth and later are plain memory
    addresses = {x.ctypes.data for x in held}
    assert len(addresses) == 20
    del held
    assert device.download(there).ctypes.data in addresses
    assert all((device.download(there) == np.arange(3000)).all() for _ in range(40))
    assert cuda.counts()["unlocked"] == 0


def test_close_waits_for_another_thread(cuda: MadeUpCuda) -> None:
    device, entered, left = CudaDevice("cuda"), threading.Event(), threading.Event()

    def inside() -> None:
        with device.current():
            entered.set()
            left.wait(5)

    thread = threading.Thread(target=inside)
    thread.start()
    entered.wait(5)
    closing = threading.Thread(target=device.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive(), "closed under a thread that was inside"
    with pytest.raises(BackendError, match="was closed"):
        device.empty((1,), np.uint8)
    left.set()
    thread.join()
    closing.join()


def test_a_full_device_gives_up_what_lies_unused(device: CudaDevice, cuda: MadeUpCuda) -> None:
    device.empty((3 << 20,), np.uint8)
    cuda.room(cuda.used() + (1 << 20))
    assert device.empty((2 << 20,), np.uint8).nbytes == 2 << 20
    with pytest.raises(NoRoom, match="out of memory .*smaller batch"):
        device.empty((8 << 20,), np.uint8)


def test_a_wrong_address_is_an_error_of_the_driver(device: CudaDevice) -> None:
    from fuw.kernels.device import DeviceArray

    nowhere = DeviceArray((64,), np.dtype(np.uint8), 4096, None)
    from fuw.kernels.steps import Steps

    out = Steps(device).binary_mask(nowhere)
    with pytest.raises(BackendError, match="cuda:0 Made-up: .*700"):
        device.download(out)
