"""Find a network's checkpoint in a folder and say whether it is the official file. No torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fuw.engine.errors import CheckpointError
from fuw.engine.spec import NetSpec
from fuw.export.checkpoint_errors import where_to_get

SUFFIXES = (".pth", ".pt", ".pkl", ".caffemodel", ".safetensors")


@dataclass(frozen=True)
class Origin:
    """Where weights came from.

    Attributes:
        sha256: of the file, 64 hex digits.
        official: "official" when a known hash agrees, "other" when it does not (a re-save is
            legitimate), "unknown" where no hash of the official file is known.
    """

    path: Path
    bytes: int
    sha256: str
    official: Literal["official", "other", "unknown"]

    @property
    def words(self) -> str:
        """The same for a reader."""
        return {
            "official": "the official file (hash agrees)",
            "other": "not the official file (its hash differs)",
            "unknown": "origin unknown (no hash of the official file is known)",
        }[self.official]


def find(directory: Path, spec: NetSpec) -> Path:
    """The checkpoint of `spec` in `directory` or one folder below it.

    The official file name wins, then the names under which it circulates, then the network's own
    name with any known suffix; at equal rank the file that lies higher, then by name.

    Raises:
        CheckpointError: no such folder, or no such file in it; says which files are there.
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{spec.name}: no checkpoint folder at {directory}; make it and {where_to_get(spec)}"
        )
    names = wanted_names(spec)
    files = _files(directory)
    for name in names:
        for path in files:
            if path.name.lower() == name.lower():
                return path
    raise CheckpointError(_not_found(directory, spec, files))


def wanted_names(spec: NetSpec) -> list[str]:
    """File names that are taken for the checkpoint of `spec`, best first."""
    checkpoint = spec.checkpoint
    own = [spec.name + suffix for suffix in SUFFIXES]
    renamed = [Path(checkpoint.file).stem + ".safetensors"]
    return list(dict.fromkeys([checkpoint.file, *checkpoint.names, *renamed, *own]))


def origin(path: Path, spec: NetSpec) -> Origin:
    """Hash `path` (about a second for 400 MB) and compare with what is known of the official."""
    checkpoint = spec.checkpoint
    known = {"sha256": checkpoint.sha256, "sha512": checkpoint.sha512, "md5": checkpoint.md5}
    digests = digest(path, ("sha256", *(name for name, value in known.items() if value)))
    compared = [digests[name] == value.lower() for name, value in known.items() if value]
    official: Literal["official", "other", "unknown"] = "unknown"
    if compared:
        official = "official" if all(compared) else "other"
    return Origin(path, path.stat().st_size, digests["sha256"], official)


def digest(path: Path, algorithms: tuple[str, ...]) -> dict[str, str]:
    """Hex digests of a file by algorithm name, in one pass over it."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in dict.fromkeys(algorithms)}
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            for each in hashes.values():
                each.update(chunk)
    return {name: each.hexdigest() for name, each in hashes.items()}


def _files(directory: Path) -> list[Path]:
    top = sorted(directory.iterdir())
    below = [path for folder in top if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in [*top, *below] if path.is_file()]


def _not_found(directory: Path, spec: NetSpec, files: list[Path]) -> str:
    message = f"{spec.name}: no {spec.checkpoint.file} in {directory}"
    parts = [p.name for p in files if p.suffix == ".part" and p.stem in wanted_names(spec)]
    if parts:
        message += f" (only {parts[0]}, an unfinished download: run the same download again)"
    else:
        there = [p.name for p in files if p.suffix in SUFFIXES]
        listed = ", ".join(there[:6]) + (", ..." if len(there) > 6 else "")
        message += f" (checkpoint files there: {listed or 'none'})"
    return f"{message}; {where_to_get(spec)}"
