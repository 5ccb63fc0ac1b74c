"""What `fuw-run` does: one pair to a picture, or a VITON-HD folder pair by pair."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from fuw.engine import dataset, keypoints, parts
from fuw.engine.ahead import opened_ahead
from fuw.engine.clock import Clock
from fuw.engine.errors import InputError
from fuw.engine.files import sweep, write_json
from fuw.engine.fitter import Fitter
from fuw.engine.images import Photo, check_output, load_image, load_mask, load_parse, save_image
from fuw.engine.records import Fit, Garment, Given, Person

logger = logging.getLogger(__name__)

T = TypeVar("T")
Log = Callable[[str], None]
"""Takes lines of progress. Warnings go to `logging`, so that they outlive a wish for quiet."""

STARTER_NOTE = ("weights: starter (trained on rendered CC0 figures, free for any use); for the "
                "official ones see fuw-export --help")


@dataclass(frozen=True)
class Job:
    """One `fuw-run PERSON CLOTH`; fields are its options."""

    person: Path
    cloth: Path
    out: Path | None = None
    parts: Path | None = None
    sheet: Path | None = None
    report: Path | None = None
    paste_back: bool = False
    pose: Path | None = None
    parse: Path | None = None
    parse_labels: str = "viton"
    mask: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class PairsJob:
    """`fuw-run --pairs`: pairs file, data folder, folder of the results."""

    pairs: Path
    data: Path
    out: Path
    seed: int = 0


@dataclass
class Done:
    """How a run over many pictures ended."""

    written: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def run_one(job: Job, options: dict[str, Any], on_stage: Callable[[str, float], None] | None,
            log: Log) -> Path:
    """Dress one person; returns the picture's path. Nothing is written where a step fails."""
    out = check_output(job.out or Path(f"{job.person.stem}_{job.cloth.stem}.jpg"))
    if job.sheet:
        check_output(job.sheet)
    with (Fitter.open(on_stage=on_stage, **options) as fitter,
          opened_ahead(fitter.nets, _needed(fitter, job))):
        log(fitter.summary)
        if options["weights"] == "starter":
            log(STARTER_NOTE)
        # Everything is read before anything is computed: a wrong file is told at once.
        photo, reading_person = _read(job.person, "person photo", on_stage)
        given = _given(job, photo.pixels.shape[:2])
        cloth, reading_cloth = _read(job.cloth, "garment photo", on_stage)
        mask = load_mask(job.mask, cloth.pixels.shape[:2]) if job.mask else None
        person = fitter.person(photo, given)
        garment = fitter.garment(cloth, mask)
        fit = fitter.fit(person, garment, job.seed)
        picture = fitter.paste_back(fit) if job.paste_back else fit.image
    fit = replace(fit, person=replace(person, timings={**person.timings, **reading_person}),
                  garment=replace(garment, timings={**garment.timings, **reading_cloth}))
    for warning in fit.warnings:
        logger.warning("%s", warning.sentence)
    if job.parts:
        parts.write_parts(job.parts, fit)
    if job.sheet:
        save_image(job.sheet, parts.contact_sheet(fit))
    save_image(out, picture)
    if job.report:
        write_json(job.report, report(fit, fitter.summary, job))
    return out


def _needed(fitter: Fitter, job: Job) -> list[str]:
    """Networks that this job will use, in the order of use; none on a GPU, whose networks are
    opened by the thread that runs them."""
    if any(net.options.device != "cpu" for net in fitter.nets.values()):
        return []
    person = {"openpose_body": not job.pose, "densepose": True, "schp": not job.parse,
              "openpose_hand": True, fitter.nets.mask_net: not job.mask}
    return [*(name for name, used in person.items() if used), "seg", "gmm", "alias"]


def _read(path: Path, what: str, on_stage: Callable[[str, float], None] | None,
          ) -> tuple[Photo, dict[str, float]]:
    """A photo, and the milliseconds of its stage "read"."""
    clock = Clock(on_stage)
    with clock("read"):
        photo = load_image(path, what)
    return photo, clock.ms


