"""`Fitter`: owns the networks and turns photos into `Person`, `Garment` and `Fit`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fuw.engine import judgement, pipeline
from fuw.engine.arrays import U8
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.choose import Choice, choose
from fuw.engine.clock import Clock
from fuw.engine.errors import CheckpointError, FuwError, InputError
from fuw.engine.finite import Watched
from fuw.engine.folders import cache_folder
from fuw.engine.frame import Frame
from fuw.engine.framing import garment_frame, on_ground, person_frame, whole_frame
from fuw.engine.images import INSIDE, Photo, Source, load_image
from fuw.engine.nets import Networks
from fuw.engine.ops import Ops, cpu_ops
from fuw.engine.records import Fit, Garment, Given, Person
from fuw.engine.weights import find_models

log = logging.getLogger(__name__)

MASK_NETS = ("u2net", "u2netp", "tracer_b7")  # in the order in which "auto" takes them


@dataclass(frozen=True)
class Options:
    """How a Fitter is opened; the command line's options carry the same names.

    Attributes:
        weights: "starter", or a folder written by fuw-export.
        fill: "starter" fills networks that `weights` lack; "" refuses to mix.
        device, backend, precision: "auto" takes the best that is there.
        threads: CPU threads of a network's run; 0 means all cores.
        mask_net: cloth mask network: "u2net", "u2netp", "tracer_b7", or "auto".
        size: (height, width) of the picture.
        cache: folder for compiled engines; None means the user's cache folder.
    """

    weights: str = "starter"
    fill: str = ""
    device: str = "auto"
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    mask_net: str = "auto"
    size: tuple[int, int] = (1024, 768)
    cache: Path | None = None


class Fitter:
    """Dresses people in garments. Safe to share between threads.

    Example:
        with Fitter.open() as fitter:
            person = fitter.person("person.jpg")
            fit = fitter.fit(person, fitter.garment("cloth.jpg"))
        fit.save("out.jpg")
    """

    def __init__(self, nets: Networks, ops: Ops, options: Options, summary: str,
                 on_stage: Callable[[str, float], None] | None = None) -> None:
        self.nets, self.ops, self.options, self.summary = nets, ops, options, summary
        self._on_stage = on_stage

    @classmethod
    def open(cls, *, on_stage: Callable[[str, float], None] | None = None,
             **options: Any) -> Fitter:
        """Find weights and a backend; networks open at first use.

        Args:
            on_stage: called with (stage, ms) whenever a stage is done.
            options: fields of `Options`.

        Raises:
            CheckpointError: no such weights. BackendError: no such backend, device or precision.
        """
        known = {f.name for f in fields(Options)}
        if unknown := set(options) - known:
            raise TypeError(f"Fitter.open() has no option {', '.join(sorted(unknown))}; "
                            f"there are {', '.join(sorted(known))}")
        chosen = Options(**options)
        choice = choose(chosen.device, chosen.backend, chosen.precision)
        models = _models(chosen, choice)
        mask_net = _mask_net(chosen.mask_net, models)
        cache = chosen.cache or cache_folder()
        nets = Networks(models, choice.backend(),
                        OpenOptions(chosen.threads, choice.device, cache / choice.name),
                        mask_net, chosen.weights, _in_fp32(chosen, choice, models))
        summary = f"{choice.name} {choice.precision} on {choice.device}"
        return cls(nets, cpu_ops(), chosen, summary, on_stage)

    def person(self, source: Source, given: Given | None = None, *, framed: bool = False,
               ) -> Person:
        """Prepare a person photo.

        Args:
            source: path, file bytes, array or Photo.
            given: key points, parse, ... that are known already, in pixels of the photo.
            framed: the photo is cut like a VITON-HD picture already; do not look for the frame.

        Raises:
            InputError: not a usable photo. NoPersonError: nobody found.
        """
        clock, nets = Clock(self._on_stage), Watched(self.nets)
        with clock("read"):
            photo = load_image(source, "person photo")
        frame, people_found, given = self._frame(nets, photo, given or Given(), framed, clock)
        image = frame.apply(photo.pixels)
        maps = pipeline.prepare_person(nets, self.ops, image, clock, given)
        warnings = judgement.judge_photo(photo.warnings) + judgement.judge_person(
            maps.body, maps.parse, maps.iuv, people_found, frame.scale)
        return Person(**vars(maps), photo=photo.pixels, frame=frame,
                      warnings=(*warnings, *nets.warnings), timings=dict(clock.ms))

    def garment(self, source: Source, mask: U8 | None = None, *, framed: bool = False) -> Garment:
        """Prepare a garment photo.

        Args:
            source: path, file bytes, array or Photo.
            mask: u8 (h, w) of the photo, 128 and more inside, in place of the mask network.
            framed: the photo is cut like a VITON-HD picture already; keep it as it is.
        """
        clock, nets = Clock(self._on_stage), Watched(self.nets)
        with clock("read"):
            photo = load_image(source, "garment photo")
        soft = photo.cutout if mask is None else mask  # a cut-out brings its own mask
        if soft is None:
            soft = pipeline.prepare_garment(nets, self.ops, photo.pixels, clock)
        judgement.require_garment(soft, photo.name)
        with clock("frame"):
            size = self.options.size
            frame = (whole_frame(photo.pixels, size) if framed
                     else garment_frame(photo.pixels, soft, size))
            image, soft = frame.apply(photo.pixels), frame.apply_mask(soft)
            if not framed:
                image = on_ground(image, soft)
        binary = np.where(soft >= INSIDE, np.uint8(255), np.uint8(0))
        warnings = judgement.judge_photo(photo.warnings) + judgement.judge_garment(binary)
        return Garment(image, binary, soft, (*warnings, *nets.warnings), dict(clock.ms))

    def fit(self, person: Person, garment: Garment, seed: int = 0) -> Fit:
        """Dress the person in the garment; same seed, inputs, machine and backend: same bytes."""
        height, width = self.options.size
        for what, picture in (("person", person.image), ("garment", garment.image)):
            if picture.shape[:2] != (height, width):
                raise InputError(
                    f"the {what} was prepared for pictures of {picture.shape[0]}x"
                    f"{picture.shape[1]}, this Fitter makes {height}x{width}; prepare it with this "
                    "Fitter"
                )
        clock, nets = Clock(self._on_stage), Watched(self.nets)
        image, parts = pipeline.fit(nets, self.ops, person, garment.image, garment.mask,
                                    clock, self.ops.seg_noise(seed))
        return Fit(image, parts, person, garment, dict(clock.ms),
                   person.warnings + garment.warnings + nets.warnings, self.nets.origins())

    def fit_many(self, pairs: Iterable[tuple[Person, Garment]], seed: int = 0) -> Iterator[Fit]:
        """Dress pair after pair; a person or garment that recurs was prepared once."""
        for person, garment in pairs:
            yield self.fit(person, garment, seed)

    def close(self) -> None:
        """Close the networks; the Fitter opens them again if it is used again."""
        self.nets.close()

    def __enter__(self) -> Fitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _frame(self, nets: Watched, photo: Photo, given: Given, framed: bool, clock: Clock,
               ) -> tuple[Frame, int, Given]:
        """Where to cut the photo, how many people there are, and what is known, in the cut."""
        whole = whole_frame(photo.pixels, self.options.size)
        if framed:
            return whole, 1, given.framed(whole)
        if given.body is not None:
            judgement.usable_people(given.body[None], f"{photo.name}, its given key points")
            frame = person_frame(photo.pixels, given.body, self.options.size)
            return frame, 1, given.framed(frame)
        people = pipeline.find_people(nets, self.ops, whole.apply(photo.pixels), clock)
        people = judgement.usable_people(people, photo.name)
        frame = person_frame(photo.pixels, whole.to_original(people[0]), self.options.size)
        body = people[0]
        if frame != whole:  # the person is larger now: look again, closer
            body = frame.to_frame(whole.to_original(body))
            closer = pipeline.find_people(nets, self.ops, frame.apply(photo.pixels), clock)
            if len(closer) and judgement.is_usable(closer[0]):
                body = closer[0]
        return frame, len(people), replace(given.framed(frame), body=body)


def _models(options: Options, choice: Choice) -> dict[str, Model]:
    """The files that `choice` runs. A GPU computes in what the file says: where the precision was
    left open, a network without a file in the chosen one takes its fp32 file, and a warning says
    so."""
    found = _stored(options, choice.stored)
    if choice.device == "cpu":
        return {name: replace(model, precision="fp32" if model.spec.cpu_fp32 else choice.precision)
                for name, model in found.items()}
    if options.precision == "auto" and choice.stored != "fp32":
        plain = _stored(options, "fp32")
        if missing := sorted(set(plain) - set(found)):
            log.warning("no %s files of %s, which run in fp32; write them: fuw-export --weights %s "
                        "--%s", choice.stored, ", ".join(missing), options.weights,
                        choice.stored)  # fmt: skip
        found = {**plain, **found}
    return found


def _in_fp32(options: Options, choice: Choice, models: dict[str, Model]) -> dict[str, Model]:
    """The same networks in fp32, where there are files: what a network that overflowed runs in."""
    if choice.stored == "fp32":
        return {name: replace(model, precision="fp32") for name, model in models.items()}
    try:
        return _stored(options, "fp32")
    except CheckpointError:  # none for this size: `Networks.plain` says so if it comes to that
        return {}


def _stored(options: Options, precision: str) -> dict[str, Model]:
    models = find_models(options.weights, precision, options.size)
    if options.fill:
        models = {**find_models(options.fill, precision, options.size), **models}
    return models


def _mask_net(wish: str, models: dict[str, Model]) -> str:
    if wish == "auto":
        return next((name for name in MASK_NETS if name in models), MASK_NETS[0])
    if wish not in MASK_NETS:
        raise FuwError(f"there is no mask network {wish!r}; there are {', '.join(MASK_NETS)}")
    return wish
