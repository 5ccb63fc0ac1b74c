"""The steps of every device carry the same names and parameters."""

import inspect

import pytest

from fuw.engine.batch_ops import BatchOps
from fuw.engine.ops import Ops, cpu_ops
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


@pytest.mark.parametrize("name", sorted(n for n in vars(BatchOps) if not n.startswith("_")))
def test_a_batch_is_its_samples(name: str) -> None:
    """Same parameters as the step of one sample."""
    ours = inspect.signature(getattr(BatchOps(), name)).parameters
    assert list(ours) == list(inspect.signature(getattr(cpu_ops(), name)).parameters)
