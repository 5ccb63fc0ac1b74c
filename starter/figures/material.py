"""Where the CC0 material lies, and a cache for what is slow to make from it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fuw.engine.errors import FuwError

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
CACHE_FORMAT = 5  # raise it when a cached value changes its meaning


@dataclass(frozen=True)
class Material:
    """`data` holds makehuman/ and garments/ (see `fuw.starter.fetch`); `cache` may be deleted."""

    data: Path
    cache: Path

    @property
    def makehuman(self) -> Path:
        return self.data / "makehuman"

    @property
    def garments(self) -> Path:
        return self.data / "garments"

    def cached(self, name: str, make: Callable[[], T]) -> T:
        """The value kept under `name`, made and kept now if it is not there yet."""
        path = self.cache / f"{name}.v{CACHE_FORMAT}.pickle"
        if path.exists():
            with path.open("rb") as f:
                return pickle.load(f)  # type: ignore[no-any-return]
        value = make()
        self.cache.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_bytes(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
        beside.replace(path)
        return value


def default_data() -> Path:
    """FUW_DATA, or ../shared/data beside the repository."""
    return Path(os.environ.get("FUW_DATA", REPOSITORY.parent / "shared" / "data"))


def default_cache() -> Path:
    """$XDG_CACHE_HOME/fuw/figures, or ~/.cache/fuw/figures."""
    base = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(base) / "fuw" / "figures"


def find(data: str | Path | None = None, cache: str | Path | None = None) -> Material:
    """The material at `data`. Raises FuwError, naming what is missing, where there is none."""
    material = Material(Path(data or default_data()), Path(cache or default_cache()))
    for path in (material.makehuman / "3dobjs" / "base.obj", material.garments):
        if not path.exists():
            raise FuwError(
                f"{path} is missing; fetch the CC0 material with `python -m fuw.starter.fetch DIR` "
                "and pass it as --data DIR (or set FUW_DATA)"
            )
    return material
