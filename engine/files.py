"""Files as the engine treats them: checked before they are read, whole or absent when written."""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import BinaryIO

from fuw.engine.errors import FuwError, InputError, OutputError

MAX_BYTES = 512 << 20  # a 100 megapixel picture, uncompressed with alpha, is 400 MB


def check_readable(path: Path, what: str, most: int = MAX_BYTES) -> Path:
    """Return `path` if it is a regular file of 1..`most` bytes; raise InputError otherwise.

    A pipe or a device is refused as well: reading one may never end.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such {what}; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{path}: cannot be read as a {what} ({_reason(error)})") from None
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder; give one {what} file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a pipe or a device; save the {what} to a file first")
    if status.st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes); save or download the {what} again")
    if status.st_size > most:
        raise InputError(f"{path}: has {status.st_size >> 20} MB, a {what} may have at most "
                         f"{most >> 20} MB; save a smaller one")
    return path


@contextmanager
def open_input(path: Path, what: str, most: int = MAX_BYTES) -> Iterator[BinaryIO]:
    """Open a checked input file for reading; every way it cannot be opened is an InputError."""
    check_readable(path, what, most)
    try:
        handle = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)}); check its rights") from None
    with handle:
        yield handle


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: complete or absent.

    Folders on the way are made. Whatever goes wrong, Ctrl-C included, the temporary file is
    removed and an older `path` stays as it was; OutputError if the system refused.
    A process that was killed leaves a `.NAME.THREAD.PID.part`, which `sweep` takes away.
    """
    part = path.with_name(f".{path.name}.{get_ident()}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())  # else a full disk may only be noticed after the rename
        part.replace(path)
    except OSError as error:
        _remove(part)
        raise OutputError(f"{path}: cannot be written ({_reason(error)}); {_mend(error)}") from None
    except BaseException:
        _remove(part)
        raise


def write_json(path: Path, data: object) -> None:
    """Write `data` as JSON for people and programs, whole or not at all; paths become text."""
    text = json.dumps(data, indent=1, default=os.fspath) + "\n"
    write_whole(path, lambda handle: handle.write(text.encode()))


def make_folder(folder: Path) -> Path:
    """Make a folder and those on the way to it; OutputError if the system refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made a folder ({_reason(error)}); "
                          f"{_mend(error)}") from None
    return folder


def sweep(folder: Path) -> list[Path]:
    """Remove what killed processes left in `folder`; parts of a living process stay."""
    gone = []
    for part in sorted(folder.glob(".*.part")):
        pid = part.name.rsplit(".", 2)[-2]
        if pid.isdecimal() and not alive(int(pid)):
            _remove(part)
            gone.append(part)
    return gone


def text_of(path: Path, what: str, most: int = 16 << 20) -> str:
    """Read a small UTF-8 text file; a byte order mark is dropped, anything else is InputError."""
    with open_input(path, what, most) as handle:
        try:
            return handle.read(most).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InputError(f"{path}: is not a text file; a {what} is UTF-8 text") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({_reason(error)})") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        # The first error is the one to tell; a name too long, say, was never created.
        if error.errno not in (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EACCES, errno.EROFS):
            raise FuwError(f"{part}: could not be removed ({_reason(error)})") from None


def alive(pid: int) -> bool:
    """Whether a process of that number runs, as far as this one may know."""
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return True
    if not 0 < pid < 1 << 31:  # a number from a damaged file; below 1 it means a group
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's process, or a system without signal 0
    return True


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _mend(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room or choose another folder with -o"
    return "choose another place with -o"
