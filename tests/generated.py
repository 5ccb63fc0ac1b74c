"""Generated checkpoints of the official sizes, official containers, the goldens' weights.

Usage: python tests/generated.py FOLDER [NETWORK ...]. What `fuw-export --weights FOLDER` is proved
on where no official checkpoint may be had; 1.7 GB for all networks. Not a test itself.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from golden_files import fill, golden, pose_tool

from fuw.engine.networks import NETWORKS
from fuw.export import nets

BODY, HAND = "body25", "hand"  # as the goldens' writer of .caffemodel files calls them
GOLDEN_NAMES = {"schp": "schp_lip"}
GMM_MILD = {"regression.linear.*": 0.1}  # a warp without folds, as the goldens' "gmm_mild"


def write(folder: Path, name: str) -> Path:
    """The checkpoint of `name` under its official file name."""
    checkpoint = NETWORKS[name].checkpoint
    path = folder / checkpoint.file
    if checkpoint.container == "caffemodel":
        pose_tool("caffemodel").write(BODY if name == "openpose_body" else HAND, path)
    elif checkpoint.container == "detectron-pickle":
        pose_tool("densepose_pkl").write(path)
    else:
        state: Any = {checkpoint.prefix + key: value for key, value in _weights(name).items()}
        torch.save({checkpoint.inside: state} if checkpoint.inside else state, path)
    return path


def _weights(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in nets.build(name).state_dict().items()}
    filled = fill.fill_state_dict(shapes, 0, _gain(name))
    return {key: torch.from_numpy(array) for key, array in filled.items()}


def _gain(name: str) -> dict[str, float]:
    """Factors without which made-up activations would explode."""
    if name == "gmm":
        return GMM_MILD
    said = json.loads(golden("segmentation/segmentation.json").read_text())["weights"]["gain"]
    gain: dict[str, float] = said.get(GOLDEN_NAMES.get(name, name)) or {}
    return gain


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for network in sys.argv[2:] or NETWORKS:
        print(write(target, network))
