"""The cases of kernel_cases.py for the distinct windows of label maps."""

import numpy as np
import numpy.typing as npt
from kernel_run import Pair, Run

from fuw.kernels import cpu

ROOM = 10_000  # for every pixel of the cases' sizes
STEPS = (4, 2, 1)


def label_maps(run: Run) -> list[npt.NDArray[np.float32]]:
    """(n, 7, H, W) maps with few windows, with very many, and with pixels that are no labels."""
    rows, columns = np.mgrid[: run.height, : run.width]
    few = np.where(rows // 9 % 2, columns // 11 % 3, 5)
    few = np.stack([np.roll(few, i, 1) for i in range(run.n)]).astype(np.uint8)
    clean = np.concatenate([cpu.one_hot(label, 7) for label in few])
    torn = np.concatenate([cpu.one_hot(label, 7) for label in run.labels(7, run.n)])
    soft = clean.copy()
    soft[-1, :2, 10:14, 8:20] = 0.5  # a patch that is no label
    soft[0, 3, -1, -1] += 1  # two hot channels, none of them alone
    soft[0, :, 20, 5] = 0
    soft[0, :, 24, 9] *= np.float32(1 - 5e-7)  # a residue: clean in f32, and rounded away in f16
    return [clean, torn, soft.astype(run.real).astype(np.float32)]


def windows(run: Run) -> list[Pair]:
    """Rows and places are the twin's, one with room for all and one with too little of it."""
    pairs = []
    for labels in label_maps(run):
        for rooms in ((ROOM,) * 3, (run.n * run.height * run.width // 16, 40, 30)):
            levels = list(zip(STEPS, rooms, strict=True))
            flag = run.up(np.zeros(1, np.int32))
            ours = run.steps.windows(run.upr(labels), levels, flag)
            twins = [cpu.windows(labels, *level) for level in levels]
            for (rows, places), twin in zip(ours, twins, strict=True):
                pairs += [Pair(run.down(rows), twin.rows), Pair(run.down(places), twin.places)]
            over = any(twin.overflow for twin in twins)
            pairs.append(Pair(run.down(flag), np.array([over], np.int32)))
    return pairs


def disown(run: Run) -> list[Pair]:
    """An answer begins with NaN where the flag is set, and stays as it is otherwise."""
    answer, pairs = run.tensor(1, 3, 4, 5), []
    for value in (0, 1):
        there = run.upr(answer)
        run.steps.disown(there, run.up(np.array([value], np.int32)))
        ours, twin = run.down(there), np.isnan(answer)
        twin[0, 0, 0, 0] = bool(value)
        pairs += [Pair(np.isnan(ours), twin), Pair(ours[~twin], answer.astype(run.real)[~twin])]
    return pairs


WINDOW_CASES = (windows, disown)
