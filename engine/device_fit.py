"""A fit that stays on the GPU: what was prepared goes up once, `pipeline.fit` runs on arrays there,
as one CUDA graph where it can be recorded, and one download brings everything back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fuw.engine import pipeline
from fuw.engine.arrays import U8
from fuw.engine.clock import Clock
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.looking import Looking
from fuw.engine.nets import Networks
from fuw.engine.records import Fit, Garment, Parts, PartsOf, Person
from fuw.engine.residents import Residents, There
from fuw.kernels.cpu.segment import seg_noise
from fuw.kernels.device import Device, DeviceArray, Recorded
from fuw.kernels.parcel import Parcel
from fuw.kernels.steps import Steps

log = logging.getLogger(__name__)

FIT_NETS = ("seg", "gmm", "alias")
NOISES = 16  # seeds whose noise stays on the device
MIB = 1 << 20
# What ONNX Runtime needs beside our arrays is not known before it has run: twice as much again.
UNKNOWN = 3


@dataclass(frozen=True)
class Worn:
    """What of the people of a batch a fit looks at (`records.Wearer`)."""

    skeleton: DeviceArray
    agnostic: DeviceArray
    groups_agnostic: DeviceArray


class DeviceFit:
    """Fits of `batch` pairs at a time. Safe to call from several threads, which take turns."""

    def __init__(self, nets: Networks, device: Device, size: tuple[int, int], batch: int = 1,
                 ) -> None:
        """
        Args:
            nets: seg, gmm and alias of that batch, on `device`.
            size: (height, width) of the pictures.
        """
        self._nets, self._device, self.batch, self._size = nets, device, batch, size
        self._steps, self._lock = Steps(device), threading.Lock()
        self._people, self._garments = Residents(device), Residents(device)
        self._noises = Residents(device, NOISES)
        self._places: Places | None = None
        self._recorded: Recorded | None = None
        self._free = 0  # bytes, before anything was allocated here

    def dress(self, pairs: Sequence[tuple[Person, Garment]], seed: int, clock: Clock,
              ) -> list[tuple[U8, Parts]] | None:
        """Dress up to `batch` pairs; None where a network answered NaN or Inf, for somebody who can
        ask it again in fp32.

        Raises:
            NoRoom: the batch does not fit on the GPU; the sentence names one that would.
        """
        with self._lock:
            try:
                with clock("upload"):
                    places = self._filled([*pairs, *[pairs[-1]] * (self.batch - len(pairs))], seed)
                with clock("fit"):
                    self._queue(places)
                    answer = self._device.download(places.answer.block)
            except NoRoom as error:
                self._drop()
                raise NoRoom(self._smaller(error)) from error
            return places.answer.split(answer, len(pairs))

    def keep(self, person: Person, there: There) -> None:
        """What a fit looks at of a person who was prepared on the device: it is there already."""
        with self._lock:
            self._people.keep(person, there)

    def paste_back(self, fit: Fit) -> U8:
        """`fit.pasted_back()`: the photo goes up and comes back."""
        patch = fit.person.frame.patch()
        if patch is None or patch.tiny:
            return fit.pasted_back()
        try:
            with self._lock:
                photo, picture, region = (self._device.upload(a) for a in (
                    fit.person.photo, fit.image, fit.changed()))
                self._steps.put_back(photo, picture, patch, region)
                return np.asarray(self._device.download(photo), np.uint8)
        except NoRoom:  # a large photo; nothing here needs the GPU
            return fit.pasted_back()

    @property
    def recorded(self) -> bool:
        """Whether the fit is a CUDA graph; known once one has run."""
        return self._recorded is not None

    def close(self) -> None:
        """Free the graph and the arrays, once a fit under way is done."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._recorded is not None:
            self._recorded.close()
        self._recorded = self._places = None
        for there in (self._people, self._garments, self._noises):
            there.clear()
        self._steps = Steps(self._device)  # its tables lay in the graph's memory

    def _filled(self, pairs: Sequence[tuple[Person, Garment]], seed: int) -> Places:
        """The places that a fit reads, with these pairs in them."""
        if self._places is None:
            self._free = self._device.free_memory()
            self._places = Places(self._device, self._size, self.batch)
        for i, (person, garment) in enumerate(pairs):
            self._places.put(i, self._people.get(person, lambda p: (
                p.skeleton, p.agnostic, p.groups_agnostic)))
            self._places.put(i, self._garments.get(garment, lambda g: (g.image, g.mask)))
            self._places.put(i, self._noises.of(seed, lambda s: (seg_noise(s),)))
        return self._places

    def _queue(self, places: Places) -> None:
        """Queue a fit: the recorded one, or step by step where it could not be recorded."""
        if self._recorded is None and not places.tried:
            places.tried = True
            self._record(places)
        if self._recorded is not None:
            self._recorded.launch()
        else:
            self._fit(places)

    def _record(self, places: Places) -> None:
        """Make a fit one CUDA graph, where its networks allow that."""
        if not all(getattr(self._nets[name].open(), "recordable", False) for name in FIT_NETS):
            log.info("fits are queued step by step, since ONNX Runtime cannot be part of a CUDA "
                     "graph; TensorRT's engines can: fuw-export --backend trt")
            return
        try:
            self._recorded, _ = self._device.record(lambda: self._fit(places))
        except NoRoom:
            raise
        except BackendError as error:
            log.warning("this fit is no CUDA graph and is queued step by step, which takes longer: "
                        "%s", error)

    def _fit(self, places: Places) -> None:
        """From the places to the answer; only queued."""
        self._device.fill(places.answer.flags, 0)
        nets = Looking(self._nets, self._steps, FIT_NETS, places.answer.flags)
        image, parts = pipeline.fit(nets, self._steps, places.worn, places.cloth, places.mask,
                                    Clock(), places.noise)
        for piece, place in zip((image, *vars(parts).values()), places.answer.pieces, strict=True):
            self._device.copy(piece, place)

    def _smaller(self, error: NoRoom) -> str:
        """One sentence with a batch that fits by what is known of the memory."""
        if self.batch == 1:
            return str(error)
        free, one, engines = self._free, bytes_of(self._size), 0
        for name in FIT_NETS:
            session = self._nets[name].opened
            engines += int(getattr(session, "memory", 0)) // self.batch
        each = one + engines if engines else UNKNOWN * one
        fits = max(1, min(self.batch - 1, free // each))
        return (f"{self._device.name}: a batch of {self.batch} does not fit ({free // MIB} MiB are "
                f"free, {self.batch * each // MIB} MiB would be needed); a batch of {fits}, about "
                f"{fits * each // MIB} MiB, would: --batch {fits}, of fuw-export and of fuw-run")


def bytes_of(size: tuple[int, int]) -> int:
    """Device memory of one pair's arrays in a fit: 33 planes of f32 and 28 of bytes at the
    picture's size, and what the small networks read and write."""
    height, width = size
    return height * width * (33 * 4 + 28) + 256 * 192 * 4 * (21 + 13 + 10 + 1)


class Answer:
    """Everything that a fit gives, one piece behind the other in one block."""

    def __init__(self, device: Device, size: tuple[int, int], batch: int) -> None:
        lead = () if batch == 1 else (batch,)
        u8, picture, plane = np.uint8, (*lead, *size, 3), (*lead, *size)
        # I^, and Parts in the order of its fields
        kinds: list[tuple[tuple[int, ...], Any]] = [
            (picture, u8), (plane, u8), (plane, u8), ((batch, 50), np.float32), (picture, u8),
            (plane, u8), (plane, u8), ((len(FIT_NETS),), np.int32)]
        self._parcel = Parcel(device, kinds)
        self.block, places = self._parcel.block, self._parcel.places
        self.pieces, self.flags, self._batch = places[:-1], places[-1], batch

    def split(self, data: Any, count: int) -> list[tuple[U8, Parts]] | None:
        """The downloaded block as the first `count` fits; None where a flag is set."""
        host = self._parcel.open(data)
        if host.pop().any():
            return None
        rows: list[tuple[U8, Parts]] = []
        for i in range(count):
            one: list[Any] = [piece[i : i + 1] if piece.dtype == np.float32
                              else piece if self._batch == 1 else piece[i] for piece in host]
            rows.append((one[0], PartsOf(*one[1:])))
        return rows


class Places:
    """Where a fit reads its inputs and writes its answer: fixed, since a CUDA graph holds them."""

    def __init__(self, device: Device, size: tuple[int, int], batch: int) -> None:
        def u8(*rest: int) -> DeviceArray:
            return device.empty((*(() if batch == 1 else (batch,)), *size, *rest), np.uint8)

        self._device, self._batch = device, batch
        self.worn, self.cloth, self.mask = Worn(u8(3), u8(3), u8()), u8(3), u8()
        self.noise = device.empty((batch, 1, 256, 192), np.float32)
        self.answer = Answer(device, size, batch)
        self._groups = ((self.worn.skeleton, self.worn.agnostic, self.worn.groups_agnostic),
                        (self.cloth, self.mask), (self.noise,))
        self._inside: dict[tuple[int, int], tuple[DeviceArray, ...]] = {}
        self.tried = False  # to record the fit

    def put(self, i: int, arrays: tuple[DeviceArray, ...]) -> None:
        """Copy one person's, garment's or noise's arrays to place `i`, unless they are there."""
        group = next(k for k, places in enumerate(self._groups) if len(places) == len(arrays))
        if self._inside.get((group, i)) is arrays:
            return
        for array, place in zip(arrays, self._groups[group], strict=True):
            self._device.copy(array, place.part(i * array.nbytes, *array.shape))
        self._inside[group, i] = arrays
