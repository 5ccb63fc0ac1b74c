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
BESIDE = ("dense", "static")  # forms of a network that may lie beside its file
_OTHERS = {*BESIDE, *(f"{form}_sha256" for form in BESIDE), "windows"}
COMPARED = ("network", "variant", "precision", "sizes", "batch", "spec", "checkpoint")


def stale(folder: Path, wanted: Entry, form: str = "") -> str:
    """Why `wanted` must be exported: `NEW`, or what differs from what is there; "" if nothing.

    `form`: "dense", "sparse" or, to be chosen by timing, "auto"; "static" for a static form beside
    the dense one; "" where there is no choice.
    """
    entries = _entries(folder)
    there = {entry.file: entry for entry in entries}.get(wanted.file)
    if there is None:  # then what it differs in from the nearest one that is there
        others = (_differences(e, wanted) for e in entries if e.network == wanted.network)
        return min(others, key=len, default="") or NEW
    if differs := _differences(there, wanted):
        return differs
    if there.extra.get("format") != FORMAT:
        return f"written by another exporter (format {there.extra.get('format')}, now {FORMAT})"
    named = {there.file: there.sha256}
    for other in BESIDE:
        if other in there.extra:
            named[_name(there, other)] = there.extra.get(f"{other}_sha256", "")
    for file, proved in named.items():
        if not (folder / file).exists():
            return f"{file} is not there"
        if sha256(folder / file) != proved:
            return f"{file} is not the one that was proved (its hash differs)"
    was = "static" if "static" in there.extra else there.extra.get("form", "dense")
    if form == "auto" and "timed" not in there.extra:
        return f"form was asked to be {was}, is to be timed"
    return f"form was {was}, is {form}" if form not in ("", "auto", was) else ""


def publish(folder: Path, entry: Entry, made: Path, extra: Mapping[str, Any],
            beside: Mapping[str, Path] | None = None) -> Entry:
    """Give the proved file `made` its final name and its entry; returns the entry.

    `beside`: other forms of it, by name out of BESIDE; copies of these are kept and named in the
    entry. Those that an older entry names are gone.
    """
    told: dict[str, Any] = {key: value for key, value in entry.extra.items() if key not in _OTHERS}
    for form, path in (beside or {}).items():
        told |= {form: _name(entry, form), f"{form}_sha256": sha256(path)}
    whole = replace(entry, sha256=sha256(made), extra={**told, **extra, "format": FORMAT})
    others = [e for e in _entries(folder) if e.file != entry.file]
    write_manifest(folder, others)
    for form in BESIDE:
        (folder / _name(entry, form)).unlink(missing_ok=True)
    for form, path in (beside or {}).items():
        with scratch_file(folder, ".onnx") as copy:
            shutil.copyfile(path, copy)
            copy.replace(folder / _name(entry, form))
    made.replace(folder / entry.file)
    write_manifest(folder, [*others, whole])
    return whole


def plain_file(entry: Entry) -> str:
    """The file of an fp32 entry that holds the plain graph, which reduced files are made from."""
    return _name(entry, "dense") if "dense" in entry.extra else entry.file


def _differences(there: Entry, wanted: Entry) -> str:
    """Field by field, in words; "" where there is none."""
    pairs = ((field, getattr(there, field), getattr(wanted, field)) for field in COMPARED)
    return "; ".join(f"{field} was {_short(old)}, is {_short(new)}"
                     for field, old, new in pairs if old != new)


def shape(entry: Entry) -> tuple[Any, ...]:
    """What a reduced file has in common with the fp32 file that it stands for."""
    return entry.network, tuple(sorted(entry.sizes.items())), entry.batch


def _name(entry: Entry, form: str) -> str:
    return entry.file.removesuffix(".onnx") + f".{form}.onnx"


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
