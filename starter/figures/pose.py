"""Random standing poses: rotations per bone, arms by direction or by two-bone reach."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fuw.starter.figures.human import BODY, Human
from fuw.starter.figures.mesh import Array

ARMS = {  # how an arm is held, and how often
    "hang": 9, "away": 2, "hip": 2, "waist": 2, "folded": 1.5, "belt": 0.9, "pocket": 1.5,
    "up": 0.7,
}  # fmt: skip
LEGS = {"stand": 5, "apart": 2, "walk": 2, "one hip": 1}


class Pose(NamedTuple):
    """Bone rotations on top of the parents' (world axes), and what was drawn."""

    turns: dict[str, Array]
    arms: tuple[str, str]  # left, right
    legs: str


def rotation(axis: Array | tuple[float, float, float], angle: float) -> Array:
    """Rotation matrix (3, 3) about an axis, angle in radians (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k)


def between(a: Array, b: Array, share: float = 1.0) -> Array:
    """The smallest rotation, or a share of it, that takes direction a to direction b."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    c = np.cross(a, b)
    s = np.linalg.norm(c)
    return np.eye(3) if s < 1e-8 else rotation(c, share * float(np.arctan2(s, a @ b)))


def reach(
    start: Array, goal: Array, upper: float, lower: float, pole: Array
) -> tuple[Array, Array]:
    """Directions of two bones so that the end comes to the goal, the elbow towards the pole."""
    d = goal - start
    n = float(np.clip(np.linalg.norm(d), abs(upper - lower) + 0.05, (upper + lower) * 0.995))
    d = d / np.linalg.norm(d)
    cos = (upper * upper + n * n - lower * lower) / (2 * upper * n)
    pole = pole - (pole @ d) * d
    pole = pole / np.linalg.norm(pole)
    up = d * cos + pole * np.sqrt(max(1 - cos * cos, 0))
    return up, (start + d * n) - (start + up * upper)


def pick(rng: np.random.Generator, table: dict[str, float]) -> str:
    """One key of a table of relative frequencies."""
    p = np.array(list(table.values()))
    return str(rng.choice(list(table), p=p / p.sum()))


def random_pose(human: Human, v: Array, rng: np.random.Generator, clear: float = 0.3) -> Pose:
    """A pose for the body v. clear: room in dm for the cloth between arm and belly."""
    turns: dict[str, Array] = {}
    normal = rng.normal
    for b in ("spine05", "spine04", "spine03", "spine02"):
        lean = rotation((0, 0, 1), normal() * 0.02) @ rotation((1, 0, 0), normal() * 0.015)
        turns[b] = lean @ rotation((0, 1, 0), normal() * 0.025)
    turns["neck01"] = rotation((1, 0, 0), normal() * 0.04) @ rotation((0, 0, 1), normal() * 0.04)
    nod = rotation((1, 0, 0), normal() * 0.09) @ rotation((0, 0, 1), normal() * 0.07)
    turns["head"] = rotation((0, 1, 0), normal() * 0.2) @ nod
    turns["root"] = rotation((0, 0, 1), normal() * 0.03)
    first = pick(rng, ARMS)
    second = first if first != "up" and rng.random() < 0.5 else pick(rng, ARMS)
    arms = (first, second) if rng.random() < 0.5 else (second, first)
    for side, kind in zip("LR", arms, strict=True):
        _place_arm(human, v, rng, turns, side, kind, clear)
        _place_hand(human, v, rng, turns, side, kind)
    legs = pick(rng, LEGS)
    _place_legs(human, v, rng, turns, legs)
    return Pose(turns, arms, legs)


def _goal(
    human: Human, v: Array, rng: np.random.Generator, s: int, kind: str, clear: float
) -> tuple[Array, Array]:
    """Where the wrist of side s (+1 left) goes, and which way the elbow points."""
    torso = v[BODY][human.part[BODY] == "torso"]

    def front(y: float) -> float:
        """How far forward the body reaches at a height."""
        return float(torso[abs(torso[:, 1] - y) < 0.5, 2].max()) + 0.35 + clear

    hip = human.joint(v, "upperleg01." + ("L" if s > 0 else "R"))
    side = float(abs(torso[abs(torso[:, 1] - hip[1] - 1.2) < 0.4, 0]).max())
    low, mid, high = (
        hip[1] + rng.uniform(-0.2, 0.6),
        hip[1] + rng.uniform(1.0, 2.2),
        hip[1] + rng.uniform(2.4, 3.2),
    )
    head = human.joint(v, "head")
    goals = {
        "hip": (
            [s * (side + 0.35 + clear * 0.5), hip[1] + 1.2, 0.3 + normal_of(rng, 0.15)],
            [s, 0, -0.5],
        ),
        "pocket": (
            [s * (side + 0.3 + clear * 0.4), hip[1] + rng.uniform(0.2, 0.9), 0.5],
            [s, 0, -0.9],
        ),
        "waist": ([s * rng.uniform(0.0, 0.9), mid, front(mid)], [s, -0.2, 0.15]),
        "belt": ([s * rng.uniform(0.15, 0.7), low, front(low) + 0.1], [s, 0, -0.1]),
        "folded": (
            [-s * rng.uniform(0.1, 0.6), high, front(high) + 0.45 * (s > 0)],
            [s, -0.6, 0.7],
        ),
        "up": (
            [s * rng.uniform(1.0, 2.2), head[1] + rng.uniform(0.2, 2.5), rng.uniform(0.2, 1.2)],
            [s, -0.4, 0.1],
        ),
    }
    goal, pole = goals[kind]
    return np.array(goal, float), np.array(pole, float)


