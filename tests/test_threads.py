"""Blocks on several threads: all are done, errors come out, a forked child works too."""

import os

import numpy as np
import pytest

from fuw.kernels.cpu import threads


def test_every_block_is_done_once() -> None:
    done = np.zeros(100, np.int64)

    def work(k: int) -> None:
        done[k] += 1

    threads.each(work, range(100))
    assert (done == 1).all()


def test_an_error_of_a_block_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        threads.each(lambda k: 1 // k, [1, 0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_threads_of_its_own() -> None:
    threads.each(lambda k: k, range(4))
    pid = os.fork()
    if pid == 0:
        seen: list[int] = []
        threads.each(seen.append, range(8))
        os._exit(0 if sorted(seen) == list(range(8)) else 1)
    assert os.waitpid(pid, 0)[1] == 0
