"""Fit what a file holds to what a network expects, or say in one error everything that differs."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from fuw.engine.networks import NETWORKS
from fuw.export.checkpoint_errors import Unreadable
from fuw.export.nets import build

Shape = tuple[int, ...]
Table = dict[str, torch.Tensor]

MAX_DEPTH = 4
LISTED = 8  # keys named per kind of difference
ALIKE = 0.5  # part of a network's keys that a file must share to be called that network's
_COUNTER = "num_batches_tracked"  # not weights; absent from files of PyTorch before 0.4.1


@cache
def expected(name: str, variant: str = "official") -> Mapping[str, tuple[Shape, torch.dtype]]:
    """Keys, shapes and dtypes of the network's state dict; built without memory for its numbers."""
    with torch.device("meta"):
        state = build(name, variant=variant).state_dict()
    return {key: (tuple(tensor.shape), tensor.dtype) for key, tensor in state.items()}


def weights_in(contents: Mapping[str, Any], name: str, variant: str = "official") -> Table:
    """The dict of tensors in `contents` that is most like the network's.

    Looks through wrapping dicts ("state_dict", "model", "params", ...) and drops a prefix that
    all keys share ("module.", ...), since every training script has its own way of saving.

    Raises:
        Unreadable: no dict in the file holds tensors.
    """
    tables = [short for table in _tables(contents, MAX_DEPTH) for short in _unprefixed(table)]
    if not tables:
        top = ", ".join(str(key) for key in list(contents)[:6]) or "none"
        raise Unreadable(f"holds no weights at all (its entries: {top})")
    wanted = expected(name, variant)
    best = max(tables, key=lambda table: (_common(table, wanted), len(table)))
    if _common(best, wanted) >= ALIKE * len(wanted):
        return best
    return max(tables, key=lambda table: (max(_scores(table).values()), len(table)))


def fit(table: Table, name: str, variant: str = "official", ignored: tuple[str, ...] = ()) -> Table:
    """The network's state dict out of `table`: its keys, in its order, float32.

    Args:
        ignored: shell patterns of keys that may be there without being wanted.

    Raises:
        Unreadable: missing, unexpected, misshapen, wrongly typed or non-finite entries, all told.
    """
    wanted = expected(name, variant)
    table = {key: _reshaped(tensor, wanted[key][0]) if key in wanted else tensor
             for key, tensor in table.items()}  # fmt: skip
    difference = compare(table, wanted, ignored)
    if difference:
        raise Unreadable(f"does not fit this network: {difference}.{_looks_like(table, name)}")
    return {key: _converted(key, table, dtype) for key, (_, dtype) in wanted.items()}


@dataclass(frozen=True)
class Difference:
    """What separates a file's keys from a network's; false when nothing does."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    total: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        parts = (
            (self.missing, f"of {self.total} keys missing"),
            (self.unexpected, "unexpected"),
            (self.misshapen, "of another shape"),
        )
        return ", ".join(f"{len(keys)} {words} ({_list(keys)})" for keys, words in parts if keys)


def compare(
    table: Table, wanted: Mapping[str, tuple[Shape, torch.dtype]], ignored: tuple[str, ...] = ()
) -> Difference:
    """Every missing, unexpected and misshapen key."""
    missing = [key for key in wanted if key not in table]
    counters = [key for key in wanted if key.endswith(_COUNTER)]
    if set(counters) <= set(missing):
        missing = [key for key in missing if not key.endswith(_COUNTER)]
    unexpected = [
        key for key in table
        if key not in wanted and not any(fnmatch.fnmatchcase(key, p) for p in ignored)
    ]  # fmt: skip
    misshapen = [
        f"{key} is {_by(table[key].shape)}, needs {_by(shape)}"
        for key, (shape, _) in wanted.items()
        if key in table and tuple(table[key].shape) != shape
    ]
    return Difference(tuple(missing), tuple(unexpected), tuple(misshapen), len(wanted))


def _by(shape: Shape) -> str:
    return "x".join(str(n) for n in shape) or "a single number"


def _list(keys: tuple[str, ...]) -> str:
    shown = [key[:120] for key in keys[:LISTED]]
    if len(keys) > LISTED:
        shown.append(f"and {len(keys) - LISTED} more")
    return ", ".join(shown)


def _looks_like(table: Table, name: str) -> str:
    """The network whose keys the file shares most of, as a sentence; "" where none is alike."""
    scores = _scores(table)
    best = max(scores, key=lambda other: (scores[other], other == name))
    if scores[best] < ALIKE:
        return " It looks like no network of this pipeline"
    if best == name:
        return " It looks like a changed version of this very network"
    spec = NETWORKS[best]
    return f" It looks like the checkpoint of {best} ({spec.checkpoint.file}: {spec.about})"


def _scores(table: Table) -> dict[str, float]:
    """For every network of the pipeline, the part of all keys that it shares with `table`."""
    return {
        other: _common(table, wanted) / max(len(wanted), len(table))
        for other in NETWORKS
        if (wanted := expected(other))
    }


def _tables(contents: Mapping[str, Any], depth: int) -> Iterator[Table]:
    """Every dict of tensors in nested dicts; NumPy arrays become tensors."""
    own = {str(key): tensor for key, value in contents.items()
           if (tensor := _tensor(value)) is not None}  # fmt: skip
    if own:
        yield own
    if depth:
        for value in contents.values():
            if isinstance(value, Mapping):
                yield from _tables(value, depth - 1)


def _tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        native = value.astype(value.dtype.newbyteorder("="), copy=not value.flags.writeable)
        return torch.from_numpy(native)
    return None


def _unprefixed(table: Table) -> Iterator[Table]:
    """`table` itself, then without its first name, and the next, as long as all keys share it."""
    while True:
        yield table
        first = {key.partition(".")[0] for key in table}
        if len(first) != 1 or not all("." in key for key in table):
            return
        table = {key.partition(".")[2]: tensor for key, tensor in table.items()}


def _common(table: Table, wanted: Mapping[str, tuple[Shape, torch.dtype]]) -> float:
    """How many keys both have; one of another shape counts half (U2Net and U2NetP share all)."""
    return sum(
        1.0 if tuple(table[key].shape) == shape else 0.5
        for key, (shape, _) in wanted.items() if key in table
    )  # fmt: skip


def _reshaped(tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Drop or add leading ones: Caffe writes a bias of n as (n) or as (1, 1, 1, n)."""
    has = tuple(tensor.shape)
    strip = next((i for i, n in enumerate(has) if n != 1), len(has) - 1)
    core = next((i for i, n in enumerate(shape) if n != 1), len(shape) - 1)
    if has and shape and has != shape and has[strip:] == shape[core:]:
        return tensor.reshape(shape)
    return tensor


def _converted(key: str, table: Table, dtype: torch.dtype) -> torch.Tensor:
    if key not in table:  # only the counters, see compare()
        return torch.zeros((), dtype=dtype)
    tensor = table[key]
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise Unreadable(f"holds {key} in a form without plain numbers (sparse, quantised or meta)")
    if tensor.is_floating_point() != dtype.is_floating_point or tensor.is_complex():
        raise Unreadable(f"holds {key} as {str(tensor.dtype)[6:]} where {str(dtype)[6:]} belongs")
    return tensor.to(dtype).contiguous()
