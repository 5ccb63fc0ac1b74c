"""A network that answers NaN or infinity in a reduced precision answers again in fp32.

fp16 ends at 65,504. The export measures how far a checkpoint's values reach and keeps fp32 where
they come near (fuw/export/islands.py), but a photo can reach further than what was measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.errors import BackendError
from fuw.engine.judgement import Warning_
from fuw.engine.nets import Networks, Wrapped

log = logging.getLogger(__name__)


def all_finite(answers: Sequence[F32]) -> bool:
    """Whether no element is NaN or infinite; 0.1 ms a million numbers."""
    return all(_finite(np.ascontiguousarray(answer).reshape(-1)) for answer in answers)


def _finite(flat: F32) -> bool:
    """One pass without a temporary: NaN and infinity survive a sum of squares. Squares of honest
    numbers past 1e19 leave the range too, so only the slow look condemns."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.dot(flat, flat)
    return bool(np.isfinite(total)) or bool(np.isfinite(flat).all())


class Watched(Wrapped):
    """The networks as one call of a Fitter sees them: every answer is looked at.

    Implements `fuw.engine.nets.Nets`. Each call has its own, since its warnings are that call's.
    """

    def __init__(self, nets: Networks) -> None:
        super().__init__(nets)
        self._found: dict[str, Warning_] = {}

    @property
    def warnings(self) -> tuple[Warning_, ...]:
        """One for each network that had to answer again."""
        return tuple(self._found.values())

    def __getitem__(self, name: str) -> Callable[..., list[F32]]:
        """The network `name`; raises what the network raises, and BackendError as `again`."""
        net = self._nets[name]

        def ask(*inputs: F32) -> list[F32]:
            answers = net(*inputs)
            return answers if all_finite(answers) else self.again(name, *inputs)

        return ask

    def again(self, name: str, *inputs: F32) -> list[F32]:
        """The answers of `name` in fp32, with a warning: its own were not finite.

        For a caller whose answers stay on a device, and who looked at them there.

        Raises:
            BackendError: no fp32 file of it is there, or fp32 is not finite either.
        """
        model = self._nets[name].model
        answers = self._nets.plain(name)(*inputs) if model.precision != "fp32" else []
        if not answers or not all_finite(answers):
            raise BackendError(
                f"{name} answers NaN or infinity in fp32: its weights ({model.origin or 'unknown'})"
                " are damaged or another network's; look at them with fuw-info, export them again "
                "with fuw-export --force")
        said = (f"{name} answered NaN or infinity in {model.precision} and was run again in fp32; "
                f"if that happens often: --precision fp32, or fuw-export --force --photos with "
                "such a photo")
        log.warning("%s", said)
        self._found[name] = Warning_("overflow", 1, 0, said)
        return answers
