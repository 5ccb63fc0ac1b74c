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

from fuw.engine.errors import CheckpointError, ExportError
from fuw.engine.files import sha256
from fuw.engine.weights import MANIFEST, Entry, read_manifest, write_manifest
from fuw.export.precision import convert
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


def keep_fp32(folder: Path, plain: Path, network: str, kind: str) -> None:
    """Put fp32 arithmetic into the reduced file of a network, from its fp32 file in `plain`: the
    dense one, since reduced files are for engines."""
    source = next((e for e in _entries(plain) if (e.network, e.precision) == (network, "fp32")),
                  None)
    if source is None:
        raise ExportError(f"{network}: there is no fp32 file of it in {plain} to keep; export it "
                          f"with --fp32 --{kind}")
    file = _dense_name(source) if "dense" in source.extra else source.file
    for entry in _entries(folder):
        if (entry.network, entry.precision) != (network, kind):
            continue
        with scratch_file(folder, ".onnx") as made:
            convert(plain / file, made, kind, ["*"])
            publish(folder, entry, made, {"fp32_nodes": 1.0, "rel_l2": 0.0})


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
