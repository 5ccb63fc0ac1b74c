"""A session of the static form of the sparse ALIAS: windows first, then the graph, in one queue.

Nothing waits for the number of windows. Where a map has more than the tables hold, the answer of
`queue` begins with NaN, which whoever looks at a network's answers finds (`fuw.engine.device_fit`,
`fuw.engine.finite`); `run` sees it coming and takes the dense form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.errors import BackendError
from fuw.engine.on_device import OnDevice
from fuw.engine.windows import Level
from fuw.kernels.device import DeviceArray
from fuw.kernels.steps import Steps

if TYPE_CHECKING:
    from fuw.engine.backend import Model, Session
    from fuw.engine.overflow import Standby


def opened(session: Session, model: Model, standby: Standby) -> Session:
    """The `session` of the static form `model`, fed with its windows."""
    if not isinstance(session, OnDevice):
        raise BackendError(f"{model.spec.name}: its static form runs on a GPU; this is a mistake "
                           "in fuw, please report it")
    return Windowed(session, model, standby)


class Windowed(OnDevice):
    """The static form behind the kernels that find its windows.

    Attributes:
        static: the session of its graph.
    """

    def __init__(self, static: OnDevice, model: Model, standby: Standby) -> None:
        super().__init__(static.device, owns=False)
        self.static, self._standby = static, standby
        self._steps, self.recordable = Steps(static.device), static.recordable
        self._levels: dict[str, list[Level]] = defaultdict(list)
        for level in model.windows:
            self._levels[level.source].append(level)
        self._most = max(level.capacity for level in model.windows)
        # Uploaded now, since what is first asked for inside a recorded graph is freed with it.
        for tensor in model.spec.inputs:
            if tensor.name in self._levels:
                self._steps.window_plan(tensor.shape(model.sizes, model.batch),
                                        self._sizes(tensor.name))

    @property
    def memory(self) -> int:
        """Bytes of device memory that a run works in."""
        return self.static.memory

    def queue(self, feeds: Mapping[str, DeviceArray]) -> list[DeviceArray]:
        """Queue a run; the answer begins with NaN where the map overflows."""
        found, flag = self._find(feeds)
        answers = self.static.queue({**feeds, **found})
        for answer in answers:
            self._steps.disown(answer, flag)
        return answers

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once in the form that the map asks for, host to host."""
        there = {name: self.device.upload(value) for name, value in feeds.items()}
        found, flag = self._find(there)
        if not self.device.download(flag)[0]:
            return [np.asarray(self.device.download(array), np.float32)
                    for array in self.static.queue({**there, **found})]
        dense = self._standby.session(f"the parse map has more different 5x5 windows than the "
                                      f"{self._most} that the tables of its static form hold;")
        if dense is None:
            raise BackendError("the static form of ALIAS has no dense file beside it; export it "
                               "again: fuw-export --alias sparse --force")
        return dense.run(feeds)

    def close(self) -> None:
        """Close both forms."""
        self._standby.close()
        self.static.close()

    def _find(self, feeds: Mapping[str, DeviceArray],
              ) -> tuple[dict[str, DeviceArray], DeviceArray]:
        """The inputs of every level, and the flag of an overflow."""
        flag = self.device.empty((1,), np.int32)
        self.device.fill(flag, 0)
        found: dict[str, DeviceArray] = {}
        for source, levels in self._levels.items():
            made = self._steps.windows(feeds[source], self._sizes(source), flag)
            for level, (rows, places) in zip(levels, made, strict=True):
                found |= {level.rows: rows, level.places: places}
        return found, flag

    def _sizes(self, source: str) -> list[tuple[int, int]]:
        return [(level.step, level.capacity) for level in self._levels[source]]
