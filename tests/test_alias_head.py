"""The starter's end of ALIAS: what it can choose, where it works, and what ONNX makes of it."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from fuw.export.nets.alias import ALIASGenerator
from fuw.export.nets.alias_head import Composition

H, W = 256, 192


def inputs(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features at half size, x and a divided label map at full size."""
    drawn = torch.Generator().manual_seed(seed)
    y = torch.randn(1, 6, H // 2, W // 2, generator=drawn)
    x = torch.rand(1, 9, H, W, generator=drawn) * 2 - 1
    seg = torch.zeros(1, 8, H, W)
    seg[:, 0, :, : W // 2], seg[:, 2, :, W // 2 :] = 1, 1
    return y, x, seg


def head(seed: int = 0) -> Composition:
    torch.manual_seed(seed)
    return Composition(6).eval()


@pytest.mark.parametrize(("gate", "channels"), [(0, slice(0, 3)), (1, slice(6, 9))])
def test_an_open_gate_gives_the_input_back(gate: int, channels: slice) -> None:
    net = head()
    with torch.no_grad():
        net.gates.weight.zero_()
        net.gates.bias.fill_(-30)
        net.gates.bias[gate] = 30
        y, x, seg = inputs()
        torch.testing.assert_close(net(y, x, seg), x[:, channels])


def test_a_region_has_the_mean_colour_of_the_pixels_it_weighs() -> None:
    net = head()
    y, x, seg = inputs()
    small = torch.cat((x, seg), 1)[..., ::2, ::2]
    with torch.no_grad():
        net.weights.weight.zero_()
        net.weights.bias.fill_(-30)
        net.weights.bias[1] = 30  # region 1: every pixel of the person, none of the garment
        colours = net.region_colours(torch.zeros(1, 16, *small.shape[2:]), small)
    mean = small[0, :3].mean((1, 2))
    everywhere = colours[0, 3:6].mean((1, 2))
    assert (everywhere - mean).abs().max() < 0.03
    assert colours[0, :3].abs().max() < 1e-3  # a region that is nowhere has no colour
    x2 = x.clone()
    x2[:, :3, :, : W // 2] = 1  # white on the left
    small = torch.cat((x2, seg), 1)[..., ::2, ::2]
    with torch.no_grad():
        colours = net.region_colours(torch.zeros(1, 16, *small.shape[2:]), small)
    assert colours[0, 3, :, 0].min() > colours[0, 3, :, -1].max() + 0.3  # near a place


def test_every_part_of_it_learns() -> None:
    net = head().train()
    y, x, seg = inputs()
    y.requires_grad_()
    net(y, x, seg).square().mean().backward()
    assert y.grad is not None and y.grad.abs().sum() > 0
    dead = [k for k, p in net.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert dead == []


def test_the_picture_stays_in_range_at_any_size() -> None:
    net = ALIASGenerator(0.0625, least=4, levels=5, compose=True).eval()
    for height, width in ((128, 96), (256, 192), (640, 384)):
        x = torch.rand(1, 9, height, width) * 2 - 1
        seg = torch.zeros(1, 7, height, width)
        seg[:, 2] = 1
        mask = torch.zeros(1, 1, height, width)
        with torch.no_grad():
            out = net(x, seg, torch.cat((seg, mask), 1), mask)
        assert out.shape == (1, 3, height, width) and out.abs().max() <= 1


def test_onnx_composes_the_same_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Composition(6).eval()
    y, x, seg = inputs(1)
    path = tmp_path / "head.onnx"
    torch.onnx.export(net, (y, x, seg), str(path), dynamo=False, opset_version=17,
                      input_names=["y", "x", "seg"])
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"y": y.numpy(), "x": x.numpy(), "seg": seg.numpy()})
    with torch.no_grad():
        wanted = net(y, x, seg).numpy()
    assert np.abs(found - wanted).max() < 1e-4
