"""Load any official checkpoint as the state dict of our network, or say what is wrong with it.

What a file is, is told by its bytes, not by its name; which of its entries are the weights, by
comparing them with the network's own keys. Nothing in a file is ever executed.
"""

from __future__ import annotations

import logging
import mmap
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fuw.engine.networks import network
from fuw.engine.spec import NetSpec
from fuw.export import caffemodel, match, sniff, unpickle
from fuw.export.checkpoint_errors import Unreadable, refusal
from fuw.export.checkpoint_files import Origin, find, origin

__all__ = ["Loaded", "Origin", "find", "load", "open_checkpoint", "origin"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A network's weights and where they came from."""

    state: dict[str, torch.Tensor]
    origin: Origin


def load(path: Path | str, name: str, variant: str = "official") -> dict[str, torch.Tensor]:
    """The state dict in `path` for the network `name`: exactly its keys and shapes, float32.

    Args:
        path: .pth (zip or legacy), DensePose's .pkl, .caffemodel or .safetensors.
        name: a key of `fuw.engine.networks.NETWORKS`.
        variant: which variant's widths the file must have.

    Raises:
        CheckpointError: the file is not that network's weights; says everything that differs,
            what the file looks like instead, and where the right one comes from.
        UnknownNetwork: no such network or variant.
    """
    spec = network(name)
    spec.variant(variant)
    path = Path(path)
    try:
        return _finite(_state(path, spec, variant))
    except Unreadable as error:
        raise refusal(path, spec, error) from error
    except OSError as error:
        unreadable = Unreadable(f"cannot be read ({error.strerror or error})",
                                "check its permissions and the disk")  # fmt: skip
        raise refusal(path, spec, unreadable) from error


def open_checkpoint(path: Path | str, name: str, variant: str = "official") -> Loaded:
    """Like `load`, with the file's hash and whether it is the official one; warns if it is not."""
    state = load(path, name, variant)
    source = origin(Path(path), network(name))
    if source.official == "other":
        log.warning("%s: %s is %s; its weights fit and are used", name, path, source.words)
    return Loaded(state, source)


def _state(path: Path, spec: NetSpec, variant: str) -> dict[str, torch.Tensor]:
    kind = sniff.kind(path)
    contents = _READERS[kind](path)
    table = match.weights_in(contents, spec.name, variant)
    ignored = spec.checkpoint.extra
    # training leaves layers in a .caffemodel that the deployed network has not: matched by name
    if kind == "protobuf" or (ignored and origin(path, spec).official == "official"):
        ignored = ("*",)
    return match.fit(table, spec.name, variant, ignored)


def _finite(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    bad = {
        key: count for key, tensor in state.items()
        if tensor.is_floating_point()
        and (count := int(tensor.numel() - torch.isfinite(tensor).sum()))
    }  # fmt: skip
    if bad:
        first = ", ".join(f"{key}: {count}" for key, count in list(bad.items())[:3])
        raise Unreadable(f"holds NaN or infinite numbers in {len(bad)} tensors ({first})")
    return state


def _torch_legacy(path: Path) -> Mapping[str, Any]:
    # A length in the file may say 4 GB: a file asked for so much makes room first, a map does not.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _torch(data)


def _torch(file: Path | mmap.mmap) -> Mapping[str, Any]:
    source: Any = file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TypedStorage, which is the file's business
            value = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(error) from error
    except Exception as error:  # a foreign file can fail anywhere inside PyTorch's reader
        reason = str(error).strip().splitlines()
        words = f"{type(error).__name__}: {reason[0][:160] if reason else 'no reason given'}"
        raise Unreadable(f"is cut short or damaged (PyTorch: {words})") from error
    if isinstance(value, torch.Tensor):
        raise Unreadable("holds a single tensor, not a dict of weights")
    if not isinstance(value, Mapping):
        raise Unreadable(f"holds a {type(value).__name__}, not a dict of weights")
    return value


def _refused(error: pickle.UnpicklingError) -> Unreadable:
    """What weights-only loading would not build, in our words."""
    named = re.search(r"GLOBAL (\S+)|[Uu]nsupported (?:global|class)\S* (\S+)", str(error))
    if named is None:
        return Unreadable("is cut short or damaged (its pickle cannot be read)")
    name = (named[1] or named[2]).strip("`.")
    return Unreadable(
        f"is not a plain state dict: it asks for `{name}`, which can run code; it was refused "
        f"and nothing ran",
        "if it is a whole saved module, save `module.state_dict()` instead; else do not use it",
    )


def _safetensors(path: Path) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise Unreadable("is a safetensors file and the package `safetensors` is not installed",
                         "pip install 'fuw[export]'") from error  # fmt: skip
    try:
        tensors: Mapping[str, Any] = load_file(path)
    except SafetensorError as error:
        raise Unreadable(f"is a cut or damaged safetensors file ({error})") from error
    return tensors


_READERS = {
    "torch-zip": _torch,
    "torch-legacy": _torch_legacy,
    "pickle": unpickle.read,
    "safetensors": _safetensors,
    "protobuf": caffemodel.read,
}
