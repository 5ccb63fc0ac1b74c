"""The steps of every device carry the same names and parameters, and none is without a case in the
table that holds kernels against twins."""

import inspect
from collections.abc import Iterable
from pathlib import Path

import kernel_cases
import kernel_cases_pose
import pytest
from kernel_run import Run
from shim_device import ShimDevice

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


class Noting:
    """What it stands for, and the names that were asked of it."""

    def __init__(self, inner: object, asked: set[str]) -> None:
        self._inner, self._asked = inner, asked

    def __getattr__(self, name: str) -> object:
        self._asked.add(name)
        return getattr(self._inner, name)


def uncovered(names: Iterable[str], library: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Those of `names` of which no case compares the device's step with its twin."""
    held: set[str] = set()
    for case in kernel_cases_pose.ALL_CASES:
        ours, twins = set[str](), set[str]()
        with monkeypatch.context() as patch:
            for module in (kernel_cases, kernel_cases_pose):
                for twin in ("cpu", "pose", "OPS"):
                    if hasattr(module, twin):
                        patch.setattr(module, twin, Noting(getattr(module, twin), twins))
            steps = Noting(Steps(ShimDevice(library)), ours)
            for pair in case(Run(steps, *kernel_cases.SIZES[1], 1)):  # type: ignore[arg-type]
                pair.check("f32")
        held |= ours & twins
    return set(names) - held


def test_no_step_is_without_a_case(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = {"beside", "together"}  # say when, and compute nothing
    assert uncovered({*NAMES, "forgotten"} - order, library, monkeypatch) == {"forgotten"}
