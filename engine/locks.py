"""A lock file that outlives nobody: a waiter can tell whether its owner still lives."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from fuw.engine.errors import StoreError
from fuw.engine.files import alive

FOREIGN_AGE = 3600.0  # seconds after which a lock of another machine counts as left behind


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        started: clock ticks from boot to the process's start, "" where the system tells none:
            with the boot id it separates a living owner from a later process of the same number.
    """

    pid: int
    host: str
    boot: str
    started: str
    token: str

    @staticmethod
    def me() -> Owner:
        """This process, with a token of its own for every lock."""
        return Owner(os.getpid(), socket.gethostname(), _boot(), _started(os.getpid()), uuid4().hex)

    def lives(self, age: float) -> bool:
        """Whether the owner still runs; `age` is the lock's, in seconds."""
        if self.host != socket.gethostname():
            return age < FOREIGN_AGE
        if self.boot != _boot():
            return False
        return alive(self.pid) and self.started == _started(self.pid)


class Lock:
    """Mutual exclusion between processes through the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner: Owner | None = None

    def try_acquire(self) -> bool:
        """Take the lock if it is free or its owner is dead."""
        me = Owner.me()
        with self._guarded():
            holder = self.holder()
            if holder is not None:
                return False
            self.path.unlink(missing_ok=True)
            # written beside and linked, so that no lock without a name in it is ever seen
            beside = self.path.with_name(f".{self.path.name}.{me.token}")
            beside.write_text(json.dumps(asdict(me)))
            try:
                os.replace(beside, self.path)
            finally:
                beside.unlink(missing_ok=True)
        self._owner = me
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens if another process has taken it over."""
        with self._guarded():
            if self._owner is not None and self._read() == self._owner:
                self.path.unlink(missing_ok=True)
        self._owner = None

    def holder(self) -> Owner | None:
        """The living owner, or None: free, or left behind by a dead one."""
        owner = self._read()
        if owner is None:
            return None
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return None
        return owner if owner.lives(age) else None

    def wait(self, done: Callable[[], bool], timeout: float = 3600.0) -> bool:
        """Wait until the lock is ours (True) or `done()` says there is no need of it (False).

        Raises:
            StoreError: a living owner kept it for `timeout` seconds.
        """
        pause, deadline = 0.02, time.monotonic() + timeout
        while not self.try_acquire():
            if done():
                return False
            if time.monotonic() > deadline:
                holder = self.holder()
                who = f"process {holder.pid} on {holder.host}" if holder else "another process"
                raise StoreError(f"{self.path}: {who} has held this lock for {timeout:.0f} s; "
                                 f"end it, or remove the file")  # fmt: skip
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)
        return True

    def _read(self) -> Owner | None:
        try:
            owner = Owner(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RecursionError):
            return None  # not one of ours, or torn by a power failure
        words = (owner.host, owner.boot, owner.started, owner.token)
        whole = type(owner.pid) is int and all(isinstance(word, str) for word in words)
        return owner if whole else None

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Look and take as one step; the kernel frees this guard when its process dies."""
        try:
            import fcntl
        except ImportError:  # Windows: the replace of a moment ago decides
            yield
            return
        guard = os.open(self.path.with_name(".guard"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield
        finally:
            os.close(guard)


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
