"""`Fitter`: owns the networks and turns photos into `Person`, `Garment` and `Fit`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from fuw.engine import host_fit, judgement, pipeline, preparing
from fuw.engine.arrays import U8
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.choose import Choice, choose
from fuw.engine.clock import Clock
from fuw.engine.device_fit import FIT_NETS, DeviceFit
from fuw.engine.device_prepare import DevicePrepare
from fuw.engine.errors import CheckpointError, FuwError, InputError
from fuw.engine.finite import Watched
from fuw.engine.folders import cache_folder
from fuw.engine.framing import garment_frame, on_ground, whole_frame
from fuw.engine.images import INSIDE, Photo, Source, load_image
from fuw.engine.nets import Networks
from fuw.engine.ops import Ops, cpu_ops
from fuw.engine.preparing import Wanted
from fuw.engine.records import Fit, Garment, Given, Parts, Person
from fuw.engine.weights import find_models
from fuw.kernels.device import Device
from fuw.kernels.launch import CudaDevice

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
        batch: pairs that are dressed at once where `fit` gets several, by networks exported with
            that `--batch`; without such files they are dressed one by one.
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
    batch: int = 1


class Fitter:
    """Dresses people in garments. Safe to share between threads.

    Example:
        with Fitter.open() as fitter:
            person = fitter.person("person.jpg")
            fit = fitter.fit(person, fitter.garment("cloth.jpg"))
        fit.save("out.jpg")
    """

    def __init__(self, nets: Networks, ops: Ops, options: Options, summary: str,
                 on_stage: Callable[[str, float], None] | None = None,
                 many: Networks | None = None, gpu: Device | None = None) -> None:
        """
        Args:
            many: seg, gmm and alias for `options.batch` pairs at a time.
            gpu: the device that the networks are open on; the Fitter closes it.
        """
        self.nets, self.ops, self.options, self.summary = nets, ops, options, summary
        self._on_stage, self._many, self.gpu = on_stage, many, gpu
        self._prepare = None if gpu is None else DevicePrepare(nets, gpu)
        self._single = None if gpu is None else DeviceFit(nets, gpu, options.size)
        self._batch = None if gpu is None or many is None else DeviceFit(
            many, gpu, options.size, options.batch)

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
        several = _batched(chosen, choice)
        gpu = None if choice.device == "cpu" else CudaDevice(choice.device)
        how = OpenOptions(chosen.threads, choice.device, cache / choice.name, gpu)
        nets = Networks(models, choice.backend(), how, mask_net, chosen.weights,
                        _in_fp32(chosen, choice, models))
        many = several and Networks(several, choice.backend(), how, mask_net, chosen.weights)
        summary = f"{choice.name} {choice.precision} on {choice.device}"
        return cls(nets, cpu_ops(), chosen, summary, on_stage, many or None, gpu)

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
        photo = _photo(source, "person photo", clock)
        wanted = Wanted(photo, given or Given(), framed, self.options.size)
        made = self._prepare and self._prepare.person(wanted, clock)
        # No GPU; or a network overflowed there, and is watched step by step.
        maps, cut, *there = made or preparing.prepare_person(nets, self.ops, wanted, clock)
        warnings = judgement.judge_photo(photo.warnings) + judgement.judge_person(
            maps.body, maps.parse, maps.iuv, cut.people, cut.frame.scale)
        person = Person(**vars(maps), photo=photo.pixels, frame=cut.frame,
                        warnings=(*warnings, *nets.warnings), timings=dict(clock.ms))
        for resident in filter(None, (self._single, self._batch) if there else ()):
            resident.keep(person, there[0])
        return person

    def garment(self, source: Source, mask: U8 | None = None, *, framed: bool = False) -> Garment:
        """Prepare a garment photo.

        Args:
            source: path, file bytes, array or Photo.
            mask: u8 (h, w) of the photo, 128 and more inside, in place of the mask network.
            framed: the photo is cut like a VITON-HD picture already; keep it as it is.
        """
        clock, nets = Clock(self._on_stage), Watched(self.nets)
        photo = _photo(source, "garment photo", clock)
        soft = photo.cutout if mask is None else mask  # a cut-out brings its own mask
        if soft is None and self._prepare:
            soft = self._prepare.garment(photo, clock)
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

    @overload
    def fit(self, person: Person, garment: Garment, seed: int = 0) -> Fit: ...
    @overload
    def fit(self, person: Person, garment: Sequence[Garment], seed: int = 0) -> list[Fit]: ...
    @overload
    def fit(self, person: Sequence[Person], garment: Garment | Sequence[Garment],
            seed: int = 0) -> list[Fit]: ...
    def fit(self, person: Person | Sequence[Person], garment: Garment | Sequence[Garment],
            seed: int = 0) -> Fit | list[Fit]:
        """Dress the person in the garment; same seed, inputs, machine and backend: same bytes.

        Args:
            person, garment: or lists of them: one person in many garments, one garment on many
                people, or pair by pair. Every fit of a list is as it would be alone.

        Raises:
            InputError: prepared for another size of picture, or lists of unequal length.
            NoRoom: the memory does not suffice; the sentence names a smaller batch.
        """
        if isinstance(person, Person) and isinstance(garment, Garment):
            return self._fit([(person, garment)], seed)[0]
        pairs = paired([person] if isinstance(person, Person) else person,
                       [garment] if isinstance(garment, Garment) else garment)
        return list(self.fit_many(pairs, seed))

    def fit_many(self, pairs: Iterable[tuple[Person, Garment]], seed: int = 0) -> Iterator[Fit]:
        """Dress pair after pair, `options.batch` at a time; a person or garment that recurs was
        prepared once."""
        rest = iter(pairs)
        while some := list(islice(rest, self.batch)):
            yield from self._fit(some, seed)

    def _fit(self, pairs: Sequence[tuple[Person, Garment]], seed: int) -> list[Fit]:
        """Dress as many pairs as fit into one batch."""
        for person, garment in pairs:
            self._check_size("person", person.image)
            self._check_size("garment", garment.image)
        clock = Clock(self._on_stage)
        many = self._many if len(pairs) > 1 else None
        nets = Watched(self.nets)
        made: list[tuple[U8, Parts]] | None = None
        if resident := self._batch if many else self._single:
            made = resident.dress(pairs, seed, clock)
        elif many:
            nets = Watched(many)
            made = host_fit.dress_batch(nets, self.ops, pairs, seed, clock, self.batch)
        if made is None:  # no GPU; or a network overflowed there, and is watched step by step
            made = [host_fit.dress(nets, self.ops, pair, seed, clock) for pair in pairs]
        spent = {stage: ms / len(pairs) for stage, ms in clock.ms.items()}
        return [Fit(image, parts, person, garment, spent,
                    person.warnings + garment.warnings + nets.warnings, self.nets.origins())
                for (image, parts), (person, garment) in zip(made, pairs, strict=True)]

    def _check_size(self, what: str, picture: U8) -> None:
        height, width = self.options.size
        if picture.shape[:2] != (height, width):
            raise InputError(
                f"the {what} was prepared for pictures of {picture.shape[0]}x{picture.shape[1]}, "
                f"this Fitter makes {height}x{width}; prepare it with this Fitter"
            )

    def paste_back(self, fit: Fit) -> U8:
        """The original photo with what changed put in, as `Fit.pasted_back`; on the GPU if there is
        one."""
        return self._single.paste_back(fit) if self._single else fit.pasted_back()

    @property
    def batch(self) -> int:
        """How many pairs are dressed at once where there are several."""
        return self.options.batch if self._many else 1

    @property
    def recorded(self) -> bool:
        """Whether fits run as one CUDA graph; known once one has run."""
        return self._single is not None and self._single.recorded

    def close(self) -> None:
        """Wait for what is under way and close the networks. A Fitter on a CPU opens them again if
        it is used again; one on a GPU stays closed."""
        for resident in (self._single, self._batch):
            if resident is not None:
                resident.close()
        for nets in (self.nets, self._many):
            if nets is not None:
                nets.close()
        if self.gpu is not None:
            self.gpu.close()

    def __enter__(self) -> Fitter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _photo(source: Source, name: str, clock: Clock) -> Photo:
    """The photo, read in the stage "read" unless it was read before."""
    if isinstance(source, Photo):
        return source
    with clock("read"):
        return load_image(source, name)


def _models(options: Options, choice: Choice) -> dict[str, Model]:
    """The files that `choice` runs. A GPU computes in what the file says: where the precision was
    left open, a network without a file in the chosen one takes its fp32 file, and a warning says
    so."""
    found = _stored(options, choice.stored)
    if choice.device == "cpu" and not find_models(options.weights, choice.stored, options.size):
        raise CheckpointError(f"weights {options.weights} hold no {choice.stored} files, which is "
                              "what a CPU runs (it lowers them itself); write them: fuw-export "
                              f"--weights {options.weights} --{choice.stored}")
    if choice.device == "cpu":
        return {name: _lowered(model, choice) for name, model in found.items()}
    if options.precision == "auto" and choice.stored != "fp32":
        plain = _stored(options, "fp32")
        if missing := sorted(set(plain) - set(found)):
            log.warning("no %s files of %s, which run in fp32; write them: fuw-export --weights %s "
                        "--%s", choice.stored, ", ".join(missing), options.weights,
                        choice.stored)  # fmt: skip
        found = {**plain, **found}
    return {name: _lowered(model, choice) for name, model in found.items()}


def paired(people: Sequence[Person], garments: Sequence[Garment],
           ) -> list[tuple[Person, Garment]]:
    """One with many, many with one, or one by one; raises InputError for unequal lengths."""
    count = len(garments) if len(people) == 1 else len(people)
    if len(people) not in (1, count) or len(garments) not in (1, count):
        raise InputError(f"{len(people)} people and {len(garments)} garments make no pairs; give "
                         "one person, one garment, or as many of the one as of the other")
    return [(people[i % len(people)], garments[i % len(garments)]) for i in range(count)]


def _batched(options: Options, choice: Choice) -> dict[str, Model]:
    """The networks of a fit for `options.batch` pairs at a time; none where that is 1 or files are
    missing, which a warning says."""
    if options.batch < 1:
        raise InputError(f"a batch of {options.batch} holds nothing; give 1 or more")
    if options.batch == 1:
        return {}
    try:
        found = _stored(options, choice.stored, options.batch)
    except CheckpointError:
        found = {}
    if missing := [name for name in FIT_NETS if name not in found]:
        log.warning("no %s files of %s for a batch of %d, so pairs are dressed one by one; %s",
                    choice.stored, ", ".join(missing), options.batch, "the starter weights come "
                    "for one pair at a time" if options.weights == "starter" else "write them: "
                    f"fuw-export --weights {options.weights} --batch {options.batch}")
        return {}
    return {name: _lowered(found[name], choice) for name in FIT_NETS}


def _lowered(model: Model, choice: Choice) -> Model:
    """The model in the precision that a CPU computes in; a GPU takes what the file says, and of a
    sparse graph its dense twin, since shapes that follow the data make no CUDA graph."""
    if choice.device != "cpu":
        return model.dense or model
    return replace(model, precision="fp32" if model.spec.cpu_fp32 else choice.precision)


def _in_fp32(options: Options, choice: Choice, models: dict[str, Model]) -> dict[str, Model]:
    """The same networks in fp32, where there are files: what a network that overflowed runs in."""
    if choice.stored == "fp32":
        return {name: replace(model, precision="fp32") for name, model in models.items()}
    try:
        return _stored(options, "fp32")
    except CheckpointError:  # none for this size: `Networks.plain` says so if it comes to that
        return {}


def _stored(options: Options, precision: str, batch: int = 1) -> dict[str, Model]:
    models = find_models(options.weights, precision, options.size, batch)
    if options.fill:
        models = {**find_models(options.fill, precision, options.size, batch), **models}
    return models


def _mask_net(wish: str, models: dict[str, Model]) -> str:
    if wish == "auto":
        return next((name for name in MASK_NETS if name in models), MASK_NETS[0])
    if wish not in MASK_NETS:
        raise FuwError(f"there is no mask network {wish!r}; there are {', '.join(MASK_NETS)}")
    return wish
