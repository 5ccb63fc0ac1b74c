"""Files under their final names, and the manifest that says what they are.

The entry is taken out of the manifest before the file is replaced and put back after, so that at
no moment an entry describes another file than the one that lies there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fuw.engine.errors import CheckpointError
from fuw.engine.weights import MANIFEST, Entry, read_manifest, write_manifest
from fuw.export.checkpoint_files import digest
from fuw.export.precision import convert
from fuw.export.scratch import scratch_file
from fuw.export.to_onnx import FORMAT

NEW = "new"
COMPARED = ("network", "variant", "precision", "sizes", "batch", "spec", "checkpoint")


def stale(folder: Path, wanted: Entry) -> str:
    """Why `wanted` must be exported: `NEW`, or what differs from the file there; "" if nothing."""
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
    if digest(path, ("sha256",))["sha256"] != there.sha256:
        return "the file is not the one that was proved (its hash differs)"
    return ""


def publish(folder: Path, entry: Entry, made: Path, extra: Mapping[str, Any]) -> Entry:
    """Give the proved file `made` its final name and its entry; returns the entry."""
    whole = replace(entry, sha256=digest(made, ("sha256",))["sha256"],
                    extra={**entry.extra, **extra, "format": FORMAT})
    others = [e for e in _entries(folder) if e.file != entry.file]
    write_manifest(folder, others)
    made.replace(folder / entry.file)
    write_manifest(folder, [*others, whole])
    return whole


def keep_fp32(folder: Path, plain: Path, network: str, kind: str) -> None:
    """Put fp32 arithmetic into the reduced file of a network, from its fp32 file in `plain`."""
    source = next(e for e in _entries(plain) if (e.network, e.precision) == (network, "fp32"))
    for entry in _entries(folder):
        if (entry.network, entry.precision) != (network, kind):
            continue
        with scratch_file(folder, ".onnx") as made:
            convert(plain / source.file, made, kind, ["*"])
            publish(folder, entry, made, {"fp32_nodes": 1.0, "rel_l2": 0.0})


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
