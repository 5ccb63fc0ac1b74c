"""What the segmentation tests share: official weights' shapes, made-up weights, golden arrays."""

import functools
import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from golden_files import fill, golden
from torch import nn

from fuw.export import nets

GOLDEN_NAMES = {"schp": "schp_lip", "u2net": "u2net", "u2netp": "u2netp", "tracer_b7": "tracer_b7"}
NOISE_NAMES = {"schp": "schp", "u2net": "u2net", "u2netp": "u2netp", "tracer_b7": "tracer"}
SMALL = {"schp": (129, 97), "u2net": (97, 61), "u2netp": (97, 61), "tracer_b7": (128, 96)}
FULL = {"schp": (473, 473), "u2net": (320, 320), "u2netp": (320, 320), "tracer_b7": (640, 640)}
# golden/segmentation/README.md, "Tolerances"
ATOL = {"schp": 2e-4, "u2net": 5e-5, "u2netp": 5e-5, "tracer_b7": 1e-4}


@functools.cache
def seg_inputs() -> ModuleType:
    """golden/segmentation/seg_inputs.py."""
    path: Path = golden("segmentation/seg_inputs.py")
    spec = importlib.util.spec_from_file_location("seg_inputs", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def description() -> Any:
    """golden/segmentation/segmentation.json."""
    return json.loads(golden("segmentation/segmentation.json").read_text())


def arrays(name: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the golden file of a network, or of "prepost"."""
    with np.load(golden(f"segmentation/{GOLDEN_NAMES.get(name, name)}_seed0.npz")) as file:
        return dict(file)


def case(stored: dict[str, npt.NDArray[Any]], key: str) -> npt.NDArray[Any]:
    """`stored[key]`; skips where the copy at hand does not have it (photos are not shipped)."""
    if key not in stored:
        pytest.skip(f"{key} is made from a photo or large, and not in the copy that is shipped")
    return stored[key]


def official_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of the official state dict, in its order."""
    keys = description()["networks"][GOLDEN_NAMES[name]]["state_dict"]
    return {key: tuple(shape) for key, shape, _ in keys}


def made_up_weights(name: str) -> dict[str, torch.Tensor]:
    """The seed-0 weights of the goldens."""
    gain = description()["weights"]["gain"][GOLDEN_NAMES[name]]
    filled = fill.fill_state_dict(official_shapes(name), 0, gain)
    crc = functools.reduce(lambda c, a: zlib.crc32(a.tobytes(), c), filled.values(), 0)
    assert crc == description()["networks"][GOLDEN_NAMES[name]]["seed0_weights_crc32"]
    return {key: torch.from_numpy(array) for key, array in filled.items()}


@functools.cache
def filled_network(name: str) -> nn.Module:
    """The network with the goldens' weights, in eval mode."""
    with torch.device("meta"):  # no time spent on parameters that are replaced at once
        network = nets.build(name)
    network.load_state_dict(made_up_weights(name), strict=True, assign=True)
    return network.eval()


def noise(name: str, which: str) -> torch.Tensor:
    """The seeded input `which` ("small" or "full") of a network."""
    size = (SMALL if which == "small" else FULL)[name]
    x = seg_inputs().noise_tensor(f"{NOISE_NAMES[name]}.{which}", (1, 3, *size), 0)
    return torch.from_numpy(x)


def outputs(name: str, x: torch.Tensor) -> dict[str, npt.NDArray[np.float32]]:
    """Every output of a network under the goldens' names."""
    network = filled_network(name)
    with torch.inference_mode():
        if name == "schp":
            named = zip(("parsing", "fusion", "edge"), network.outputs(x), strict=True)  # type: ignore[operator]
        elif name == "tracer_b7":
            named = zip(("out",), (network(x),), strict=True)
        else:
            sides = network.side_outputs(x)  # type: ignore[operator]
            named = zip([f"d{i}" for i in range(7)], sides, strict=True)
        return {key: tensor.numpy() for key, tensor in named}
