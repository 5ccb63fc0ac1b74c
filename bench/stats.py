"""Times of interleaved runs and what is said of them: p50, p90, p99, n."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stats:
    """Milliseconds of one thing; n counted runs after the warm-up."""

    p50: float
    p90: float
    p99: float
    n: int

    @staticmethod
    def of(ms: list[float]) -> Stats:
        """Percentiles by linear interpolation."""
        p50, p90, p99 = np.percentile(np.asarray(ms), (50, 90, 99))
        return Stats(float(p50), float(p90), float(p99), len(ms))


def interleave(runs: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int,
               warmup: int = 1, few: Mapping[str, int] | None = None,
               ) -> dict[str, dict[str, list[float]]]:
    """Time several things in turn (A B C A B C ...), so that a drifting machine hits all alike.

    Args:
        runs: name -> function; it returns milliseconds by stage, "total" is added here.
        rounds: counted rounds. warmup: rounds that are not counted.
        few: for slow ones, how many of the rounds they take part in, spread evenly.

    Returns:
        name -> stage -> milliseconds of every counted run.
    """
    times: dict[str, dict[str, list[float]]] = {name: {} for name in runs}
    few = dict(few or {})
    for k in range(-warmup, rounds):
        for name, run in runs.items():
            most = few.get(name, rounds)
            if k >= 0 and (k * most) // rounds == ((k - 1) * most) // rounds and k > 0:
                continue
            gc.collect()
            start = time.perf_counter()
            stages = run()
            total = (time.perf_counter() - start) * 1000
            if k >= 0:
                for stage, ms in {**stages, "total": total}.items():
                    times[name].setdefault(stage, []).append(ms)
    return times
