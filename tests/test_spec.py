"""The table of networks is consistent with itself and with the Torch classes."""

import inspect
from dataclasses import replace

import pytest
import torch

from fuw.engine.errors import UnknownNetwork
from fuw.engine.networks import NETWORKS, network
from fuw.engine.spec import PRECISIONS
from fuw.export import nets

NAMES = sorted(NETWORKS)


@pytest.mark.parametrize("name", NAMES)
def test_axis_words_have_a_number_in_every_variant(name: str) -> None:
    spec = NETWORKS[name]
    for variant in spec.variants:
        for tensor in spec.inputs + spec.outputs:
            assert all(n > 0 for n in tensor.shape(spec.sizes(variant)))
    assert set(spec.gates) == set(PRECISIONS)


@pytest.mark.parametrize("name", NAMES)
def test_forward_takes_the_specs_inputs_in_order(name: str) -> None:
    with torch.device("meta"):
        module = nets.build(name)
    taken = list(inspect.signature(module.forward).parameters)
    assert taken == [t.name for t in NETWORKS[name].inputs]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1.0, 0.25])
def test_outputs_have_the_specs_shapes_at_any_width(name: str, width: float) -> None:
    spec = NETWORKS[name]
    with torch.device("meta"):
        module = nets.build(name, width)
        inputs = [torch.empty(t.shape(spec.sizes("official"))) for t in spec.inputs]
        outputs = module(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    expected = [t.shape(spec.sizes("official")) for t in spec.outputs]
    assert [tuple(o.shape) for o in outputs] == expected


def test_hash_follows_the_variant_and_the_spec() -> None:
    spec = network("seg")
    assert spec.hash() == network("seg").hash()
    assert replace(spec, about="other").hash() == spec.hash()
    assert replace(spec, fp32_islands=("*",)).hash() != spec.hash()
    wider = replace(spec.variant("official"), width=2.0)
    assert replace(spec, variants={"official": wider}).hash() != spec.hash()


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UnknownNetwork, match="alias"):
        network("aliass")
    with pytest.raises(UnknownNetwork, match="official"):
        network("seg").variant("tiny")


def test_unknown_hashes_stay_unknown() -> None:
    assert network("u2netp").checkpoint.sha256 is None
    assert network("alias").checkpoint.bytes == 402472247


def test_recipes_are_where_pictures_are() -> None:
    assert NETWORKS["schp"].recipe.colour == "BGR" and NETWORKS["u2net"].recipe.scale == 0
    assert NETWORKS["openpose_hand"].recipe == NETWORKS["openpose_body"].recipe
    assert NETWORKS["u2netp"].recipe == NETWORKS["u2net"].recipe
    with pytest.raises(ValueError, match="seg takes no picture"):
        _ = NETWORKS["seg"].recipe
