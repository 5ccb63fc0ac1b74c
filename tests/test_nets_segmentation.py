"""SCHP, U2Net, U2NetP and TRACER-B7 compute what the official code computes."""

import numpy as np
import pytest
import torch
from segmentation_case import (
    ATOL,
    GOLDEN_NAMES,
    arrays,
    case,
    filled_network,
    noise,
    official_shapes,
    outputs,
)
from torch import Tensor, nn

from fuw.export import nets
from fuw.export.nets.abn import ABN
from fuw.export.nets.schp import AveragePool
from fuw.export.nets.tracer import UnionAttention

NAMES = list(GOLDEN_NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_official_keys_and_shapes(name: str) -> None:
    with torch.device("meta"):
        network = nets.build(name)
    ours = {key: tuple(t.shape) for key, t in network.state_dict().items()}
    assert ours == official_shapes(name)


@pytest.mark.parametrize("name", NAMES)
def test_small_noise(name: str) -> None:
    stored = arrays(name)
    for key, ours in outputs(name, noise(name, "small")).items():
        np.testing.assert_allclose(ours, stored[f"small.{key}"], rtol=0, atol=ATOL[name],
                                   err_msg=key)


@pytest.mark.parametrize("name", NAMES)
def test_small_noise_layer_by_layer(name: str) -> None:
    """The first module that differs is named, in the order the network computes them."""
    stored, seen = arrays(name), {}
    network = filled_network(name)
    taps = [k.removeprefix("small.tap.").removesuffix(".sample") for k in stored
            if k.startswith("small.tap.") and k.endswith(".sample")]

    def tap(key: str):  # type: ignore[no-untyped-def]
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            flat = output.flatten()
            at = np.linspace(0, flat.numel() - 1, 64).astype(np.int64)
            seen[key] = flat[torch.from_numpy(at)].numpy()
        return keep

    hooks = [network.get_submodule(key).register_forward_hook(tap(key)) for key in taps]
    try:
        outputs(name, noise(name, "small"))
    finally:
        for hook in hooks:
            hook.remove()
    assert set(seen) == set(taps) and taps
    for key, ours in seen.items():
        theirs = stored[f"small.tap.{key}.sample"]
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=2e-5, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_full_noise(name: str) -> None:
    stored = arrays(name)
    for key, ours in outputs(name, noise(name, "full")).items():
        found = [k for k in stored if k.startswith(f"full.{key}.s") and k[-1].isdigit()]
        assert len(found) == 1, key
        step = int(found[0].rpartition(".s")[2])
        np.testing.assert_allclose(ours[..., ::step, ::step], stored[found[0]], rtol=0,
                                   atol=ATOL[name], err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["photo", "synth_1024x768", "synth_320x211"])
def test_schp_from_the_official_crop(picture: str) -> None:
    stored = arrays("schp")
    crop = case(stored, f"{picture}.crop473_bgr_u8")
    mean, std = np.float32([0.406, 0.456, 0.485]), np.float32([0.225, 0.224, 0.229])
    x = ((crop.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    ours = outputs("schp", torch.from_numpy(np.ascontiguousarray(x)))["fusion"]
    np.testing.assert_allclose(ours, stored[f"{picture}.fusion"], rtol=0, atol=ATOL["schp"])


@pytest.mark.parametrize(("name", "head"), [("schp", "fusion"), ("u2netp", "d0")])
def test_forward_is_the_head_that_is_used(name: str, head: str) -> None:
    x = noise(name, "small")
    with torch.inference_mode():
        assert torch.equal(filled_network(name)(x), torch.from_numpy(outputs(name, x)[head]))


def test_abn_gain_is_the_absolute_weight_plus_eps() -> None:
    abn, norm = ABN(3).eval(), nn.BatchNorm2d(3).eval()
    weight = torch.tensor([-2.0, 0.5, 0.0])
    with torch.no_grad():
        abn.weight.copy_(weight)
        norm.weight.copy_(weight.abs() + 1e-5)
        x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(abn(x), norm(x), atol=1e-7)
        abn.slope = 0.01
        assert torch.allclose(abn(x), nn.functional.leaky_relu(norm(x), 0.01), atol=1e-7)


@pytest.mark.parametrize("size", [(30, 30), (9, 7), (16, 12), (5, 6)])
@pytest.mark.parametrize("cells", [1, 2, 3, 6])
def test_average_pool_is_adaptive_pooling(cells: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    want = nn.functional.adaptive_avg_pool2d(x, cells)
    assert torch.allclose(AveragePool(cells)(x), want, atol=1e-6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("channels", [224, 40, 11, 8])
def test_weakest_channels_are_those_below_the_quantile(channels: int, ties: bool) -> None:
    values = torch.rand(3, channels, generator=torch.Generator().manual_seed(2))
    if ties:
        values = (values * 8).round() / 8
    threshold = torch.quantile(values, 0.1, dim=1, keepdim=True)
    want = torch.where(values <= threshold, torch.zeros(()), values)
    got = UnionAttention(channels)._without_weakest(values[..., None, None])
    assert torch.equal(got[..., 0, 0], want)


NARROW = {
    "schp": (0.125, {"layers": (1, 1, 2, 1)}, (64, 48), (1, 20, 16, 12)),
    "u2net": (0.125, {}, (64, 48), (1, 1, 64, 48)),
    "u2netp": (0.5, {}, (33, 47), (1, 1, 33, 47)),
    "tracer_b7": (0.125, {"layers": (1, 1, 1, 2, 1, 1, 1)}, (64, 96), (1, 1, 64, 96)),
}


@pytest.mark.parametrize("name", NAMES)
def test_narrow_variants_keep_the_interface(name: str) -> None:
    width, options, size, shape = NARROW[name]
    network = nets.build(name, width, **options)
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, *size)).shape == shape
    narrow = sum(p.numel() for p in network.parameters())
    assert narrow < 0.5 * sum(np.prod(s) for s in official_shapes(name).values())


@pytest.mark.parametrize("name", NAMES)
def test_narrow_variants_learn(name: str) -> None:
    """A few steps on one batch lower the loss, and running statistics follow the batch."""
    torch.manual_seed(0)
    width, options, size, _ = NARROW[name]
    network = nets.build(name, width, **options).train()
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        target = torch.full_like(network(x), 0.25)
    before = {k: v.clone() for k, v in network.named_buffers() if k.endswith("running_mean")}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = (network(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert any(not torch.equal(before[k], dict(network.named_buffers())[k]) for k in before)
