"""Fetch official checkpoints: only when asked, only under an accepted licence, only what is known.

Every address of a network is tried in turn. What arrives is given its name after its hash agrees;
where no hash is known it must at least be weights, and it is called unverified.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fuw.engine.errors import DownloadError
from fuw.engine.spec import Checkpoint, NetSpec
from fuw.export import sniff
from fuw.export.checkpoint_errors import Unreadable
from fuw.export.checkpoint_files import digest, origin
from fuw.export.drive import fetch_drive, is_drive
from fuw.export.fetch import DeadAddress, Patience, fetch, part_of, secure

Status = Literal["downloaded", "there", "kept", "refused", "failed"]
Ask = Callable[[str, Sequence[NetSpec]], bool]
"""Called once per licence with its text and its networks; True accepts it."""
Progress = Callable[[str, int, int | None], None]
"""Called with (network, bytes so far, bytes in all or None)."""


@dataclass(frozen=True)
class Row:
    """What became of one network's checkpoint; `detail` is a sentence."""

    network: str
    path: Path
    status: Status
    detail: str


@dataclass(frozen=True)
class Report:
    """Rows of all networks, in the order asked for."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether every file that was wanted and allowed is there."""
        return all(row.status in ("downloaded", "there", "kept") for row in self.rows)

    def render(self) -> str:
        """A line per network, failures last and in full."""
        rows = sorted(self.rows, key=lambda row: row.status == "failed")
        width = max((len(row.network) for row in rows), default=0)
        return "\n".join(f"{row.network:<{width}}  {row.status:<10}  {row.detail}" for row in rows)

    def to_json(self) -> list[dict[str, Any]]:
        """The same for a program."""
        return [{**asdict(row), "path": str(row.path)} for row in self.rows]


def download(
    specs: Sequence[NetSpec],
    folder: Path,
    ask: Ask,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Report:
    """Fetch the checkpoints of `specs` into `folder`; nothing is overwritten.

    Args:
        ask: shows a licence and says whether it is accepted (`--accept-licences`: always).
        progress: for a bar per network.
    """
    missing = [spec for spec in specs if not _there(spec, folder)]
    refused = _refused_licences(missing, ask)
    rows = []
    for spec in specs:
        path = folder / spec.checkpoint.file
        if spec not in missing:
            rows.append(_there_row(spec, path))
        elif spec.checkpoint.licence in refused:
            rows.append(Row(spec.name, path, "refused", f"licence not accepted: "
                            f"{spec.checkpoint.licence}"))  # fmt: skip
        else:
            rows.append(_one(spec, path, progress, patience or Patience()))
    return Report(tuple(rows))


def licence_text(licence: str, specs: Sequence[NetSpec]) -> str:
    """What the user is shown before anything is fetched under `licence`."""
    lines = [f"Licence: {licence}"]
    for spec in specs:
        size = f", {spec.checkpoint.bytes / 1e6:.0f} MB" if spec.checkpoint.bytes else ""
        lines.append(f"  {spec.name}: {spec.checkpoint.file}{size}, from {spec.checkpoint.home}")
    return "\n".join(lines)


def _refused_licences(specs: Sequence[NetSpec], ask: Ask) -> set[str]:
    groups: dict[str, list[NetSpec]] = {}
    for spec in specs:
        groups.setdefault(spec.checkpoint.licence, []).append(spec)
    return {licence for licence, group in groups.items() if not ask(licence, group)}


def _there(spec: NetSpec, folder: Path) -> bool:
    return (folder / spec.checkpoint.file).is_file()


def _there_row(spec: NetSpec, path: Path) -> Row:
    source = origin(path, spec)
    if source.official == "other":
        return Row(spec.name, path, "kept", f"{path} is {source.words}; move it away to fetch the "
                   "official one")  # fmt: skip
    return Row(spec.name, path, "there", f"{path}: {source.words}")


def _one(spec: NetSpec, path: Path, progress: Progress | None, patience: Patience) -> Row:
    """Try every address; a wrong file is thrown away, an unfinished one kept."""

    def told(done: int, total: int | None) -> None:
        if progress:
            progress(spec.name, done, total or spec.checkpoint.bytes)

    reasons = []
    for source in spec.checkpoint.sources:
        try:
            part = _complete(spec.checkpoint, source, path, told, patience)
            os.replace(part, path)
            return Row(spec.name, path, "downloaded", f"{path}: {origin(path, spec).words}")
        except DeadAddress as error:
            reasons.append(f"{source}: {error}")
        except DownloadError as error:  # no address would help
            return Row(spec.name, path, "failed", str(error))
        except OSError as error:
            return Row(spec.name, path, "failed", f"{path} cannot be written ({error.strerror})")
    tried = "; ".join(reasons) or "no address is known"
    home = spec.checkpoint.home
    return Row(spec.name, path, "failed", f"no address gave {path.name} ({tried}); look at {home}, "
               f"put the file into {path.parent} and run again")  # fmt: skip


def _complete(
    checkpoint: Checkpoint,
    source: str,
    path: Path,
    progress: Callable[[int, int | None], None],
    patience: Patience,
) -> Path:
    """The part with all bytes of `path` in it, checked."""
    if is_drive(source):
        part_of(path).unlink(missing_ok=True)
        return _checked(checkpoint, fetch_drive(source, path, progress))
    known = bool(_hashes(checkpoint))
    if not secure(source, known):
        raise DeadAddress("neither encrypted nor checked by a known hash: not used")
    # without a hash nobody would notice two files in one
    resume = part_of(path).exists() and known
    try:
        return _checked(checkpoint, fetch(source, path, progress, patience, resume))
    except DeadAddress:
        if not resume or part_of(path).exists():
            raise
    # the part was of another file: once more, from its beginning
    return _checked(checkpoint, fetch(source, path, progress, patience, resume=False))


def _checked(checkpoint: Checkpoint, part: Path) -> Path:
    """`part` if it is the file that is wanted; otherwise it is removed and DeadAddress raised."""
    known = _hashes(checkpoint)
    try:
        sniff.kind(part)
        found = digest(part, tuple(known))
    except Unreadable as error:
        part.unlink()
        raise DeadAddress(f"what came {error.reason}") from error
    for name, wanted in known.items():
        if found[name] != wanted:
            size = part.stat().st_size
            part.unlink()
            raise DeadAddress(f"another file came: {size:,} bytes, {name} {found[name][:16]}... "
                              f"where {wanted[:16]}... is the official one")  # fmt: skip
    return part


def _hashes(checkpoint: Checkpoint) -> dict[str, str]:
    """Known hashes by algorithm, lower case."""
    values = {"sha256": checkpoint.sha256, "sha512": checkpoint.sha512, "md5": checkpoint.md5}
    return {name: value.lower() for name, value in values.items() if value}
