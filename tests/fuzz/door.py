"""What a door is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.damage import Damage, in_bytes


@dataclass(frozen=True)
class Door:
    """A kind of file and what opens it.

    Attributes:
        good: the bytes of a good file.
        open: opens the file at a path; called with a damaged one.
        place: the file's name in the case's folder.
        prepare: puts into the folder what belongs there besides; called before every case.
        damages: how it is damaged, by turns.
    """

    name: str
    good: bytes
    open: Callable[[Path], object]
    place: str = "case"
    prepare: Callable[[Path], object] | None = None
    damages: tuple[Damage, ...] = (in_bytes,)