def normal_of(rng: np.random.Generator, scale: float) -> float:
    """One normal draw as a plain float."""
    return float(rng.normal() * scale)


def _place_arm(
    human: Human,
    v: Array,
    rng: np.random.Generator,
    turns: dict[str, Array],
    side: str,
    kind: str,
    clear: float,
) -> None:
    s = 1 if side == "L" else -1
    shoulder, elbow, wrist = (
        human.joint(v, f"{b}.{side}") for b in ("upperarm01", "lowerarm01", "wrist")
    )
    u0, l0 = elbow - shoulder, wrist - elbow
    twist = normal_of(rng, 0.15)
    if kind in ("hang", "away"):
        out = rng.uniform(0.14, 0.3) if kind == "hang" else rng.uniform(0.3, 0.7)
        up = np.array([s * (out + 0.1 * clear), -1, normal_of(rng, 0.1)])
        inward = out * rng.uniform(0.2, 0.9) + (0.05 if kind == "hang" else 0)
        inward = max(inward, _past_hips(human, v, abs(shoulder[0]), u0, l0, out, clear))
        low = np.array([s * inward, -1, rng.uniform(0.05, 0.4)])
        twist += rng.uniform(0.8, 1.4)  # thumbs forward
    else:
        goal, pole = _goal(human, v, rng, s, kind, clear)
        up, low = reach(shoulder, goal, float(np.linalg.norm(u0)), float(np.linalg.norm(l0)), pole)
        twist += {"hip": -0.4, "waist": 0.1, "belt": 0.2, "pocket": 0.3}.get(kind, 0.0)
    lift = rng.uniform(-0.35, -0.15) if kind == "up" else rng.uniform(0.08, 0.24)
    turns["clavicle." + side] = rotation((0, 0, 1), -s * lift)
    share = between(u0, up, 0.12)  # the shoulder takes part of the lift
    turns["shoulder01." + side] = share
    turns["upperarm01." + side] = between(share @ u0, up, 0.6)
    above = turns["upperarm01." + side] @ share
    turns["upperarm02." + side] = between(above @ u0, up)
    above = turns["upperarm02." + side] @ above
    turns["lowerarm01." + side] = rotation(low, s * twist * 0.4) @ between(above @ l0, low)
    turns["lowerarm02." + side] = rotation(low, s * twist * 0.4)
    turns["wrist." + side] = rotation(low, s * twist * 0.2) @ rotation(rng.normal(size=3), 0.15)


def _past_hips(
    human: Human, v: Array, shoulder: float, u0: Array, l0: Array, out: float, clear: float
) -> float:
    """How far aside a hanging forearm must lean for the hand to clear hips and trousers.

    Directions are (aside, -1, .) before they are normalised; lengths in dm.
    """
    body = v[BODY][np.isin(human.part[BODY], ("torso", "thighL", "thighR"))]
    hips = float(abs(body[(body[:, 1] > -3) & (body[:, 1] < 1), 0]).max())
    elbow = shoulder + float(np.linalg.norm(u0)) * out / float(np.hypot(1, out))
    missing = hips + 0.75 + 0.3 * clear - elbow
    reach_down = float(np.linalg.norm(l0)) * 1.4  # to the knuckles
    return float(np.clip(missing / reach_down, -0.2, 0.8))


def _place_hand(
    human: Human, v: Array, rng: np.random.Generator, turns: dict[str, Array], side: str, kind: str
) -> None:
    chain = ("wrist", "lowerarm02", "lowerarm01", "upperarm02", "upperarm01", "shoulder01")
    r = np.eye(3)
    for bone in reversed(chain):
        r = turns[f"{bone}.{side}"] @ r
    across = r @ (human.joint(v, f"finger5-1.{side}") - human.joint(v, f"finger2-1.{side}"))
    curl = rng.uniform(0.5, 1.0) if rng.random() < 0.15 else rng.uniform(0.05, 0.5)
    if kind == "hip":
        curl *= 0.5
    for k in range(1, 6):
        for j in range(1, 4):
            turns[f"finger{k}-{j}.{side}"] = rotation(across, -curl * rng.uniform(0.6, 1.2))


def _place_legs(
    human: Human, v: Array, rng: np.random.Generator, turns: dict[str, Array], kind: str
) -> None:
    stride = rng.uniform(0.5, 1.3) * rng.choice((-1, 1)) if kind == "walk" else 0.0
    wide = {"apart": rng.uniform(0.12, 0.25), "walk": rng.uniform(-0.02, 0.06)}.get(
        kind, rng.uniform(0.0, 0.13)
    )
    for side, s in (("L", 1), ("R", -1)):
        x = human.joint(v, "lowerleg01." + side) - human.joint(v, "upperleg01." + side)
        forward = s * stride + normal_of(rng, 0.25)
        aside = s * 3 * (wide + (0.1 if kind == "one hip" and s > 0 else 0))
        turn = rotation((0, 1, 0), normal_of(rng, 0.08))
        turns["upperleg01." + side] = between(x, np.array([aside, -3.6, forward])) @ turn
        knee = rng.uniform(0, 0.15) + (0.35 if forward < -0.3 else 0.0) * abs(stride)
        turns["lowerleg01." + side] = rotation((1, 0, 0), knee)
