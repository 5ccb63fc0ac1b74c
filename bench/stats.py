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


def shares(seconds: Mapping[str, float], budget: float, least: Mapping[str, int],
           most: int = 20) -> dict[str, int]:
    """How often each thing runs: equal parts of `budget` seconds, `least` to `most` times.

    Args:
        seconds: what one run of each takes, as the warm-up showed.
        least: of each, however long it takes.
    """
    part = budget / max(1, len(seconds))
    return {name: int(min(most, max(least[name], part // max(spent, 1e-6))))
            for name, spent in seconds.items()}


def schedule(counts: Mapping[str, int]) -> list[str]:
    """An order in which every name stands `counts[name]` times, each spread evenly over the whole:
    a machine that drifts hits all alike, however different their numbers are."""
    places = [((k + 0.5) / count, place, name) for place, (name, count) in enumerate(counts.items())
              for k in range(count)]
    return [name for _, _, name in sorted(places)]


def least_seconds(run: Callable[[], object], repeats: int = 7) -> float:
    """The quickest of several runs, the first of which warms up: what the machine can do, not what
    it did."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return min(spent)


def interleave(runs: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int,
               warmup: int = 1, few: Mapping[str, int] | None = None,
               ) -> dict[str, dict[str, list[float]]]:
    """Time several things in turn in this process.

    Args:
        runs: name -> function; it returns milliseconds by stage, "total" is added here.
        rounds: counted rounds. warmup: rounds that are not counted.
        few: for slow ones, how many of the rounds they take part in, spread evenly.

    Returns:
        name -> stage -> milliseconds of every counted run.
    """
    times: dict[str, dict[str, list[float]]] = {name: {} for name in runs}
    counts = {name: (few or {}).get(name, rounds) for name in runs}
    order = list(runs) * warmup + schedule(counts)
    for place, name in enumerate(order):
        gc.collect()
        start = time.perf_counter()
        stages = runs[name]()
        total = (time.perf_counter() - start) * 1000
        if place >= warmup * len(runs):
            for stage, ms in {**stages, "total": total}.items():
                times[name].setdefault(stage, []).append(ms)
    return times
