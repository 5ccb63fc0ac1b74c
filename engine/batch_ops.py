"""The CPU's steps over a batch, for networks that were exported with `--batch`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np

from fuw.engine.arrays import U8
from fuw.kernels import cpu

P = ParamSpec("P")
R = TypeVar("R")


def over_samples(step: Callable[P, R]) -> Callable[P, R]:
    """`step`, one sample after the other: u8 arrays (n, H, W) or (n, H, W, 3) are taken and given
    without their first axis, network tensors (n, C, H, W) as (1, C, H, W)."""

    @wraps(step)
    def stepped(*args: P.args, **kwargs: P.kwargs) -> R:
        count = next(len(a) for a in args if isinstance(a, np.ndarray))
        rows = [step(*(_sample(a, i) for a in args), **kwargs) for i in range(count)]
        if isinstance(rows[0], tuple):
            return cast(R, tuple(_joined(list(column))
                                 for column in zip(*cast(Any, rows), strict=True)))
        return cast(R, _joined(rows))

    return cast(Callable[P, R], stepped)


def _sample(argument: Any, i: int) -> Any:
    if not isinstance(argument, np.ndarray):
        return argument
    return argument[i] if argument.dtype == np.uint8 else argument[i : i + 1]


def _joined(samples: list[Any]) -> Any:
    return np.stack(samples) if samples[0].dtype == np.uint8 else np.concatenate(samples)


class BatchOps:
    """`engine.ops.FitOps` over stacks of what `engine.ops.Ops` takes singly."""

    seg_input = staticmethod(over_samples(cpu.seg_input))
    seg_labels = staticmethod(over_samples(cpu.seg_labels))
    group7 = staticmethod(cpu.group7)
    one_hot = staticmethod(over_samples(cpu.one_hot))
    gmm_input = staticmethod(over_samples(cpu.gmm_input))
    warp_garment = staticmethod(over_samples(cpu.warp_garment))
    misalignment = staticmethod(cpu.misalignment)
    split_seg = staticmethod(cpu.split_seg)
    alias_input = staticmethod(over_samples(cpu.alias_input))
    to_image = staticmethod(over_samples(cpu.to_image))
    to_mask = staticmethod(over_samples(cpu.to_mask))

    def beside(self) -> AbstractContextManager[None]:
        """One after another is what a CPU does best."""
        return nullcontext()

    def together(self) -> None:
        """Nothing ran beside."""


class Stacked:
    """What of several people a fit looks at (`records.Wearer`), with a batch in front."""

    def __init__(self, skeletons: list[U8], agnostics: list[U8], groups: list[U8]) -> None:
        self.skeleton, self.agnostic = np.stack(skeletons), np.stack(agnostics)
        self.groups_agnostic = np.stack(groups)
