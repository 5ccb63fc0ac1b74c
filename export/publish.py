"""Files under their final names, and the manifest that says what they are.

The entry is taken out of the manifest before the file is replaced and put back after, so that at
no moment an entry describes another file than the one that lies there.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuw.engine.errors import CheckpointError
from fuw.engine.files import sha256
from fuw.engine.weights import MANIFEST, Entry, read_manifest, write_manifest
from fuw.export.scratch import scratch_file
from fuw.export.to_onnx import FORMAT

NEW = "new"
COMPARED = ("network", "variant", "precision", "sizes", "batch", "spec", "checkpoint")


def stale(folder: Path, wanted: Entry, form: str = "") -> str:
    """Why `wanted` must be exported: `NEW`, or what differs from the file there; "" if nothing.

    `form`: "dense", "sparse" or, to be chosen by timing, "auto"; "" where there is no choice.
    """
    there = {entry.file: entry for entry in _entries(folder)}.get(wanted.file)
    path = folder / wanted.file
    if there is None or not path.exists():
        return NEW
    for field in COMPARED:
        old, new = getattr(there, field), getattr(wanted, field)
        if old != new:
            return f"{field} was {_short(old)}, is {_short(new)}"
    if there.extra.get("format") != FORMAT:
        return f"written by another exporter (format {there.extra.get('format')}, now {FORMAT})"
    named = {there.file: there.sha256}
    if "dense" in there.extra:
        named[_dense_name(there)] = there.extra.get("dense_sha256", "")
    for file, proved in named.items():
        if not (folder / file).exists():
            return f"{file} is not there"
        if sha256(folder / file) != proved:
            return f"{file} is not the one that was proved (its hash differs)"
    was = there.extra.get("form", "dense")
    if form == "auto" and "timed" not in there.extra:
        return f"form was asked to be {was}, is to be timed"
    return f"form was {was}, is {form}" if form not in ("", "auto", was) else ""


def publish(folder: Path, entry: Entry, made: Path, extra: Mapping[str, Any],
            dense: Path | None = None) -> Entry:
    """Give the proved file `made` its final name and its entry; returns the entry.

    `dense`: a copy of this one is kept beside a sparse file and named in its entry.
    """
    beside: dict[str, Any] = {}
    if dense is not None:
        beside = {"dense": _dense_name(entry), "dense_sha256": sha256(dense)}
    whole = replace(entry, sha256=sha256(made),
                    extra={**entry.extra, **extra, **beside, "format": FORMAT})
    others = [e for e in _entries(folder) if e.file != entry.file]
    write_manifest(folder, others)
    (folder / _dense_name(entry)).unlink(missing_ok=True)
    if dense is not None:
        with scratch_file(folder, ".onnx") as copy:
            shutil.copyfile(dense, copy)
            copy.replace(folder / _dense_name(entry))
    made.replace(folder / entry.file)
    write_manifest(folder, [*others, whole])
    return whole


def plain_file(entry: Entry) -> str:
    """The file of an fp32 entry that holds the plain graph, which reduced files are made from."""
    return _dense_name(entry) if "dense" in entry.extra else entry.file


def shape(entry: Entry) -> tuple[Any, ...]:
    """What a reduced file has in common with the fp32 file that it stands for."""
    return entry.network, tuple(sorted(entry.sizes.items())), entry.batch


def _dense_name(entry: Entry) -> str:
    return entry.file.removesuffix(".onnx") + ".dense.onnx"


def _entries(folder: Path) -> list[Entry]:
    if not (folder / MANIFEST).exists():
        return []
    try:
        return read_manifest(folder)
    except CheckpointError:
        return []  # of another version, or damaged: everything is exported anew


def _short(value: object) -> str:
    text = str(dict(value)) if isinstance(value, Mapping) else str(value)
    return text[:12] if len(text) == 64 else text
