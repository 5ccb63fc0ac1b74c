"""The networks in Torch: official state dicts load unchanged and strictly."""

import importlib
from typing import Any

from torch import nn

from fuw.engine.networks import network


def build(
    name: str, width: float = 1.0, *, variant: str | None = None, **options: Any
) -> nn.Module:
    """Build a network in eval mode, with untrained parameters.

    Args:
        name: a key of `fuw.engine.networks.NETWORKS`, for example "alias".
        width: channel width factor; 1.0 is the official network.
        variant: take width and options from this variant of the NetSpec ("official", "starter")
            instead; `width` is then ignored and `options` override the variant's.
        options: depth options of the class, for example `layers=(2, 2, 2, 2)` for "schp".

    Raises:
        UnknownNetwork: `name` or `variant` is not in the table.
    """
    spec = network(name)
    if variant is not None:
        chosen = spec.variant(variant)
        width, options = chosen.width, {**chosen.options, **options}
    module, _, cls = spec.module.partition(":")
    built: nn.Module = getattr(importlib.import_module(module), cls)(width, **options)
    return built.eval()
