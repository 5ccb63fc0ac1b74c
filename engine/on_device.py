"""What sessions on a GPU share: a run from host to host is an upload, a queued run, a download."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from fuw.engine.arrays import F32
from fuw.kernels.device import Device, DeviceArray


class OnDevice(ABC):
    """A session (`backend.Session` and `backend.DeviceSession`) on `device`.

    Attributes:
        recordable: whether its runs may be recorded into a CUDA graph of ours, as far as can be
            known before it is tried.
    """

    recordable = False

    def __init__(self, device: Device, owns: bool) -> None:
        """`owns`: the device is closed with the session."""
        self._device, self._owns = device, owns

    @property
    def device(self) -> Device:
        """Where it runs."""
        return self._device

    @property
    def memory(self) -> int:
        """Bytes of device memory that a run works in, as far as the runtime tells; else 0."""
        return 0

    @abstractmethod
    def queue(self, feeds: Mapping[str, DeviceArray]) -> list[DeviceArray]:
        """Queue a run in the device's order; outputs belong to the caller."""

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once, host to host; outputs in the order of the spec."""
        there = {name: self._device.upload(value) for name, value in feeds.items()}
        return [np.asarray(self._device.download(array), np.float32)
                for array in self.queue(there)]

    @abstractmethod
    def close(self) -> None:
        """Give up the runtime's memory; a second call does nothing."""

    def _close_device(self) -> None:
        if self._owns:
            self._device.close()
