"""Building beside, naming at the end, and sweeping away what a killed builder left beside."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from fuw.engine.errors import StoreError
from fuw.engine.files import sha256
from fuw.engine.locks import Lock
from fuw.engine.store_record import NAME, Key, record_path

Build = Callable[[Path], None]


def build_beside(path: Path, key: Key, build: Build) -> None:
    """Let `build` write a file beside `path`, make it durable, name it, then write its record.

    Raises:
        StoreError: `build` wrote nothing. What it raises itself is passed on; nothing is left.
    """
    beside = Path(tempfile.mkdtemp(prefix=f".{path.stem}.", dir=path.parent))
    try:
        made = beside / "engine"
        build(made)
        if not made.is_file():
            raise StoreError(f"the builder of {path.name} wrote no file; report this as a bug")
        os.chmod(made, 0o600)
        _sync(made)
        stat = made.stat()
        record = beside / "record"
        facts = {"key": asdict(key), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns,
                 "sha256": sha256(made), "built": time.time()}  # fmt: skip
        record.write_text(json.dumps(facts, indent=1))
        _sync(record)
        record_path(path).unlink(missing_ok=True)
        os.replace(made, path)
        os.replace(record, record_path(path))
        _sync(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sweep(root: Path, stem: str = "") -> list[Path]:
    """Remove folders of builders that were killed; the caller holds the lock of `stem`."""
    gone = []
    for beside in root.glob(".*.*"):
        owner = beside.name[1:].rpartition(".")[0]
        if not NAME.fullmatch(owner) or not beside.is_dir() or (stem and owner != stem):
            continue
        if stem or Lock(root / f"{owner}.lock").holder() is None:
            shutil.rmtree(beside, ignore_errors=True)
            gone.append(beside)
    return gone


def sweep_locks(root: Path) -> None:
    """Remove lock files of dead owners, and what one killed in the middle of locking left."""
    for path in root.glob("*.lock"):
        lock = Lock(path)
        if NAME.fullmatch(path.stem) and lock.try_acquire():
            lock.release()
    for path in root.glob(".*.lock.*"):
        ours = NAME.fullmatch(path.name[1:].rpartition(".lock.")[0])
        if ours and time.time() - path.stat().st_mtime > 60:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
