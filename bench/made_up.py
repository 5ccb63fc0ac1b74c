"""Networks of the official sizes with made-up weights: what a latency needs when no checkpoint is
at hand. They find no person, so the bench hands real maps downstream (bench/chain.py)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fuw.engine.networks import network
from fuw.engine.weights import MANIFEST, Entry, file_name, read_manifest, write_manifest
from fuw.export.nets import build
from fuw.export.nets.spectral import SpectralConv2d
from fuw.export.to_onnx import export_onnx

ORIGIN = "made-up weights, official size"


def made_up(name: str) -> nn.Module:
    """The network at width 1 with seeded weights; activations stay of the order of 1."""
    module = build(name)
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


def exported(names: Iterable[str], folder: Path) -> Path:
    """`folder` with the ONNX files of these networks; what is up to date there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    old_entries = read_manifest(folder) if (folder / MANIFEST).exists() else []
    entries = {e.network: e for e in old_entries}
    for name in names:
        spec = network(name)
        old = entries.get(name)
        if old and old.spec == spec.hash("official") and (folder / old.file).exists():
            continue
        sizes = spec.sizes("official")
        path = folder / file_name(spec, "fp32", sizes)
        export_onnx(spec, made_up(name), path, origin=ORIGIN)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        entries[name] = Entry(path.name, name, "official", "fp32", sizes, spec.hash("official"),
                              ORIGIN, digest)
        write_manifest(folder, list(entries.values()))
    return folder
