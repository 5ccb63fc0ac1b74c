"""Peaks and limb scores to people: the greedy assembly of OpenPose's CPU build."""

from dataclasses import dataclass, field

import numpy as np

from fuw.engine.arrays import F32, I32
from fuw.kernels.cpu.body25 import FEET, KEYPOINTS, PAIRS, REDUNDANT_PAIRS

MIN_PARTS = 3
MIN_MEAN_SCORE = 0.4
MOST_OF_A_LEG = 4
MAX_PEOPLE = 127
_MIN_LIMB_SCORE = 1e-6


@dataclass
class Candidate:
    """A person while it grows.

    Attributes:
        parts: for each keypoint the index of its peak, or -1.
        count: keypoints that count; those added by a shoulder-ear limb do not.
        score: sum of the scores of its peaks and limbs.
    """

    parts: list[int] = field(default_factory=lambda: [-1] * len(KEYPOINTS))
    count: int = 0
    score: float = 0.0


def assemble(count: I32, peaks: F32, scores: F32) -> list[Candidate]:
    """Join peaks to people, limb by limb in table order, best limbs first.

    Args:
        count: (25,) number of peaks of each keypoint.
        peaks: (25, 127, 3) f32 x, y, score.
        scores: (26, 127, 127) f32 of every possible limb (`paf_scores`).

    Returns:
        The people that hold at least 3 keypoints at a mean score of 0.4 or more; feet do not
        count, and one with feet needs 5 others, unless nobody is left otherwise.
    """
    people: list[Candidate] = []
    for index, (a, b, _) in enumerate(PAIRS):
        if not count[a] or not count[b]:
            lone = b if not count[a] else a
            _add_lone(people, lone, int(count[lone]), peaks)
            continue
        limbs = _best(scores[index, : count[a], : count[b]])
        if index in REDUNDANT_PAIRS:
            _add_ears(people, a, b, limbs)
        else:
            _extend(people, a, b, limbs, peaks)
    return _accepted(people, feet=False) or _accepted(people, feet=True)


def _best(scores: F32) -> list[tuple[float, int, int]]:
    """Limbs (score, peak of a, peak of b), best first, each peak in one limb at the most."""
    i, j = np.nonzero(scores > _MIN_LIMB_SCORE)
    rows = sorted(zip(scores[i, j].tolist(), i.tolist(), j.tolist(), strict=True), reverse=True)
    used_i, used_j, best = set[int](), set[int](), []
    for row in rows:
        if row[1] not in used_i and row[2] not in used_j:
            best.append(row)
            used_i.add(row[1])
            used_j.add(row[2])
    return best


def _add_lone(people: list[Candidate], part: int, count: int, peaks: F32) -> None:
    """Where the other end of a limb was found nowhere, each peak not yet taken stands alone."""
    taken = {person.parts[part] for person in people}
    for peak in range(count):
        if peak not in taken:
            person = Candidate(count=1, score=float(peaks[part, peak, 2]))
            person.parts[part] = peak
            people.append(person)


def _add_ears(people: list[Candidate], a: int, b: int,
              limbs: list[tuple[float, int, int]]) -> None:
    """A shoulder-ear limb completes people, and starts and counts nothing."""
    for _, i, j in limbs:
        for person in people:
            if person.parts[a] == i and person.parts[b] < 0:
                person.parts[b] = j
            elif person.parts[b] == j and person.parts[a] < 0:
                person.parts[a] = i


def _extend(people: list[Candidate], a: int, b: int, limbs: list[tuple[float, int, int]],
            peaks: F32) -> None:
    """Give b to the person that holds a, or begin a person with both."""
    for score, i, j in limbs:
        person = next((p for p in people if p.parts[a] == i), None)
        if person is None:
            person = Candidate(count=1, score=float(peaks[a, i, 2]))
            person.parts[a] = i
            people.append(person)
        person.parts[b] = j
        person.count += 1
        person.score += float(peaks[b, j, 2]) + score


def _accepted(people: list[Candidate], feet: bool) -> list[Candidate]:
    accepted = []
    for person in people:
        count = person.count
        if not feet:  # the same foot is often found as left and as right
            found = sum(peak >= 0 for peak in person.parts[FEET])
            count -= found
            if found and count <= MOST_OF_A_LEG:  # a second copy of a leg, not a person
                continue
        if count >= MIN_PARTS and person.score / count >= MIN_MEAN_SCORE:
            accepted.append(person)
    return accepted[:MAX_PEOPLE]
