"""SegGenerator, GMM and ALIASGenerator against the official code's numbers (made-up weights)."""

import copy
import functools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from golden_files import compare, fill, golden, inputs
from torch import nn

from fuw.export.nets.alias import ALIASGenerator, MaskNorm
from fuw.export.nets.gmm import GMM, correlation
from fuw.export.nets.seg import SegGenerator
from fuw.export.nets.spectral import SpectralConv2d, fold_spectral_norm
from fuw.export.nets.tps import tps_grid, tps_inverse, warp

CLASSES: dict[str, type[nn.Module]] = {"seg": SegGenerator, "gmm": GMM, "alias": ALIASGenerator}
MILD = {"regression.linear.*": 0.1}
LIMIT = 1e-4


@functools.cache
def table(name: str) -> dict[str, tuple[int, ...]]:
    """Official keys and shapes in the official order."""
    networks = json.loads(golden("viton_hd.json").read_text())["networks"]
    return {k: tuple(v["shape"]) for k, v in networks[name]["state_dict"].items()}


def made_up(name: str, gain: dict[str, float] | None = None, **options: Any) -> nn.Module:
    with torch.device("meta"):
        net = CLASSES[name](1.0, **options)
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    arrays = fill.fill_state_dict(shapes, 0, gain)
    net.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()}, assign=True)
    return net.eval()


@pytest.fixture(scope="module")
def alias() -> Iterator[ALIASGenerator]:
    net = made_up("alias")
    assert isinstance(net, ALIASGenerator)
    yield net


@pytest.fixture(scope="module")
def gmm() -> nn.Module:
    return made_up("gmm")


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.no_grad():
        yield


def tensors(case: Any) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in (case if isinstance(case, tuple) else (case,))]


def needs(key: str) -> None:
    """Skip where the stored array is one of those left out of tests/golden for their size."""
    with np.load(golden("viton_hd_nets.npz")) as file:
        if key not in file:
            pytest.skip(f"{key} is only in the full golden file (../shared), left out for its size")


def agree(result: torch.Tensor, key: str) -> None:
    needs(key)
    with np.load(golden("viton_hd_nets.npz")) as file:
        expected = file[key]
    assert compare.rel_l2(compare.strided(result.numpy(), key), expected) < LIMIT, key


def statistics_agree(result: torch.Tensor, key: str) -> None:
    """Mean and deviation per channel: they see the places that the stored cut leaves out."""
    with np.load(golden("viton_hd_nets.npz")) as file:
        mean, std = file[key + ".mean"], file[key + ".std"]
    wide = result.double()
    assert np.abs(wide.mean((2, 3)).numpy() - mean).max() < LIMIT * max(1, np.abs(std).max())
    assert np.abs(wide.std((2, 3), correction=0).numpy() - std).max() < LIMIT * np.abs(std).max()


@pytest.mark.parametrize("name", CLASSES)
def test_keys_shapes_and_order_are_official(name: str) -> None:
    with torch.device("meta"):
        ours = {k: tuple(v.shape) for k, v in CLASSES[name]().state_dict().items()}
    assert list(ours.items()) == list(table(name).items())


@pytest.mark.parametrize("key, size", [("seg/256x192", (1, 256, 192)),
                                       ("seg/64x48_b2", (2, 64, 48))])
def test_seg(key: str, size: tuple[int, int, int]) -> None:
    needs(key)
    (x,) = tensors(inputs.seg_case(0, *size))
    agree(made_up("seg")(x), key)


@pytest.mark.parametrize("name, gain", [("gmm", None), ("gmm_mild", MILD)])
def test_gmm(name: str, gain: dict[str, float] | None) -> None:
    theta = made_up("gmm", gain)(*tensors(inputs.gmm_case(0)))
    agree(theta, f"{name}/theta")
    agree(tps_grid(theta, 1024, 768), f"{name}/grid_s8")


