"""Bring one address into one file: resumed, retried, never more than asked, whole or not at all."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from fuw import __version__
from fuw.engine.errors import DownloadError
from fuw.export.sniff import MAX_BYTES

Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all or None where the server does not say)."""

CHUNK = 1 << 18
RETRIED = (408, 425, 429, 500, 502, 503, 504)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        tries: attempts in a row that bring nothing new before an address counts as dead.
        pause: seconds before the second attempt; doubled each time, with some chance in it.
        timeout: seconds without a byte.
    """

    tries: int = 4
    pause: float = 1.0
    timeout: float = 30.0


class DeadAddress(Exception):
    """An address that does not give the file; the text is the reason, for a list of addresses."""


def part_of(path: Path) -> Path:
    """Where the bytes of an unfinished download of `path` lie."""
    return path.with_name(path.name + ".part")


def fetch(url: str, path: Path, progress: Progress, patience: Patience, resume: bool) -> Path:
    """Download `url` beside `path`, as `part_of(path)`, which is returned complete.

    Args:
        resume: go on from a part that is there already; without it the part is begun anew.

    Raises:
        DeadAddress: this address does not give the file; another may.
        DownloadError: no room, no right to write, or another process at the same file: no other
            address would help. The part is kept.
    """
    part = part_of(path)
    with _writing(part) as out:
        if not resume:
            out.truncate(0)
        failures, reason = 0, ""
        while failures < patience.tries:
            before = _size(out)
            try:
                _once(url, out, progress, patience.timeout)
                return part
            except _Again as error:
                reason = str(error)
            # a connection that is cut again and again but brings something is not dead
            failures = 0 if _size(out) > before else failures + 1
            if failures < patience.tries:
                time.sleep(patience.pause * 2 ** max(failures - 1, 0) * random.uniform(0.5, 1.0))
        raise DeadAddress(f"{reason} ({patience.tries} attempts)")


class _Again(Exception):
    """A failure that may pass."""


def _once(url: str, out: BinaryIO, progress: Progress, timeout: float) -> None:
    """One request for what is missing; appends to `out`."""
    have = _size(out)
    headers = {"User-Agent": f"fuw/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=timeout) as response:
            _receive(response, out, have, progress)
    except urllib.error.HTTPError as error:
        _refused(error, out, have)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, socket.gaierror):
            raise DeadAddress(f"no such server ({cause.strerror}), or no network") from error
        raise _Again(f"{cause or type(error).__name__}") from error


def _receive(response: HTTPResponse, out: BinaryIO, have: int, progress: Progress) -> None:
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise DeadAddress(_page(response.read(1 << 16)))
    if have and (response.status != 206 or _range_start(response) != have):
        out.truncate(0)  # the server knows no ranges: from the beginning
        have = 0
    length = response.headers.get("Content-Length")
    total = have + int(length) if length and length.isdigit() else None
    if total and total > MAX_BYTES:
        raise DeadAddress(f"offers {total:,} bytes, more than any checkpoint has")
    _check_room(out, (total or 0) - have)
    while chunk := response.read(CHUNK):
        _write(out, chunk)
        have += len(chunk)
        progress(have, total)
        if have > MAX_BYTES:
            raise DeadAddress("sends more bytes than any checkpoint has")
    if total is not None and have < total:
        raise _Again(f"the connection was cut after {have:,} of {total:,} bytes")
    out.flush()
    os.fsync(out.fileno())


def _refused(error: urllib.error.HTTPError, out: BinaryIO, have: int) -> None:
    """Raise what a status means; return where the part was complete already."""
    with error:
        if error.code == 416 and have:
            whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if whole == str(have):
                return
            out.truncate(0)  # longer than the file: not its beginning
            raise _Again("the part was not of this file")
        if error.code in RETRIED:
            raise _Again(f"HTTP {error.code} {error.reason}")
        raise DeadAddress(f"HTTP {error.code} {error.reason}")


def _page(head: bytes) -> str:
    words = head.lower()
    if any(mark in words for mark in (b"quota", b"too many users", b"virus scan warning")):
        return "a quota or confirmation page came instead of the file"
    return "a web page came instead of the file"


def _range_start(response: HTTPResponse) -> int:
    start = (response.headers.get("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else -1


@contextmanager
def _writing(part: Path) -> Iterator[BinaryIO]:
    """The part open for appending, by this process alone."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out:
            _lock(out, part)
            try:
                yield out
            finally:
                if not _size(out):  # a dead address leaves nothing
                    part.unlink()
    except OSError as error:
        raise _unwritable(part, error) from error


def _lock(out: BinaryIO, part: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return  # Windows does not let two processes append to one file in this way
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DownloadError(f"{part} is being written by another download; wait for it") from None


def _write(out: BinaryIO, chunk: bytes) -> None:
    out.write(chunk)


def _check_room(out: BinaryIO, wanted: int) -> None:
    """Say so before 400 MB are on their way."""
    folder = Path(out.name).parent
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise OSError(errno.ENOSPC, f"{wanted >> 20} MB are missing and {free >> 20} MB are free")


def _unwritable(part: Path, error: OSError) -> DownloadError:
    words = (error.strerror or str(error)).lower()
    if error.errno in NO_ROOM:
        return DownloadError(f"no room in {part.parent} ({words}); make room and run the same "
                             f"download again: it goes on where it stopped")  # fmt: skip
    return DownloadError(f"{part} cannot be written ({words}); choose another folder")


def _size(out: BinaryIO) -> int:
    out.flush()
    return os.fstat(out.fileno()).st_size


def secure(url: str, hash_known: bool) -> bool:
    """Whether what comes from `url` can be relied on: by TLS, or by a known hash."""
    address = urlsplit(url)
    return address.scheme == "https" or hash_known or address.hostname in ("127.0.0.1", "localhost")
