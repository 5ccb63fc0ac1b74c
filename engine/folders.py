"""Where things of ours live on a user's machine."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder for fuw: `$XDG_CACHE_HOME/fuw`, else `~/.cache/fuw`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fuw"