def _given(job: Job, size: tuple[int, ...]) -> Given:
    body = hands = None
    if job.pose:
        body, hands = keypoints.read_openpose_json(job.pose)
    parse = load_parse(job.parse, (size[0], size[1])) if job.parse else None
    return Given(body=body, hands=hands, parse=parse, labels=job.parse_labels)


def report(fit: Fit, summary: str, job: Job) -> dict[str, Any]:
    """What `--json` writes: milliseconds by stage, warnings with their measures, origins."""
    return {
        "backend": summary,
        "person": str(job.person), "cloth": str(job.cloth), "seed": job.seed,
        "paste_back": job.paste_back,
        "ms": {"person": dict(fit.person.timings), "garment": dict(fit.garment.timings),
               "fit": dict(fit.timings)},
        "warnings": [vars(w) for w in fit.warnings],
        "weights": dict(fit.origins),
    }


def run_pairs(job: PairsJob, options: dict[str, Any], log: Log) -> Done:
    """Dress every pair of a VITON-HD folder, using its preprocessing files where present; with
    `batch` among the options so many at once.

    A picture that is there already is kept (a killed run resumes); a pair whose files cannot be
    used is logged and the rest is done. People and garments that recur soon are prepared once.

    Raises:
        InputError: no such folder or pairs file, or two pairs of it share a result's name.
        CheckpointError, BackendError, OutputError: what would fail for every pair alike.
    """
    folder = dataset.VitonFolder(job.data)
    pairs = _distinct(dataset.read_pairs(job.pairs), job.pairs)
    sweep(job.out)
    done = Done()
    with Fitter.open(**options) as fitter:
        log(fitter.summary)
        prepared = _prepared(fitter, folder, job, pairs, done)
        while some := list(islice(prepared, fitter.batch)):
            fits = fitter.fit([one.person for one in some], [one.garment for one in some],
                              job.seed)
            for one, fit in zip(some, fits, strict=True):
                save_image(one.out, fit.image)
                done.written += 1
                log(f"[{one.number}/{len(pairs)}] {one.out}  {sum(fit.timings.values()):.0f} ms")
    return done


class _Ready(NamedTuple):
    """A pair that waits to be dressed."""

    number: int
    out: Path
    person: Person
    garment: Garment


def _prepared(fitter: Fitter, folder: dataset.VitonFolder, job: PairsJob,
              pairs: list[tuple[str, str]], done: Done) -> Iterator[_Ready]:
    """The pairs whose picture is missing, prepared one after the other; `done` notes the rest."""
    people = _Recent(lambda name: fitter.person(folder.image(name), folder.given(name),
                                                framed=True), fitter.batch)
    garments = _Recent(lambda name: fitter.garment(folder.cloth(name), folder.cloth_mask(name),
                                                   framed=True), fitter.batch)
    for number, (person, cloth) in enumerate(pairs, 1):
        out = job.out / dataset.result_name(person, cloth)
        if out.exists():
            done.kept += 1
            continue
        try:
            yield _Ready(number, out, people[person], garments[cloth])
        except InputError as error:
            done.failed.append(f"{person} {cloth}")
            logger.warning("%s %s failed: %s", person, cloth, error)


class _Recent(Generic[T]):
    """What `prepare` made of the names that were asked for last."""

    def __init__(self, prepare: Callable[[str], T], most: int) -> None:
        self._prepare, self._most = prepare, most
        self._made: OrderedDict[str, T] = OrderedDict()

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._prepare(name)
            if len(self._made) > self._most:
                self._made.popitem(last=False)
        self._made.move_to_end(name)
        return self._made[name]


def _distinct(pairs: list[tuple[str, str]], path: Path) -> list[tuple[str, str]]:
    """The pairs; InputError where one's result would pass for another's, which would be lost."""
    owners: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        name = dataset.result_name(*pair)
        owner = owners.setdefault(name, pair)
        if owner != pair:
            raise InputError(f"{path}: '{' '.join(owner)}' and '{' '.join(pair)}' would both be "
                             f"written to {name}; rename one of these files")
    return pairs
