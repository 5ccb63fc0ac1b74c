"""Whether a file may be loaded: an engine is code, so nobody else may have been able to write."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def distrust(path: Path) -> str:
    """Why `path` is not to be loaded from, as a sentence with its mend; "" where it may be.

    Not trusted: a link in place of a file, an owner other than this user and root, and anything
    that others can write. A folder above that others can write without the sticky bit is the same.
    """
    if os.name != "posix":
        return ""
    try:
        own = os.lstat(path)
        if stat.S_ISLNK(own.st_mode) and not path.is_dir():
            return f"{path} is a link; remove it"
        return next(filter(None, map(_reason, [path, *path.resolve().parents])), "")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path} cannot be looked at ({(error.strerror or str(error)).lower()})"


def _reason(path: Path) -> str:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
        return ""  # in a sticky folder (/tmp) only the owner can rename or remove what is in it
    if status.st_uid not in (os.getuid(), 0):
        return f"{path} belongs to another user; choose another folder with --cache DIR"
    if status.st_mode & stat.S_IWOTH:
        return f"{path} can be written by every user; run: chmod o-w {path}"
    if status.st_mode & stat.S_IWGRP and not _private_group(status):
        return f"{path} can be written by its group; run: chmod g-w {path}"
    return ""


def _private_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's own (many systems give each user one, and umask 002)."""
    import grp
    import pwd

    try:
        group = grp.getgrgid(status.st_gid)
        owner = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return False
    return group.gr_name == owner and set(group.gr_mem) <= {owner}
