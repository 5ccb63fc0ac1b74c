"""Networks whose answers stay on a device, looked at there: see finite.py for the host's half."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fuw.engine.nets import Networks, Wrapped
from fuw.kernels.device import DeviceArray
from fuw.kernels.steps import Steps


class Looking(Wrapped):
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
        super().__init__(nets)
        self._steps, self._names, self._flags = steps, names, flags

    def __getitem__(self, name: str) -> Callable[..., list[DeviceArray]]:
        """The network called `name`."""
        net, flag = self._nets[name], self._flags.part(4 * self._names.index(name), 1)

        def ask(*inputs: DeviceArray) -> list[DeviceArray]:
            answers = net(*inputs)
            for answer in answers:
                self._steps.look(answer, flag)
            return answers

        return ask
