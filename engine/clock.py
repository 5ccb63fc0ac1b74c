"""Stage timings: one name a stage, the same in the pipeline, the command line and the bench."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Collects milliseconds by stage name; a stage met twice adds up.

    Example:
        clock = Clock()
        with clock("parse"):
            ...
        clock.ms["parse"]
    """

    def __init__(self, on_stage: Callable[[str, float], None] | None = None) -> None:
        self.ms: dict[str, float] = {}
        self._on_stage = on_stage

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` statement under the name `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000.0
            self.ms[stage] = self.ms.get(stage, 0.0) + spent
        if self._on_stage is not None:
            self._on_stage(stage, spent)
