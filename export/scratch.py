"""Files that live for one step and are never taken for results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_numbers = count()


@contextmanager
def scratch_file(folder: Path, suffix: str) -> Iterator[Path]:
    """A path in `folder` that is removed afterwards.

    Its name is that of an unfinished file (`.NAME.PID.part`): `files.sweep` takes it away should
    the process be killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".scratch{suffix}.{next(_numbers)}.{os.getpid()}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
