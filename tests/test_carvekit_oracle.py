"""Our U2Net and TRACER-B7 against carvekit's own classes, with the same made-up weights."""

import importlib
from typing import Any

import pytest
import torch
from segmentation_case import ATOL, filled_network, noise
from torch import nn

REASON = "carvekit is not installed (pip install --no-deps carvekit; extra: carvekit)"


def _module(name: str) -> Any:
    pytest.importorskip("carvekit", reason=REASON)
    return importlib.import_module(f"carvekit.ml.arch.{name}")


def _carvekit(name: str) -> nn.Module:
    if name == "u2net":
        network: nn.Module = _module("u2net.u2net").U2NETArchitecture("full", out_ch=1)
    else:
        encoder = _module("tracerb7.efficientnet").EfficientEncoderB7()
        network = _module("tracerb7.tracer").TracerDecoder(
            encoder=encoder, rfb_channel=[32, 64, 128], features_channels=[48, 80, 224, 640])
    return network


@pytest.mark.parametrize("name", ["u2net", "tracer_b7"])
def test_same_numbers_as_carvekit(name: str) -> None:
    theirs = _carvekit(name)
    weights = filled_network(name).state_dict()
    theirs.load_state_dict(weights, strict=True)
    x = noise(name, "small")
    with torch.inference_mode():
        want = theirs.eval()(x)
        got = filled_network(name)(x)
    if isinstance(want, (tuple, list)):
        want = want[0]
    assert want.shape == got.shape and want.std() > 0.02
    torch.testing.assert_close(got, want, rtol=0, atol=ATOL[name] / 5)
