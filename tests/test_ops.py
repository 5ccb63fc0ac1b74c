"""The steps of every device carry the same names and parameters."""

import inspect

import pytest

from fuw.engine.errors import BackendError
from fuw.engine.ops import Ops, cpu_ops, cuda_ops
from fuw.kernels.steps import Steps

NAMES = sorted(name for name in vars(Ops) if not name.startswith("_") and name != "device")


def test_there_are_steps() -> None:
    assert {"openpose_input", "warp_garment", "to_image", "mask_labels"} <= set(NAMES)
    assert cpu_ops().device == "cpu"


@pytest.mark.parametrize("name", NAMES)
def test_device_steps_are_called_like_the_cpu_s(name: str) -> None:
    ours = list(inspect.signature(getattr(Steps, name)).parameters.values())[1:]
    twin = list(inspect.signature(getattr(cpu_ops(), name)).parameters.values())
    assert [p.name for p in ours[: len(twin)]] == [p.name for p in twin]
    assert [p.default for p in ours[: len(twin)]] == [p.default for p in twin]
    assert all(p.default is not p.empty for p in ours[len(twin) :]), "more that must be given"


def test_no_gpu_is_a_sentence() -> None:
    try:
        import pycuda.driver  # noqa: F401
    except ImportError:
        with pytest.raises(BackendError, match="pycuda|driver"):
            cuda_ops("cuda")
    else:
        pytest.skip("pycuda is installed")
