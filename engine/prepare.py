"""What `fuw-prepare` does: photos of people and garments -> a VITON-HD test folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuw.engine.dataset import SIZE, VitonFolder, file_name, write_pairs
from fuw.engine.errors import FuwError, InputError
from fuw.engine.fitter import Fitter

logger = logging.getLogger(__name__)

Log = Callable[[str], None]
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif")
FOLDERS = {"person": ("people", "image"), "garment": ("garments", "cloth")}


@dataclass(frozen=True)
class PrepareJob:
    """`fuw-prepare SOURCE -o OUT`.

    Attributes:
        source: folder with people/ (or image/) and garments/ (or cloth/).
        out: the VITON-HD folder to write; what is complete there is kept.
        framed: the photos are cut like VITON-HD pictures already.
    """

    source: Path
    out: Path
    framed: bool = False


@dataclass
class Prepared:
    """How a preparation ended."""

    written: int = 0
    kept: int = 0
    failed: list[str] = field(default_factory=list)


def prepare(job: PrepareJob, options: dict[str, Any], log: Log) -> Prepared:
    """Write every person and garment of `job.source` with all preprocessing files, and a pairs
    file of each person with each garment. A killed run resumes; a photo that fails is logged.

    Raises:
        InputError: no such folders, two photos that would get the same name, or a size of picture
            other than the data set's.
        OutputError: the folders cannot be made.
    """
    size = options.get("size", SIZE)
    if size != SIZE:
        raise InputError(f"a VITON-HD folder holds pictures of {SIZE[0]}x{SIZE[1]} (height x "
                         f"width), not {size[0]}x{size[1]}; leave --size away")
    people, garments = (_photos(job.source, kind) for kind in ("person", "garment"))
    folder, done = VitonFolder.create(job.out), Prepared()
    with Fitter.open(**options) as fitter:
        log(fitter.summary)

        def one_person(name: str, photo: Path) -> bool:
            if folder.has_person(name):
                return False
            folder.write_person(name, fitter.person(photo, framed=job.framed))
            return True

        def one_garment(name: str, photo: Path) -> bool:
            if folder.has_garment(name):
                return False
            folder.write_garment(name, fitter.garment(photo, framed=job.framed))
            return True

        total = len(people) + len(garments)
        work = [(one_person, name, photo) for name, photo in people.items()]
        work += [(one_garment, name, photo) for name, photo in garments.items()]
        for number, (write, name, photo) in enumerate(work, 1):
            try:
                if write(name, photo):
                    done.written += 1
                    log(f"[{number}/{total}] {name}")
                else:
                    done.kept += 1
            except FuwError as error:
                done.failed.append(str(photo))
                logger.warning("%s failed: %s", photo, error)
    write_pairs(folder.pairs_path(), [
        (person, garment)
        for person in people if folder.has_person(person)
        for garment in garments if folder.has_garment(garment)])
    return done


def _photos(source: Path, kind: str) -> dict[str, Path]:
    """Photos of that kind by their name in the data set, sorted."""
    folder = next((source / f for f in FOLDERS[kind] if (source / f).is_dir()), None)
    if folder is None:
        raise InputError(
            f"{source}: has no folder {' or '.join(FOLDERS[kind])}; put the {kind} photos there"
        )
    photos: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = file_name(path)
        if name in photos:
            raise InputError(
                f"{path} and {photos[name]} would both become {name}; rename one of them"
            )
        photos[name] = path
    if not photos:
        raise InputError(f"{folder}: holds no photo ({', '.join(SUFFIXES)})")
    return photos