def test_gmm_at_another_size_in_a_batch() -> None:
    theta = made_up("gmm", MILD, size=(128, 128))(*tensors(inputs.gmm_case(0, 2, 128, 128)))
    agree(theta, "gmm_512x512_b2/theta")
    agree(tps_grid(theta, 512, 512), "gmm_512x512_b2/grid_s8")


def test_gmm_inside(gmm: GMM) -> None:
    a, b = tensors(inputs.gmm_case(0))
    agree(gmm.extractionA(a), "gmm/featA_raw_c16")
    person, garment = gmm.person_features(a), gmm.garment_features(b)
    agree(person, "gmm/featA_c8")
    agree(garment, "gmm/featB_c8")
    agree(correlation(person, garment), "gmm/corr")


def test_garment_features_apart_give_the_same_theta(gmm: GMM) -> None:
    a, b = tensors(inputs.gmm_case(3))
    assert torch.equal(gmm.theta(a, gmm.garment_features(b)), gmm(a, b))


def test_tps_unit() -> None:
    agree(tps_inverse()[None].float(), "gmm/Li")
    with np.load(golden("viton_hd_nets.npz")) as file:
        theta, image = (torch.from_numpy(file[f"unit/tps/{n}"]) for n in ("theta", "image"))
    grid = tps_grid(theta, 64, 48)
    agree(grid, "unit/tps/grid")
    agree(warp(image, grid), "unit/tps/warp_border")
    agree(tps_grid(torch.zeros(1, 50), 64, 48), "unit/tps/grid_theta0")


def test_mask_norm_unit() -> None:
    with np.load(golden("viton_hd_nets.npz")) as file:
        x, mask = (torch.from_numpy(file[f"unit/masknorm/{n}"]) for n in ("x", "mask"))
    agree(MaskNorm()(x, mask), "unit/masknorm/out")


@pytest.mark.parametrize("mask", ["soft", "hard", "zero", "ones"])
def test_alias_256(alias: ALIASGenerator, mask: str) -> None:
    result = alias(*tensors(inputs.alias_case(256, 192, 0, 1, mask)))
    assert result.shape == (1, 3, 256, 128)  # rounded down to a multiple of 128
    statistics_agree(result, f"alias/256x192_{mask}")
    agree(result, f"alias/256x192_{mask}")


@pytest.mark.parametrize("mask", ["soft", "zero"])
def test_alias_block_by_block(alias: ALIASGenerator, mask: str) -> None:
    seen: dict[str, torch.Tensor] = {}
    hooks = [alias.get_submodule(name).register_forward_hook(
        lambda _, __, out, name=name: seen.update({name: out}))
        for name in [*alias.block_names, "conv_img"]]
    alias(*tensors(inputs.alias_case(256, 192, 0, 1, mask)))
    for hook in hooks:
        hook.remove()
    prefix = f"alias/256x192_{mask}/"
    with np.load(golden("viton_hd_nets.npz")) as file:
        cuts = [k for k in file.files if k.startswith(prefix) and "_c" in k.removeprefix(prefix)]
        cuts = [k for k in cuts if not k.endswith((".mean", ".std"))]
    assert len(cuts) == 9
    for key in cuts:
        name = key.removeprefix(prefix).rsplit("_c", 1)[0]
        agree(seen[name], key)
        statistics_agree(seen[name], prefix + name)


def test_alias_batch_with_and_without_a_mask(alias: ALIASGenerator) -> None:
    result = alias(*tensors(inputs.alias_case(256, 256, 0, 2, "mixed")))
    agree(result, "alias/256x256_b2_mixed_s2")


def test_alias_512(alias: ALIASGenerator) -> None:
    result = alias(*tensors(inputs.alias_case(512, 384)))
    statistics_agree(result, "alias/512x384_soft")
    agree(result, "alias/512x384_soft_s2")


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["soft", "zero"])
def test_alias_official_size(alias: ALIASGenerator, mask: str) -> None:
    needs(f"alias/1024x768_{mask}_s8")
    result = alias(*tensors(inputs.alias_case(1024, 768, 0, 1, mask)))
    agree(result, f"alias/1024x768_{mask}_s8")
    statistics_agree(result, f"alias/1024x768_{mask}")
    if mask == "soft":
        agree(result, "alias/1024x768_soft_crop448_320")


