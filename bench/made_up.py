"""Networks of the official sizes with made-up weights: what a latency needs when no checkpoint is
at hand. They find no person, so the bench hands real maps downstream (bench/chain.py)."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fuw.bench.made_up_names import PLAIN, TORCH
from fuw.engine.files import sha256, write_whole
from fuw.engine.networks import network
from fuw.engine.spec import NetSpec
from fuw.engine.weights import MANIFEST, Entry, file_name, read_manifest, write_manifest
from fuw.export.nets import build
from fuw.export.nets.alias_sparse import sparse_module
from fuw.export.nets.spectral import SpectralConv2d
from fuw.export.to_onnx import export_onnx

ORIGIN = "made-up weights, official size"
SPARSE: dict[str, Callable[[Any], nn.Module]] = {"alias": sparse_module}
REVISION = 2  # of the weights; a change makes every file stale


def made_up(name: str, width: float = 1.0) -> nn.Module:
    """The network with seeded weights; activations stay of the order of 1."""
    module = build(name, width)
    state = module.state_dict()
    for key, old in state.items():
        rng = np.random.Generator(np.random.PCG64([0, zlib.crc32(key.encode())]))
        if not old.is_floating_point():
            continue
        if old.ndim > 1:
            fan_in = old[0].numel()
            new = rng.standard_normal(tuple(old.shape)) * np.sqrt(1.0 / fan_in)
        elif key.endswith(("running_var", "weight")):
            new = rng.uniform(0.8, 1.2, tuple(old.shape))
        elif key.endswith("weight_u"):
            new = rng.standard_normal(tuple(old.shape))
        elif key.endswith(("weight_v", "noise_scale")):
            continue
        else:
            new = 0.05 * rng.standard_normal(tuple(old.shape))
        state[key] = torch.from_numpy(np.asarray(new, np.float32)).reshape(old.shape)
    module.load_state_dict(state)
    for layer in module.modules():
        if isinstance(layer, SpectralConv2d):  # u and v of these weights: others divide by nearly 0
            layer.train().weight()
            layer.eval()
    return module


def exported(names: Iterable[str], folder: Path, size: tuple[int, int] | None = None,
             width: float = 1.0) -> Path:
    """`folder` with everything a run needs of these networks; what is up to date there is kept.

    The manifest names the files that `fuw-export` would write for a CPU (the label-sparse ALIAS);
    `folder`/plain/manifest.json the plain graphs, `folder`/torch/*.pt the state dicts.
    """
    for part in (folder, folder / PLAIN, folder / TORCH):
        part.mkdir(parents=True, exist_ok=True)
    for name in names:
        _exported_one(network(name), folder, size, width)
    return folder


def eager_module(name: str, folder: Path, width: float = 1.0) -> nn.Module:
    """The network with the weights that `exported` kept in `folder`, mapped, in eval mode."""
    with torch.device("meta"):
        module = build(name, width)
    state = torch.load(folder / TORCH / f"{name}.pt", mmap=True, weights_only=True)
    module.load_state_dict(state, assign=True)
    return module.eval()


def _exported_one(spec: NetSpec, folder: Path, size: tuple[int, int] | None,
                  width: float) -> None:
    sizes = spec.sizes("official", size if spec.sized else None)
    file, extra = file_name(spec, "fp32", sizes), {"made_up": REVISION, "width": width}
    if all(_kept(spec, part, file, extra) for part in (folder, folder / PLAIN)):
        return
    module = made_up(spec.name, width)
    write_whole(folder / TORCH / f"{spec.name}.pt",
                lambda handle: torch.save(module.state_dict(), handle))
    change = SPARSE.get(spec.name)
    path = (folder / PLAIN if change else folder) / file
    export_onnx(spec, module, path, origin=ORIGIN, size=size if spec.sized else None)
    entry = Entry(file, spec.name, "official", "fp32", sizes, spec.hash("official"), ORIGIN,
                  sha256(path), extra=extra)
    if not change:
        _linked(path, folder / PLAIN / file)
    _note(folder / PLAIN, entry)
    if change:
        export_onnx(spec, change(made_up(spec.name, width)), folder / file, origin=ORIGIN,
                    size=size if spec.sized else None)
        entry = replace(entry, sha256=sha256(folder / file),
                        extra={**extra, "form": "sparse"})
    _note(folder, entry)


def _kept(spec: NetSpec, folder: Path, file: str, extra: Mapping[str, Any]) -> bool:
    entries = read_manifest(folder) if (folder / MANIFEST).exists() else []
    return any(e.file == file and e.spec == spec.hash("official")
               and extra.items() <= e.extra.items() and (folder / e.file).exists()
               for e in entries)


def _linked(path: Path, other: Path) -> None:
    """One file for both where there is one form; a copy where the file system has no links."""
    other.unlink(missing_ok=True)
    try:
        os.link(path, other)
    except OSError:
        shutil.copyfile(path, other)


def _note(folder: Path, entry: Entry) -> None:
    entries = read_manifest(folder) if (folder / MANIFEST).exists() else []
    write_manifest(folder, [e for e in entries if e.file != entry.file] + [entry])
