"""Trained checkpoints -> models/starter: ONNX with weights stored in half precision.

`python -m fuw.starter.training.ship CHECKPOINTS --out models/starter`. A `Cast` behind every
stored weight makes it fp32 again: runtimes fold it when they load, so the arithmetic and speed are
those of an fp32 file of twice the size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, numpy_helper
from torch import nn

from fuw.engine.errors import ExportError
from fuw.engine.networks import network
from fuw.engine.spec import NetSpec
from fuw.engine.weights import MANIFEST, Entry, file_name, read_manifest, write_manifest
from fuw.export import graph
from fuw.export.nets import build
from fuw.export.to_onnx import export_onnx
from fuw.starter.training.loop import VARIANT
from fuw.starter.training.norms import add_norms, fold_norms

NETWORKS = ("openpose_body", "openpose_hand", "schp", "densepose", "u2net", "seg", "gmm", "alias")
ORIGIN = "starter"
LICENCE = "CC0-1.0"
MOST_BYTES = 20_000_000  # of all files together
LEAST_ELEMENTS = 64  # smaller tensors stay as they are
HALF_MAX = 60_000.0
TOLERANCE = 5e-3  # relative L2 of the stored network against the trained one, random input


@dataclass(frozen=True)
class Trained:
    """A network with its averaged weights, and how it was made."""

    spec: NetSpec
    net: nn.Module
    steps: int
    minutes: float


def load(checkpoints: Path, name: str) -> Trained:
    """The averaged weights of `name`'s checkpoint in a starter-sized network, norms folded."""
    state: dict[str, Any] = torch.load(checkpoints / f"{name}.pt", map_location="cpu",
                                       weights_only=True)
    net = build(name, variant=VARIANT)
    if any(".norm." in key for key in state["ema"]) and name.startswith("openpose"):
        normed = add_norms(build(name, variant=VARIANT), _is_map)
        normed.load_state_dict(state["ema"])
        fold_norms(normed.eval(), net)
    else:
        net.load_state_dict(state["ema"])
    return Trained(network(name), net.eval(), int(state["step"]), state["seconds"] / 60)


def _is_map(name: str) -> bool:
    return name.startswith("Mconv7") or name == "conv6_2_CPM"


def store_half(model: ModelProto) -> ModelProto:
    """Keep every large weight as fp16 with a Cast to fp32 behind it; in place, returns `model`."""
    casts = []
    for tensor in list(model.graph.initializer):
        values = numpy_helper.to_array(tensor)
        if (values.dtype != np.float32 or values.size < LEAST_ELEMENTS
                or np.abs(values).max() > HALF_MAX):
            continue
        name = tensor.name
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast",
                                           to=onnx.TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return model


def difference(trained: Trained, path: Path) -> float:
    """Largest relative L2 between the file under ONNX Runtime and the network, random input."""
    rng = np.random.default_rng(0)
    sizes = trained.spec.sizes(VARIANT)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {}
    for tensor in trained.spec.inputs:
        shape = tensor.shape(sizes)
        feed[tensor.name] = rng.uniform(0, 1, shape).astype(np.float32)
        if tensor.name == "box":
            feed["box"] = np.array([[10, 10, 150, 200]], np.float32)
    stored = session.run([t.name for t in trained.spec.outputs], feed)
    with torch.no_grad():
        wanted = trained.net(*(torch.from_numpy(feed[t.name]) for t in trained.spec.inputs))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return max(float(np.linalg.norm(s - w.numpy()) / (np.linalg.norm(w.numpy()) + 1e-9))
               for s, w in zip(stored, wanted, strict=True))


def ship(checkpoints: Path, out: Path, name: str, seed: int) -> Entry:
    """Write one network's file into `out`; raises ExportError where it differs from the trained."""
    trained = load(checkpoints, name)
    spec = trained.spec
    sizes = spec.sizes(VARIANT)
    path = out / file_name(spec, "fp32", sizes)
    export_onnx(spec, trained.net, path, variant=VARIANT, origin=ORIGIN)
    model = store_half(onnx.load(str(path)))
    made = {"fuw.licence": LICENCE, "fuw.training": f"seed {seed}, {trained.steps} steps",
            "fuw.storage": "fp16 weights, fp32 arithmetic"}
    graph.set_metadata(model, {**{p.key: p.value for p in model.metadata_props}, **made})
    graph.save(model, path)
    off = difference(trained, path)
    if off > TOLERANCE:
        raise ExportError(f"{path}: differs from the trained network by {off:.1e}, at most "
                          f"{TOLERANCE:.0e} is allowed; keep its largest weights in fp32")
    click.echo(f"{name}: {path.stat().st_size / 1e6:.2f} MB, {trained.steps} steps, "
               f"{trained.minutes:.0f} minutes, difference {off:.1e}")
    return Entry(file=path.name, network=name, variant=VARIANT, precision="fp32", sizes=sizes,
                 spec=spec.hash(VARIANT), origin=ORIGIN,
                 sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                 extra={"licence": LICENCE, "seed": seed, "steps": trained.steps})


@click.command()
@click.argument("checkpoints", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--networks", default=",".join(NETWORKS), show_default=True)
@click.option("--seed", default=0, show_default=True, help="the seed that was trained with")
def main(checkpoints: Path, out: Path, networks: str, seed: int) -> None:
    """Write the starter weights from the CHECKPOINTS folder."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = networks.split(",")
    kept = [e for e in read_manifest(out) if e.network not in wanted] if (
        out / MANIFEST).exists() else []
    entries = kept + [ship(checkpoints, out, name, seed) for name in wanted]
    write_manifest(out, entries)
    total = sum((out / e.file).stat().st_size for e in entries)
    click.echo(f"{total / 1e6:.1f} MB in all")
    if total > MOST_BYTES:
        raise ExportError(f"{out}: {total / 1e6:.1f} MB in all, at most {MOST_BYTES / 1e6:.0f} "
                          "may ship; make a network narrower (engine/networks.py, starter)")


if __name__ == "__main__":
    main()
