"""The networks of one chain, opened at first use, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from fuw.engine.arrays import F32
from fuw.engine.backend import Backend, Model, Network, OpenOptions
from fuw.engine.errors import BackendError, CheckpointError
from fuw.engine.networks import network
from fuw.engine.spec import View

F_co = TypeVar("F_co", covariant=True)


class FitNets(Protocol[F_co]):
    """What a fit asks of its networks: to be called, and to answer in the kind that they are given.
    """

    def __getitem__(self, name: str) -> Callable[..., Sequence[F_co]]:
        """The network called `name`."""


class NetsOf(FitNets[F_co], Protocol[F_co]):
    """What the pipeline asks of its networks; the bench's baseline answers the same questions."""

    @property
    def mask_net(self) -> str:
        """Name of the cloth mask network."""

    def fit(self, name: str) -> Mapping[str, int]:
        """Parameters of its pre-processing twin."""

    def labels(self, name: str) -> str:
        """Label convention of a parser."""

    def views(self, name: str) -> tuple[View, ...]:
        """How often the network looks at a picture."""

    def keeps(self) -> tuple[int, ...]:
        """Label ids that I_a keeps beyond the official ones."""


Nets = NetsOf[F32]


class Networks(Mapping[str, Network]):
    """`nets["seg"](x)`; a network that is not there says so when it is asked for."""

    def __init__(self, models: Mapping[str, Model], backend: Backend, options: OpenOptions,
                 mask_net: str, weights: str, plain: Mapping[str, Model] | None = None) -> None:
        """
        Args:
            mask_net: name of the cloth mask network.
            weights: where the models come from, for messages.
            plain: the same networks in fp32, for `plain`.
        """
        self._nets = {name: Network(model, backend, options) for name, model in models.items()}
        self._plain = {name: Network(model, backend, options)
                       for name, model in (plain or {}).items()}
        self.mask_net, self._weights = mask_net, weights

    def __getitem__(self, name: str) -> Network:
        if name not in self._nets:
            spec = network(name)
            raise CheckpointError(
                f"{name}: weights {self._weights} hold no such network; export it from "
                f"{spec.checkpoint.file} (fuw-export --networks {name}), or fill the gap with "
                "--fill starter"
            )
        return self._nets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nets)

    def __len__(self) -> int:
        return len(self._nets)

    def plain(self, name: str) -> Network:
        """The network called `name` in fp32, opened when it is first needed.

        Raises:
            BackendError: no fp32 file of it is there.
        """
        if name not in self._plain:
            raise BackendError(
                f"{name} cannot be run in fp32: weights {self._weights} hold no fp32 file of it; "
                f"write one: fuw-export --weights {self._weights} --networks {name} --fp32"
            )
        return self._plain[name]

    def fit(self, name: str) -> Mapping[str, int]:
        """Parameters of the network's pre-processing twin, for example {"shorter": 800}."""
        model = self[name].model
        return model.spec.variant(model.variant).fit

    def labels(self, name: str) -> str:
        """Label convention of a parser: "lip" or "viton"."""
        model = self[name].model
        return model.spec.variant(model.variant).labels

    def views(self, name: str) -> tuple[View, ...]:
        """How often the network looks at a picture."""
        model = self[name].model
        return model.spec.variant(model.variant).views

    def keeps(self) -> tuple[int, ...]:
        """Label ids that I_a keeps beyond the official ones: those that both networks that see
        it want kept."""
        there = set(self)  # `in` would ask for the network, which raises where it is missing
        models = [self[name].model for name in ("gmm", "alias") if name in there]
        wanted = [set(m.spec.variant(m.variant).keeps) for m in models]
        return tuple(sorted(set.intersection(*wanted))) if wanted else ()

    def origins(self) -> dict[str, str]:
        """Where each network's weights came from."""
        return {name: net.model.origin for name, net in self._nets.items()}

    def close(self) -> None:
        """Close every network."""
        for net in (*self._nets.values(), *self._plain.values()):
            net.close()


class Wrapped:
    """What the pipeline asks about networks, passed on to those that are wrapped.

    Whoever wraps them defines `__getitem__`, and with it is a `NetsOf`.
    """

    def __init__(self, nets: Networks) -> None:
        self._nets = nets

    @property
    def mask_net(self) -> str:
        """Name of the cloth mask network."""
        return self._nets.mask_net

    def fit(self, name: str) -> Mapping[str, int]:
        """Parameters of the network's pre-processing twin."""
        return self._nets.fit(name)

    def labels(self, name: str) -> str:
        """Label convention of a parser."""
        return self._nets.labels(name)

    def views(self, name: str) -> tuple[View, ...]:
        """How often the network looks at a picture."""
        return self._nets.views(name)

    def keeps(self) -> tuple[int, ...]:
        """Label ids that I_a keeps beyond the official ones."""
        return self._nets.keeps()
