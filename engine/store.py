"""Where engines live: keyed by everything they were built from, trusted only when all of it agrees.

Beside every engine lies a JSON with its key. The JSON is written last and removed first, so that
an engine without one is what a killed builder left: nothing reads it, and the next build replaces
it. That a file exists is never a reason to load it.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from fuw.engine.errors import StoreError
from fuw.engine.locks import Lock
from fuw.engine.store_build import Build, build_beside, sweep, sweep_locks
from fuw.engine.store_record import (
    NAME,
    Entry,
    Key,
    differences,
    engine_path,
    entry_of,
    problem_of,
    record_path,
    superseded,
)
from fuw.engine.trust import distrust

__all__ = ["Build", "Entry", "Key", "Store", "prune", "stores"]

log = logging.getLogger(__name__)

UNUSABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM,
            errno.ENOTDIR, errno.EEXIST)  # fmt: skip


class Store:
    """Engines in one folder, shared by every process of the user."""

    def __init__(self, root: Path, wait_seconds: float = 3600.0, fallback: bool = True) -> None:
        """
        Args:
            wait_seconds: how long another process may build before waiting for it is given up.
            fallback: use a temporary folder where `root` cannot be used; else raise StoreError.
        """
        self.root = root
        self._wait_seconds, self._may_fall_back = wait_seconds, fallback
        self._fallback: Path | None = None

    def get(self, key: Key) -> Path | None:
        """The engine of exactly this key, or None; never one that others could have written."""
        for root in self._roots():
            path = engine_path(root, key)
            problem = problem_of(root, path, key)
            if not problem:
                _touch(record_path(path))
                return path
            if record_path(path).exists():
                log.warning("%s is not loaded: %s", path, problem)
        return None

    def put(self, key: Key, build: Build) -> Path:
        """The engine of `key`, built by `build(path)` unless another process built it meanwhile.

        `build` writes a file beside its final place; it gets its name only when it is complete.
        Where the folder is read-only, full or open to others, a temporary one is used instead
        for the life of this process, and one warning says so.

        Raises:
            StoreError: nowhere to write, or another process held the lock for too long.
            Whatever `build` raises is passed on, and nothing is left behind.
        """
        found = self.get(key)
        if found is not None:
            return found
        log.info("building %s: %s", key.name, self.explain(key))
        root = self._fallback or self.root
        try:
            _prepare(root)
            return self._locked_build(root, key, build)
        except OSError as error:
            if error.errno not in UNUSABLE:
                raise StoreError(f"{root}: the engine cache failed ({_words(error)}); "
                                 f"choose another with --cache DIR") from error  # fmt: skip
            return self._elsewhere(key, build, _words(error))
        except _Untrusted as error:
            return self._elsewhere(key, build, str(error))

    def discard(self, key: Key) -> None:
        """Forget the engine of `key`: the runtime would not load it."""
        for root in self._roots():
            record_path(engine_path(root, key)).unlink(missing_ok=True)
            engine_path(root, key).unlink(missing_ok=True)

    def explain(self, key: Key) -> str | None:
        """Why `get(key)` gives nothing, field by field; None where it gives the engine."""
        if any(not problem_of(root, engine_path(root, key), key) for root in self._roots()):
            return None
        path = engine_path(self.root, key)
        if record_path(path).exists():
            return problem_of(self.root, path, key)
        others = [e.key for e in self.entries() if e.key and e.key.network == key.network]
        if not others:
            return f"no engine of {key.network} was built here yet"
        nearest = min(others, key=lambda other: len(differences(other, key)))
        return "; ".join(differences(nearest, key))

    def entries(self) -> list[Entry]:
        """Everything in the folder that is or was meant to be an engine."""
        if not self.root.is_dir():
            return []
        ours = {path.with_suffix(".engine") for path in self.root.iterdir()
                if path.suffix in (".engine", ".json") and NAME.fullmatch(path.stem)}  # fmt: skip
        return [entry_of(self.root, path) for path in sorted(ours)]

    def prune(self, unused_days: float | None = None) -> list[Path]:
        """Remove leftovers, what is not trusted, and engines that a newer one has replaced.

        Args:
            unused_days: also remove engines not loaded for so long; 0 removes all.

        Returns:
            The engines and leftovers removed.
        """
        now = time.time()
        if not self.root.is_dir():
            return []
        gone = sweep(self.root)
        sweep_locks(self.root)
        entries = self.entries()
        for entry in entries:
            old = unused_days is not None and now - entry.used >= unused_days * 86400
            if old or entry.problem or superseded(entry, entries):
                record_path(entry.path).unlink(missing_ok=True)
                entry.path.unlink(missing_ok=True)
                gone.append(entry.path)
        return gone

    def _roots(self) -> list[Path]:
        return [self.root] + ([self._fallback] if self._fallback else [])

    def _locked_build(self, root: Path, key: Key, build: Build) -> Path:
        path = engine_path(root, key)
        lock = Lock(path.with_suffix(".lock"))
        there = self._waiting_for(lock, root, path, key)
        if there:
            return path
        try:
            if problem_of(root, path, key):  # else it was built while we waited
                build_beside(path, key, build)
        finally:
            lock.release()
        return path

    def _waiting_for(self, lock: Lock, root: Path, path: Path, key: Key) -> bool:
        """Take the lock (False), or find that its holder has built the engine (True)."""
        if lock.try_acquire():
            sweep(root, path.stem)
            return False
        holder = lock.holder()
        if holder:
            log.warning("waiting for process %d on %s, which builds %s",
                        holder.pid, holder.host, path.name)  # fmt: skip
        return not lock.wait(lambda: not problem_of(root, path, key), self._wait_seconds)

    def _elsewhere(self, key: Key, build: Build, reason: str) -> Path:
        if not self._may_fall_back:
            raise StoreError(f"engine cache {self.root} cannot be used ({reason}); "
                             f"choose another with --cache DIR")  # fmt: skip
        if self._fallback is not None:
            raise StoreError(f"no room for engines: neither {self.root} nor {self._fallback} can "
                             f"be used ({reason}); choose another with --cache DIR")  # fmt: skip
        try:
            self._fallback = Path(tempfile.mkdtemp(prefix="fuw-engines-"))
        except OSError as error:
            raise StoreError(f"no room for engines: {self.root} cannot be used ({reason}) and no "
                             f"temporary folder can be made ({_words(error)}); "
                             f"choose another with --cache DIR") from error  # fmt: skip
        atexit.register(shutil.rmtree, self._fallback, ignore_errors=True)
        log.warning("engine cache %s cannot be used (%s); engines of this run go to %s and are "
                    "removed at its end", self.root, reason, self._fallback)  # fmt: skip
        return self.put(key, build)


def stores(cache: Path) -> list[Store]:
    """The stores of all runtimes below the cache folder, each in a folder of its own."""
    if not cache.is_dir():
        return []
    return [Store(folder) for folder in sorted(cache.iterdir()) if folder.is_dir()]


def prune(cache: Path, unused_days: float | None = None) -> list[Path]:
    """`Store.prune` for the stores of all runtimes below the cache folder."""
    return [path for store in stores(cache) for path in store.prune(unused_days)]


class _Untrusted(Exception):
    """A folder that others can write."""


def _prepare(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    reason = distrust(root)
    if reason:
        raise _Untrusted(reason)


def _touch(record: Path) -> None:
    try:
        os.utime(record)
    except OSError as error:  # a read-only cache is fine to load from
        log.debug("%s: time of last use not kept (%s)", record, error)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
