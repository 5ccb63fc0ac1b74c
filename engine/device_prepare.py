"""Photos prepared on the GPU: a picture goes up, every network and step of section 3.1 runs on what
lies there, and the maps come home in one download.

The host waits for the GPU where it has to know: for the key points, which say where to cut the
photo (once more where it was cut closer), for the hands, whose strokes it puts into the skeleton,
and for the maps; for a garment once, since its mask says where to cut.
"""

from __future__ import annotations

import numpy as np

from fuw.engine import pipeline, preparing
from fuw.engine.arrays import U8
from fuw.engine.clock import Clock
from fuw.engine.errors import NoPersonError
from fuw.engine.images import Photo
from fuw.engine.looking import Looking
from fuw.engine.nets import Networks
from fuw.engine.preparing import Cut, Wanted
from fuw.engine.records import PersonMaps
from fuw.kernels.device import Device, DeviceArray
from fuw.kernels.steps import Steps

PERSON_NETS = ("openpose_body", "openpose_hand", "densepose", "schp")
Worn = tuple[DeviceArray, DeviceArray, DeviceArray]


class DevicePrepare:
    """Preparations on `device`. Safe to call from several threads."""

    def __init__(self, nets: Networks, device: Device) -> None:
        self._nets, self._device, self._steps = nets, device, Steps(device)

    def person(self, wanted: Wanted, clock: Clock,
               ) -> tuple[PersonMaps, Cut[DeviceArray], Worn] | None:
        """The maps on the host, the picture, and what of the maps a fit looks at, on the device.
        None where a network answered NaN or Inf, for somebody who can ask it again in fp32.

        Raises:
            NoPersonError: nobody was found. NoRoom: the GPU's memory does not suffice.
        """
        nets, flags = self._looking(PERSON_NETS)
        try:
            maps, cut = preparing.prepare_person(nets, self._steps, wanted, clock)
        except NoPersonError:
            if self._device.download(flags).any():
                return None
            raise
        kept = [maps.skeleton, maps.parse, maps.parse_agnostic, maps.groups_agnostic,
                maps.agnostic, *([] if maps.iuv is None else [maps.iuv])]
        with clock("download"):
            raised, P, S, S_a, groups, I_a, *iuv = self._steps.home(flags, *kept)
        if raised.any():
            return None
        here = PersonMaps(cut.image, maps.body, maps.hands, P, S, iuv[0] if iuv else None, S_a,
                          groups, I_a)
        return here, cut, (maps.skeleton, maps.agnostic, maps.groups_agnostic)

    def garment(self, photo: Photo, clock: Clock) -> U8 | None:
        """The soft mask of a garment's photo, u8 (H, W); None as `person`."""
        nets, flags = self._looking((self._nets.mask_net,))
        image = self._steps.up(photo.pixels)
        soft = pipeline.prepare_garment(nets, self._steps, image, clock)
        with clock("download"):
            mask, raised = self._steps.home(soft, flags)
        return None if raised.any() else np.asarray(mask, np.uint8)

    def _looking(self, names: tuple[str, ...]) -> tuple[Looking, DeviceArray]:
        flags = self._device.empty((len(names),), np.int32)
        self._device.fill(flags, 0)
        return Looking(self._nets, self._steps, names, flags), flags
