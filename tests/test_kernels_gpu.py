"""Every kernel against its twin on a real GPU: the same table as test_kernels_shim.py."""

from collections.abc import Iterator

import pytest
from kernel_cases import SIZES, check, fit_chain
from kernel_cases_pose import ALL_CASES

from fuw.kernels.launch import CudaDevice

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def device() -> Iterator[CudaDevice]:
    gpu = CudaDevice("cuda")
    yield gpu
    gpu.close()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("size", [*SIZES, (1024, 768)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("real", ["f32", "f16"])
@pytest.mark.parametrize("case", ALL_CASES, ids=lambda c: c.__name__)
def test_kernel_equals_twin(case, real, size, n, device) -> None:  # type: ignore[no-untyped-def]
    check(case, device, real, size, n, shift=n == 3)


def test_a_fit_in_order(device: CudaDevice) -> None:
    for pair in fit_chain(device, (1024, 768)):
        pair.check("f32")
