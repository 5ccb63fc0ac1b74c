"""Every network narrow and small enough that a test exports it in seconds."""

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from fuw.engine.networks import NETWORKS
from fuw.engine.spec import NetSpec, Variant

TINY: dict[str, Variant] = {
    "seg": Variant(0.0625, sizes={"height": 64, "width": 48}),
    "gmm": Variant(0.0625, sizes={"height": 256, "width": 192}),
    "alias": Variant(0.0625, sizes={"height": 256, "width": 128}),
    "schp": Variant(0.0625, {"layers": (1, 1, 1, 1)},
                    {"height": 97, "width": 65, "out_height": 25, "out_width": 17}),
    "u2net": Variant(0.0625, sizes={"height": 64, "width": 64}),
    "u2netp": Variant(0.25, sizes={"height": 64, "width": 64}),
    "tracer_b7": Variant(0.125, {"layers": (1, 1, 1, 2, 1, 1, 1)}, {"height": 64, "width": 64}),
    "openpose_body": Variant(0.0625, sizes={"height": 64, "width": 48, "out_height": 8,
                                            "out_width": 6}),
    "openpose_hand": Variant(0.0625, sizes={"hands": 2, "height": 64, "width": 64,
                                            "out_height": 8, "out_width": 8}),
    "densepose": Variant(0.0625, {"blocks": (1, 1, 1, 1), "head_layers": 1},
                         {"height": 192, "width": 128}),
}


def tiny_spec(name: str) -> NetSpec:
    """The spec of `name` with a variant "tiny"."""
    spec = NETWORKS[name]
    return replace(spec, variants={**spec.variants, "tiny": TINY[name]})


def tiny_network(name: str, seed: int = 0) -> nn.Module:
    """The network of the variant "tiny", in eval mode, with seeded weights and statistics."""
    spec = tiny_spec(name)
    variant = spec.variant("tiny")
    module, _, cls = spec.module.partition(":")
    torch.manual_seed(seed)
    network: Any = getattr(importlib.import_module(module), cls)(variant.width, **variant.options)
    rng = np.random.default_rng(seed)
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, value.shape)))
        elif key.endswith("running_mean"):
            value.copy_(torch.from_numpy(rng.normal(0, 0.1, value.shape)))
    return network.eval()  # type: ignore[no-any-return]
