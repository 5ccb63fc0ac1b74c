"""Contact sheets: figures with their labels side by side, to look at."""

from __future__ import annotations

import cv2
import numpy as np

from fuw.starter.figures.sample_io import U8, Dressed, Figure

LIMBS = (
    (1, 8), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12),
    (12, 13), (13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18),
    (14, 19), (14, 21), (11, 22), (11, 24),
)  # fmt: skip
FINGERS = tuple((0, 4 * f + 1) for f in range(5)) + tuple(
    (4 * f + k, 4 * f + k + 1) for f in range(5) for k in (1, 2, 3)
)


def label_colours() -> U8:
    """Twenty distinct colours (20, 3), ground black."""
    hsv = np.array(
        [[[(k * 47) % 180, 200 if k % 2 else 140, 255 if k % 3 else 170]] for k in range(20)],
        np.uint8,
    )
    out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[:, 0]
    out[0] = 0
    return np.asarray(out, np.uint8)


def skeleton(figure: Figure, d: Dressed) -> U8:
    """The darkened person with body and hand bones."""
    out = (d.person * 0.3).astype(np.uint8)
    for points, pairs, thick in ((figure.body, LIMBS, 3), *((h, FINGERS, 1) for h in figure.hands)):
        for k, (a, b) in enumerate(pairs):
            if points[a, 2] and points[b, 2]:
                hsv = np.array([[[k * 180 // len(pairs), 255, 255]]], np.uint8)
                ink = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
                p, q = (tuple(int(x) for x in points[i, :2]) for i in (a, b))
                cv2.line(out, p, q, ink, thick, cv2.LINE_AA)
    return out


def transferred(d: Dressed) -> U8:
    """The product's pixels moved onto the darkened person by the correspondence."""
    out = (d.person * 0.3).astype(np.uint8)
    ok = np.isfinite(d.corr[..., 0])
    step = d.garment.shape[0] // d.corr.shape[0]
    for (x, y), c in zip(d.corr[ok].astype(int), d.garment[::step, ::step][ok], strict=True):
        out[y : y + 3, x : x + 3] = c
    return out


def row(figure: Figure, size: tuple[int, int] = (192, 256), labels: bool = True) -> U8:
    """One line of the sheet: both dressings with their labels, or only the pictures."""
    cells = []
    for d in (figure.a, figure.b):
        cells += [d.person, d.garment]
        if labels:
            cells += [label_colours()[d.parse], transferred(d)]
    if labels:
        part = figure.a.iuv[..., 0]
        cells += [
            skeleton(figure, figure.a),
            np.dstack([part * 10, figure.a.iuv[..., 1], figure.a.iuv[..., 2]]),
        ]
    return np.hstack([cv2.resize(c, size, interpolation=cv2.INTER_AREA) for c in cells])
