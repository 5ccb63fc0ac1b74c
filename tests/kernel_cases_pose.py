"""The pose family's part of the table of kernel operations (see kernel_cases.py)."""

import numpy as np
from kernel_cases import CASES
from kernel_cases_windows import WINDOW_CASES
from kernel_run import Pair, Run

from fuw.kernels import cpu
from fuw.kernels.cpu import pose


def bumps(run: Run, channels: int, h: int, w: int) -> np.ndarray:
    """Smooth maps with a few peaks each, and plain noise in the last ones."""
    rows, columns = np.mgrid[:h, :w]
    maps = np.zeros((channels, h, w), np.float32)
    for c in range(channels):
        for _ in range(c % 4):
            y, x = run.rng.uniform(0, h), run.rng.uniform(0, w)
            maps[c] += 0.8 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 3)
    maps[-3:] = run.rng.uniform(-1, 1, (3, h, w))
    return maps.astype(run.real).astype(np.float32)


def enlarge(run: Run) -> list[Pair]:
    maps = run.tensor(run.n + 1, run.height // 6, run.width // 5)
    return [Pair(run.down(run.steps.enlarge(run.upr(maps))), pose.enlarge(maps), atol=1e-5)]


def peaks(run: Run) -> list[Pair]:
    pairs = []
    for h, w in ((run.height // 6, run.width // 5), (3, 2)):
        maps = bumps(run, 25, h, w)
        count, found = run.steps.heat_peaks(run.upr(maps), 0.25)
        twin_count, twin_found = pose.heat_peaks(maps, 0.25)
        # f16 maps hold equal neighbours, and a tie may fall either way: compare what both found
        same = run.down(count) == twin_count
        assert same.mean() > 0.9
        pairs += [Pair(run.down(count)[same], twin_count[same]),
                  Pair(run.down(found)[same], twin_found[same], atol=2e-3)]
    return pairs


def limbs(run: Run) -> list[Pair]:
    h, w = run.height // 6, run.width // 5
    pafs = run.tensor(52, h, w) * np.float32(0.5) + np.float32(0.3)
    pafs = pafs.astype(run.real).astype(np.float32)
    count = run.rng.integers(0, 6, 25).astype(np.int32)
    found = np.zeros((25, pose.MAX_PEAKS, 3), np.float32)
    found[:, :6] = run.rng.random((25, 6, 3)) * (8 * w, 8 * h, 1)
    found[8, :2] = found[1, :2]  # coincide, or nearly
    found[8, 1, 0] += 0.3
    ours = run.steps.paf_scores(run.upr(pafs), run.up(count), run.up(found))
    twin = pose.paf_scores(pafs, count, found)
    assert (twin > 0).any()
    return [Pair(run.down(ours), twin, atol=1e-4, share=1e-4)]


def highest(run: Run) -> list[Pair]:
    maps = bumps(run, 22, run.height // 6, run.width // 5)
    twin = pose.heat_argmax(maps)
    ours = run.down(run.steps.heat_argmax(run.upr(maps)))
    unique = twin[:, 2] > 0  # maps of nothing are flat: any pixel is highest
    fine = pose.enlarge(maps)
    tied = [(fine[c] >= fine[c].max() - 1e-6).sum() > 1 for c in range(len(maps))]
    unique &= ~np.array(tied)
    return [Pair(ours[unique], twin[unique], atol=1e-5), Pair(ours[:, 2], twin[:, 2], atol=1e-5)]


def skeleton(run: Run) -> list[Pair]:
    hands = np.concatenate([run.body()[:21], run.body()[:21]]).reshape(2, 21, 3)
    hands[1, :, 0] += 5
    aside = run.body() + np.array([run.width / 2, 3, 0], np.float32)
    people = [(run.body(), hands), (np.zeros((25, 3), np.float32), None), (aside, None)]
    height, width = run.height, run.width
    twins = np.stack([cpu.draw_skeleton(body, h, height, width) for body, h in people])
    ours = run.down(run.steps.draw_skeletons(people, height, width))
    one = run.down(run.steps.draw_skeleton(run.body(), hands, height, width))
    return [Pair(ours, twins, share=5e-4), Pair(one, twins[0], share=5e-4)]


def iuv(run: Run) -> list[Pair]:
    pairs = []
    boxes = [(3.4, 2.2, run.width - 5.7, run.height - 1.2), (-6.5, 7.0, 20.0, run.height + 9.0),
             (5.0, 5.0, 5.3, 5.4), (-30.0, -30.0, -5.0, -5.0)]
    for box in boxes:
        coarse, fine = run.tensor(1, 2, 14, 14), run.tensor(1, 25, 14, 14)
        u, v = run.tensor(1, 25, 14, 14) + 1, run.tensor(1, 25, 14, 14) * 2
        u, v = (m.astype(run.real).astype(np.float32) for m in (u, v))
        maps = coarse, fine, u, v
        place = np.array(box, np.float32)
        twin = cpu.compose_iuv(*maps, place, run.height, run.width)
        ours = run.down(run.steps.compose_iuv(*map(run.upr, maps), place, run.height, run.width))
        # the steep made-up maps move a level per 1e-3 of a pixel
        pairs += [Pair(ours[..., 0], twin[..., 0], share=2e-3), Pair(ours, twin, 1.0, share=3e-3),
                  Pair(ours, twin, share=1e-2)]
    u[:], v[:] = np.nan, np.inf  # a network that overflowed: in range all the same
    twin = cpu.compose_iuv(*maps, np.array(boxes[0], np.float32), run.height, run.width)
    ours = run.steps.compose_iuv(*map(run.upr, maps), np.array(boxes[0], np.float32), run.height,
                                 run.width)
    return [*pairs, Pair(run.down(ours)[..., 1], twin[..., 1])]


def found(run: Run) -> list[Pair]:
    """Peaks, limbs and hands as the pipeline asks for them, from whole network outputs."""
    maps = np.concatenate([bumps(run, 26, 12, 10), run.tensor(52, 12, 10)])[None]
    count, peak, scores = run.steps.find_peaks(run.upr(maps), 2.5)
    twin_count, twin_peak, _ = pose.find_peaks(maps, 2.5)
    twin_scores = pose.paf_scores(maps[0, 26:], count, peak)  # of our peaks: a tie may part them
    same = count == twin_count
    hands = np.stack([bumps(run, 22, 9, 9)] * 2)
    best, twin_best = run.steps.find_hands(run.upr(hands)), pose.find_hands(hands)
    assert same.mean() > 0.9
    return [Pair(peak[same], twin_peak[same], atol=2e-3),
            Pair(scores, twin_scores, atol=1e-4, share=1e-4),
            Pair(best[..., 2], twin_best[..., 2], atol=1e-5), Pair(best[1], best[0])]


ALL_CASES = (*CASES, enlarge, peaks, limbs, highest, skeleton, iuv, found, *WINDOW_CASES)
