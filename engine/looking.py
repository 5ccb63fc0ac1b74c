"""Networks whose answers stay on a device, looked at there: see finite.py for the host's half."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fuw.engine.nets import Networks
from fuw.engine.spec import View
from fuw.kernels.device import DeviceArray
from fuw.kernels.steps import Steps


class Looking:
    """The networks on the device; each notes in a flag of its own where it answered NaN or Inf.

    Implements `fuw.engine.nets.NetsOf` over device arrays.
    """

    def __init__(self, nets: Networks, steps: Steps, names: Sequence[str], flags: DeviceArray,
                 ) -> None:
        """
        Args:
            names: the networks that may be asked.
            flags: i32, one for each name, 0 before.
        """
        self._nets, self._steps, self._names, self._flags = nets, steps, names, flags

    @property
    def mask_net(self) -> str:
        """Name of the cloth mask network."""
        return self._nets.mask_net

    def __getitem__(self, name: str) -> Callable[..., list[DeviceArray]]:
        """The network called `name`."""
        net, flag = self._nets[name], self._flags.part(4 * self._names.index(name), 1)

        def ask(*inputs: DeviceArray) -> list[DeviceArray]:
            answers = net(*inputs)
            for answer in answers:
                self._steps.look(answer, flag)
            return answers

        return ask

    def fit(self, name: str) -> Mapping[str, int]:
        """Parameters of the network's pre-processing twin."""
        return self._nets.fit(name)

    def views(self, name: str) -> tuple[View, ...]:
        """How often the network looks at a picture."""
        return self._nets.views(name)

    def keeps(self) -> tuple[int, ...]:
        """Label ids that I_a keeps beyond the official ones."""
        return self._nets.keeps()

    def labels(self, name: str) -> str:
        """Label convention of a parser."""
        return self._nets.labels(name)