@pytest.mark.parametrize("width", [0.125, 0.2, 0.25, 0.5])
def test_width_changes_channels_only_inside(width: float) -> None:
    a, b = torch.rand(1, 7, 256, 192), torch.rand(1, 3, 256, 192)
    assert SegGenerator(width)(torch.rand(1, 21, 64, 48)).shape == (1, 13, 64, 48)
    assert GMM(width)(a, b).shape == (1, 50)
    alias_inputs = [torch.rand(1, c, 256, 128) for c in (9, 7, 8, 1)]
    narrow = ALIASGenerator(width).eval()
    assert narrow(*alias_inputs).shape == (1, 3, 256, 128)
    full = sum(np.prod(shape) for shape in table("alias").values())
    assert sum(v.numel() for v in narrow.state_dict().values()) < 1.2 * width**2 * full + 2e5


@pytest.mark.parametrize("levels", [4, 7])
def test_alias_with_fewer_levels(levels: int) -> None:
    net = ALIASGenerator(0.125, levels=levels).eval()
    assert net(*(torch.rand(1, c, 128, 64) for c in (9, 7, 8, 1))).shape == (1, 3, 128, 64)
    with pytest.raises(ValueError, match="levels is 3"):
        ALIASGenerator(0.125, levels=3)


def test_alias_noise_is_off_unless_asked_for_and_repeatable() -> None:
    torch.manual_seed(0)
    net = ALIASGenerator(0.125).eval()
    case = tensors(inputs.alias_case(256, 128, 1))
    quiet = net(*case)
    for name, parameter in net.named_parameters():
        if name.endswith("noise_scale"):
            parameter.fill_(0.3)
    assert torch.equal(net(*case), quiet)
    net.noise_seed = 5
    noisy = net(*case)
    assert (noisy - quiet).abs().max() > 1e-3
    assert torch.equal(net(*case), noisy)
    net.noise_seed = 6
    assert not torch.equal(net(*case), noisy)


def test_spectral_norm_trains_and_rests() -> None:
    torch.manual_seed(0)
    conv = SpectralConv2d(6, 10, 3)
    assert list(conv.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]
    largest = torch.linalg.svdvals(conv.weight_orig.flatten(1))[0]
    for _ in range(100):  # every forward in training is one power iteration
        conv(torch.rand(1, 6, 8, 8))
    conv.eval()
    before = conv.weight_u.clone()
    assert torch.linalg.svdvals(conv.weight().flatten(1))[0] == pytest.approx(1.0, abs=1e-4)
    assert torch.allclose(conv.weight() * largest, conv.weight_orig, atol=1e-4)
    conv(torch.rand(1, 6, 8, 8))
    assert torch.equal(conv.weight_u, before)


def test_spectral_norm_has_a_gradient_through_two_forwards() -> None:
    with torch.enable_grad():
        conv = SpectralConv2d(3, 4, 3)
        x = torch.rand(1, 3, 8, 8)
        (conv(x).sum() + conv(x * 2).sum()).backward()
    assert conv.weight_orig.grad is not None and conv.weight_orig.grad.abs().sum() > 0


def test_folding_spectral_norm_keeps_the_picture() -> None:
    torch.manual_seed(0)
    net = ALIASGenerator(0.125).eval()
    folded = fold_spectral_norm(copy.deepcopy(net))
    assert not any(isinstance(m, SpectralConv2d) for m in folded.modules())
    assert any(isinstance(m, SpectralConv2d) for m in net.modules())
    case = tensors(inputs.alias_case(256, 128, 2))
    assert compare.rel_l2(folded(*case).numpy(), net(*case).numpy()) < 1e-5
