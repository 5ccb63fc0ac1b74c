"""How a reader says that a file is no weights, and how that becomes a sentence for the user."""

from __future__ import annotations

from pathlib import Path

from fuw.engine.errors import CheckpointError
from fuw.engine.spec import NetSpec


class Unreadable(Exception):
    """A file that holds no weights.

    Readers raise it with a fragment that continues "<path> ...", for example "is empty", since
    they know neither the network nor where its official file comes from.

    Attributes:
        fix: what mends it; None means "get the official file again".
    """

    def __init__(self, reason: str, fix: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fix = fix


def where_to_get(spec: NetSpec) -> str:
    """The sentence part that tells where the official file of `spec` comes from."""
    checkpoint = spec.checkpoint
    return (
        f"get the official {checkpoint.file} with `fuw-export --download --networks {spec.name}` "
        f"or from {checkpoint.home}"
    )


def refusal(path: Path, spec: NetSpec, error: Unreadable) -> CheckpointError:
    """The error the user reads: network, file, what is wrong, what mends it."""
    known = spec.checkpoint.bytes
    size = path.stat().st_size if path.is_file() else None
    cut = ""
    if known and size and size < known:
        cut = f" ({size:,} bytes where the official file has {known:,})"
    return CheckpointError(
        f"{spec.name}: {path} {error.reason}{cut}; {error.fix or where_to_get(spec)}"
    )
