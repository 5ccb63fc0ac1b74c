"""Cut a garment out of a real photo and find its corners: neck, cuffs, armpits, hem."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

from fuw.starter.figures.fabric import F32
from fuw.starter.figures.mesh import Array

WIDTH, HEIGHT = 192, 256  # the size at which photos are examined
Side = dict[str, Any]  # corner name -> (x, y), and "index": corner name -> number on the outline
Corners = dict[str, Side]  # "image_left", "image_right"


def cut_out(photo: F32, rng: np.random.Generator) -> Array | None:
    """Garment mask (256, 192) 0/1 of a photo (sRGB 0..1) by GrabCut from a centred guess.

    None unless one clean, roughly symmetric piece comes out.
    """
    image = (photo * 255).astype(np.uint8)
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    border = np.concatenate(
        [lab[:10].reshape(-1, 3), lab[:, :8].reshape(-1, 3), lab[:, -8:].reshape(-1, 3)]
    )
    guess = np.full((HEIGHT, WIDTH), cv2.GC_PR_BGD, np.uint8)
    guess[30:235, 18:174] = cv2.GC_PR_FGD
    samples = border[rng.choice(len(border), 40)]
    far = np.stack([np.linalg.norm(lab - c, axis=2) for c in samples]).min(0)
    guess[(far < 6) & (guess == cv2.GC_PR_FGD)] = cv2.GC_PR_BGD
    guess[70:190, 70:122] = cv2.GC_PR_FGD
    guess[:5], guess[-4:], guess[:, :4], guess[:, -4:] = (cv2.GC_BGD,) * 4
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(small[..., ::-1].copy(), guess, None, *models, 4, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one of its two colour models found no pixels: not a usable photo
        return None
    return clean_piece(((guess == 1) | (guess == 3)).astype(np.uint8))


def clean_piece(m: Array) -> Array | None:
    """The largest piece, holes filled, if it is whole, inside the picture and symmetric."""
    m = cv2.morphologyEx(m, cv2.MORPH_OPEN, np.ones((5, 5)))
    n, pieces, stats, _ = cv2.connectedComponentsWithStats(m)
    if n < 2:
        return None
    k = 1 + stats[1:, 4].argmax()
    x, y, w, h, area = stats[k]
    m = (pieces == k).astype(np.uint8)
    outline, _ = cv2.findContours(m, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    m = cv2.drawContours(np.zeros_like(m), outline, -1, 1, -1)
    middle = int(round(x + w / 2))
    half = min(middle, WIDTH - middle)
    a, b = m[:, middle - half : middle], m[:, middle : middle + half][:, ::-1]
    symmetry = (a & b).sum() / max((a | b).sum(), 1)
    inside = x > 4 and y > 5 and x + w < WIDTH - 5 and y + h < HEIGHT - 5
    whole = 0.14 < m.mean() < 0.72 and area / max(m.sum(), 1) > 0.93
    return m if inside and whole and symmetry > 0.84 else None


def corners(m: Array) -> tuple[Array, Corners] | None:
    """Outline (n, 2) and both sides' corners; None if they are unclear."""
    contours = cv2.findContours(m, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    c = max(contours, key=len)[:, 0].astype(float)
    x0, x1, y0, y1 = c[:, 0].min(), c[:, 0].max(), c[:, 1].min(), c[:, 1].max()
    hull = cv2.convexHull(c.astype(np.int32), returnPoints=False)
    defects = cv2.convexityDefects(c.astype(np.int32), np.sort(hull, 0)[::-1])
    if defects is None:
        return None
    found: Corners = {}
    for side, sign in (("image_left", -1), ("image_right", 1)):
        corner = _side(c, defects.reshape(-1, 4), sign, (x0, y0, x1 - x0, y1 - y0))
        if corner is None:
            return None
        found[side] = corner
    a, b = found["image_left"], found["image_right"]
    h, w = y1 - y0, x1 - x0
    level = (
        abs(a["pit"][1] - b["pit"][1]) <= 0.12 * h and abs(a["hem"][1] - b["hem"][1]) <= 0.12 * h
    )
    return (c, found) if level and b["pit"][0] - a["pit"][0] >= 0.25 * w else None


def _nearest(c: Array, p: Array) -> int:
    return int(np.hypot(*(c - p).T).argmin())


def _side(c: Array, defects: Array, sign: int, box: tuple[float, float, float, float],
          ) -> Side | None:
    """The corners of one side (sign -1 left, 1 right) of the outline c in its box x, y, w, h."""
    x0, y0, w, h = box
    n, cx = len(c), x0 + w / 2
    best = _armpit(c, defects, sign, box)
    if best is None:
        return None
    ends = sorted((c[best[0]], c[best[1]]), key=lambda p: -(p[0] - cx) * sign)
    inner, pit = ends[0], c[best[2]]  # the outer end is the cuff
    i, k = _nearest(c, inner), int(best[2])
    upper = (abs(c[:, 0] - cx) < 0.3 * w) & (c[:, 1] < y0 + 0.35 * h)
    top = c[upper & ((c[:, 0] - cx) * sign > 0.03 * w)]
    if len(top) == 0:
        return None
    neck = top[(top @ [sign * 0.25, -1.0]).argmax()]
    j = _nearest(c, neck)
    step = 1 if (i - k) % n < (k - i) % n else -1
    path = c[(i + step * np.arange(((j - i) * step) % n + 1)) % n]
    down = c[(k - step * np.arange(n // 2)) % n]  # the other way from the armpit, to the hem
    crossing = np.flatnonzero((down[:, 0] - cx) * sign < 0)
    down = down[: crossing[0] if len(crossing) else n]
    if len(path) < 15 or len(down) < 10:
        return None
    outer = _outer_cuff(path, inner, pit, neck, w)
    hem = down[(down @ [sign * 0.8, 1.0]).argmax()]
    points: Side = {"pit": pit, "inner": inner, "outer": outer, "neck": neck, "hem": hem}
    return {**points, "index": {name: _nearest(c, p) for name, p in points.items()}}


def _armpit(c: Array, defects: Array, sign: int, box: tuple[float, float, float, float],
            ) -> Array | None:
    """The convexity defect of the armpit: the deepest dent at middle height."""
    x0, y0, w, h = box
    deep = [d for d in defects
            if (c[d[2]][0] - x0 - w / 2) * sign > 0.12 * w
            and y0 + 0.2 * h < c[d[2]][1] < y0 + 0.7 * h and d[3] / 256 > 0.03 * h]
    return max(deep, key=lambda d: d[3]) if deep else None


def _outer_cuff(path: Array, inner: Array, pit: Array, neck: Array, w: float) -> Array:
    """The sharpest corner of the outline from the inner cuff, away from the armpit, to the neck."""
    along = (inner - pit) / max(np.linalg.norm(inner - pit), 1)
    across = np.array([along[1], -along[0]])
    across = across if across @ (neck - inner) > 0 else -across
    q = path - inner
    lateral = q @ across
    near = (lateral > 0.04 * w) & (lateral < 0.26 * w)
    return np.asarray(path[np.where(near, q @ along + 0.6 * lateral, -1e9).argmax()])


def arc(c: Array, i: int, j: int, k: int) -> Array:
    """k interior points of a closed outline between points i and j, the short way round."""
    n = len(c)
    d = (j - i) % n
    share = np.arange(1, k + 1) / (k + 1)
    index = i + (share * d if d <= n - d else -share * (n - d))
    return np.asarray(c[np.round(index).astype(int) % n])


class Candidate(NamedTuple):
    """A photo that cuts out and landmarks cleanly."""

    path: str  # relative to the garments folder
    kind: str
    mask: Array  # (256, 192) 0/1
    outline: Array
    corners: Corners
