"""A small ALIAS of the fits' size in its dense and its static form, for any batch."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from narrow import SIZE, SIZES

from fuw.engine.backend import Model
from fuw.engine.networks import network
from fuw.export.nets.alias import ALIASGenerator
from fuw.export.nets.alias_static import StaticALIAS
from fuw.export.to_onnx import export_onnx

LEVELS = 6  # two dense, three with a mask, and one without


def static_alias(folder: Path, capacities: Sequence[int], batch: int = 1) -> list[Model]:
    """The dense form, with a static one of so many rows a level and sample beside it, for each."""
    spec, sizes = network("alias"), SIZES["alias"]
    torch.manual_seed(3)
    net = ALIASGenerator(0.0625, least=8, levels=LEVELS).eval()
    dense = export_onnx(spec, copy.deepcopy(net), folder / "dense.onnx", variant="starter",
                        size=SIZE, batch=batch)
    module, models = StaticALIAS(net).eval(), list[Model]()
    for capacity in capacities:
        levels = module.windowed(batch, *SIZE, capacity)
        more = [tensor for level in levels for tensor in level.tensors(batch, *SIZE)]
        path = export_onnx(spec, module, folder / f"static-{capacity}.onnx", variant="starter",
                           size=SIZE, batch=batch, more=more)
        model = Model(spec, "starter", dense, "fp32", sizes, batch)
        models.append(replace(model, static=replace(model, path=path, windows=levels)))
    return models
