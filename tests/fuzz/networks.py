"""Doors for networks: checkpoints of every container, exported ONNX files, compiled engines."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from test_caffemodel import field, layer, shape
from tiny import tiny_model, tiny_spec

from fuw.engine.backend import Backend, Model, Network, OpenOptions
from fuw.engine.networks import NETWORKS
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino
from fuw.engine.spec import Variant
from fuw.engine.store import Store
from fuw.export import checkpoints
from fuw.export.nets import build
from fuzz.damage import Damage, in_bytes, in_zip
from fuzz.door import Door

State = Mapping[str, torch.Tensor]
NARROWEST = 1 / 128  # a whole checkpoint in 40 kB, so that the damage meets more than numbers
ONNX, CACHE = "tiny.fp32.onnx", "cache"


def doors() -> list[Door]:
    """A door for each container of weights, and for what is made of them."""
    torch.set_num_threads(1)
    state, hand = _narrow("seg"), _narrow("openpose_hand")
    arrays = {key: value.numpy() for key, value in state.items()}
    with tempfile.TemporaryDirectory() as folder:
        onnx = tiny_model(Path(folder)).path.read_bytes()
    return [
        _checkpoint("pth", _torch(state), (in_bytes, in_zip, in_zip)),
        _checkpoint("pth-wrapped", _torch({"epoch": 3, "state_dict": state}), (in_zip,)),
        _checkpoint("pth-legacy", _torch(state, zipped=False)),
        _checkpoint("pickle", pickle.dumps({"model": arrays, "__author__": "made up"}, 2)),
        _checkpoint("pickle-4", pickle.dumps({"model": arrays}, 4)),
        _checkpoint("safetensors", save(dict(state))),
        _checkpoint("caffemodel", _caffe(hand), name="openpose_hand"),
        Door("onnx", onnx, _opened(OrtCpu(), onnx), ONNX),
        Door("onnx-openvino", onnx, _opened(OpenVino(), onnx), ONNX),
        _engine("engine-openvino", OpenVino(), onnx),
        _engine("engine-ort", OrtCpu(), onnx),
    ]


def _narrow(name: str) -> State:
    """Weights of the narrowest network of that name, which the table then calls official."""
    spec = NETWORKS[name]
    narrow = Variant(NARROWEST, sizes=spec.variants["official"].sizes)
    NETWORKS[name] = replace(spec, variants={"official": narrow})
    torch.manual_seed(0)
    state: State = build(name, variant="official").state_dict()
    return state


def _checkpoint(kind: str, data: bytes, damages: tuple[Damage, ...] = (in_bytes,),
                name: str = "seg") -> Door:
    return Door(kind, data, lambda path: checkpoints.open_checkpoint(path, name), damages=damages)


def _torch(value: Any, zipped: bool = True) -> bytes:
    data = io.BytesIO()
    torch.save(value, data, _use_new_zipfile_serialization=zipped)
    return data.getvalue()


def _caffe(state: State) -> bytes:
    names = dict.fromkeys(key.rpartition(".")[0] for key in state)
    blobs = {name: [shape(*state[key].shape) + field(5, state[key].numpy().tobytes())
                    for key in (f"{name}.weight", f"{name}.bias") if key in state]
             for name in names}
    return b"".join(layer(name, *parts) for name, parts in blobs.items())


def _opened(backend: Backend, good: bytes, cache: str = "") -> Callable[[Path], object]:
    """Open and run the tiny network in the case's folder; what opens has to answer rightly."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((1, 2, 3, 5)).astype(np.float32) for _ in range(2))
    proved = hashlib.sha256(good).hexdigest()

    def opened(path: Path) -> object:
        folder = path.parent.parent if cache else path.parent
        model = Model(tiny_spec(), "official", folder / ONNX, "fp32", {"height": 3, "width": 5},
                      sha256=proved)
        options = OpenOptions(threads=1, cache=folder / cache if cache else None)
        with Network(model, backend, options) as network:
            total, twice = network(x, y)
        assert np.array_equal(total, x + y) and np.array_equal(twice, 2 * x), "wrong numbers"
        return network

    return opened


def _engine(name: str, backend: Backend, onnx: bytes) -> Door:
    """A store of compiled models, the compiled one damaged behind its record."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder / ONNX, onnx)
        _opened(backend, onnx, CACHE)(folder / CACHE / "any")
        (entry,) = Store(folder / CACHE).entries()
        blob = entry.path.read_bytes()
        record = entry.path.with_suffix(".json").read_bytes()

    def prepare(folder: Path) -> None:
        (folder / CACHE).mkdir(exist_ok=True)
        for old in (folder / CACHE).iterdir():
            old.unlink()
        _write(folder / ONNX, onnx)
        (folder / CACHE / f"{entry.path.stem}.json").write_bytes(record)

    return Door(name, blob, _opened(backend, onnx, CACHE), f"{CACHE}/{entry.path.name}",
                prepare)


def _write(path: Path, data: bytes) -> None:
    """A file whose times are the same in every case: they are part of an engine's key."""
    path.write_bytes(data)
    os.utime(path, ns=(10**18, 10**18))
