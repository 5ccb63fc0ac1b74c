"""What `fuw-prepare` does: photos of people and garments -> a VITON-HD test folder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuw.engine.dataset import SIZE, VitonFolder, file_name, write_pairs
from fuw.engine.errors import FuwError, InputError
from fuw.engine.fitter import Fitter
from fuw.engine.run import Done, Log

logger = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif")
Kind = tuple[Callable[[str], bool], Callable[[str, Any], None], Callable[..., Any]]
"""Of people or garments: whether one is there, how it is written, how it is prepared."""
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


def prepare(job: PrepareJob, options: dict[str, Any], log: Log) -> Done:
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
    folder, done = VitonFolder.create(job.out), Done()
    with Fitter.open(**options) as fitter:
        log(fitter.summary)
        work: list[tuple[str, Path, Kind]] = []
        for photos, kind in ((people, (folder.has_person, folder.write_person, fitter.person)),
                             (garments, (folder.has_garment, folder.write_garment,
                                         fitter.garment))):
            work += [(name, photo, kind) for name, photo in photos.items()]
        for number, (name, photo, (has, write, prepared)) in enumerate(work, 1):
            if has(name):
                done.kept += 1
                continue
            try:
                write(name, prepared(photo, framed=job.framed))
            except FuwError as error:
                done.failed.append(str(photo))
                logger.warning("%s failed: %s", photo, error)
            else:
                done.written += 1
                log(f"[{number}/{len(work)}] {name}")
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
