"""Blocks of rows on several threads: NumPy and OpenCV give up the interpreter's lock inside."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
MOST = 4  # more threads than that wait for the interpreter between the calls


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor | None:
    """The process' threads; a forked child, whose threads are gone, gets its own."""
    cores = min(MOST, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                else os.cpu_count() or 1)
    return ThreadPoolExecutor(cores, "fuw-rows") if cores > 1 else None


def each(work: Callable[[T], object], blocks: Iterable[T]) -> None:
    """Do `work` on every block; blocks must not write to the same place. Raises what it raises."""
    pool = _pool(os.getpid())
    if pool is None:
        for block in blocks:
            work(block)
    else:
        list(pool.map(work, blocks))
