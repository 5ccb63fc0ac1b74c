"""What goes wrong before the try-on networks: key points off, parse edges off, garments askew."""

from __future__ import annotations

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.engine.decode import GROUND
from fuw.engine.framing import GARMENT_HEIGHT, GARMENT_WIDTH

SHOULDERS, WRISTS = (2, 5), (4, 7)  # right, left
LOST = {0.04: (3, 4, 6, 7), 0.1: (10, 11, 13, 14, 17, 18, 19, 20, 21, 22, 23, 24)}


def seen_points(rng: np.random.Generator, body: F32, hands: F32) -> tuple[F32, F32]:
    """Key points as a pose network reports them: some off by a few hundredths of the torso, some
    missing, a hand often not found. Pixels; (25, 3) and (2, 21, 3), missing is 0, 0, 0."""
    body, hands = body.copy(), hands.copy()
    torso = _torso(body)
    far = np.where(rng.random(25) < 0.15, 0.06, 0.02)[:, None] * torso
    for k in SHOULDERS:  # found more surely than hips and wrists
        far[k] *= 0.6
    body[:, :2] += rng.normal(0, 1, (25, 2)) * far
    for share, joints in LOST.items():
        body[[j for j in joints if rng.random() < share]] = 0
    hands[..., :2] += rng.normal(0, 0.012 * torso, hands[..., :2].shape)
    for side, wrist in enumerate(WRISTS[::-1]):  # left, right
        chance = rng.random()
        if chance < 0.25:
            hands[side] = 0
        elif chance < 0.5 and body[wrist, 2] > 0:  # points anywhere near the wrist
            lost = rng.random(21) < 0.5
            near = body[wrist, :2] + rng.normal(0, 0.15 * torso, (21, 2))
            hands[side, lost] = np.hstack([near, np.ones((21, 1))])[lost]
    for points in (body, hands):
        points[points[..., 2] <= 0] = 0
    return body, hands


def _torso(body: F32) -> float:
    neck, hip = body[1], body[8]
    if neck[2] > 0 and hip[2] > 0:
        return float(np.hypot(*(neck[:2] - hip[:2])))
    seen = body[body[:, 2] > 0, :2]
    return float(np.ptp(seen[:, 1])) / 2 if len(seen) else 1.0


def seen_parse(rng: np.random.Generator, parse: U8) -> U8:
    """Labels with wavering edges, and a few patches that took a neighbour's label; u8 (H, W)."""
    height, width = parse.shape
    flow = np.zeros((height, width, 2), np.float32)
    for cells, reach in ((6, 0.006), (24, 0.006)):
        drawn = rng.normal(0, reach * height, (cells, cells * 3 // 4, 2)).astype(np.float32)
        flow += cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    out = cv2.remap(parse, x + flow[..., 0], y + flow[..., 1], cv2.INTER_NEAREST,
                    borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        _patch(rng, out)
    return out


def _patch(rng: np.random.Generator, parse: U8) -> None:
    """An ellipse on the person takes the label of a pixel nearby; in place."""
    rows, columns = np.nonzero(parse)
    if len(rows) == 0:
        return
    k, height = int(rng.integers(len(rows))), parse.shape[0]
    y, x = int(rows[k]), int(columns[k])
    dy, dx = (int(v) for v in rng.normal(0, 0.05 * height, 2))
    label = int(parse[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, parse.shape[1] - 1)])
    radii = [max(1, int(v)) for v in rng.uniform(0.005, 0.03, 2) * height]
    cv2.ellipse(parse, (x, y), radii, float(rng.uniform(0, 180)), 0, 360, label, -1)


def garment_place(rng: np.random.Generator, mask: U8) -> F32:
    """(2, 3): garment picture -> as a Fitter lays garments out, a little off; pixel edges."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask >= 128)
    if len(rows) == 0:
        return np.eye(2, 3, dtype=np.float32)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    scale = min(GARMENT_WIDTH * width / (x1 - x0), GARMENT_HEIGHT * height / (y1 - y0))
    scale *= float(np.exp(rng.normal(-0.01, 0.03)))
    turn = np.deg2rad(rng.normal(0, 1.5))
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    to = np.array([width / 2, height / 2]) + rng.normal(0, 0.01, 2) * height
    matrix = np.array([[c, -s], [s, c]])
    return np.hstack([matrix, (to - matrix @ middle)[:, None]]).astype(np.float32)


def placed(picture: U8, matrix: F32, ground: int) -> U8:
    """The picture or mask moved by `garment_place`'s matrix; `ground` outside."""
    half = np.array([0.5, 0.5], np.float32)  # cv2 counts pixel centres
    m = matrix.copy()
    m[:, 2] += m[:, :2] @ half - half
    shrinks = abs(float(np.linalg.det(m[:, :2]))) < 0.6
    if shrinks:
        picture = cv2.GaussianBlur(picture, (3, 3), 0).astype(np.uint8)
    border = (ground,) * 3
    return cv2.warpAffine(picture, m, picture.shape[1::-1], flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=border).astype(np.uint8)


def laid_out(rng: np.random.Generator, garment: U8, mask: U8) -> tuple[U8, U8, F32]:
    """Garment, mask and the matrix, as a Fitter would have framed them."""
    matrix = garment_place(rng, mask)
    return placed(garment, matrix, GROUND[0]), placed(mask, matrix, 0), matrix


def seen_region(rng: np.random.Generator, labels: U8, upper: int) -> U8:
    """A map whose garment region is a little too large or too small, and shifted; u8 (H, W)."""
    out = labels.copy()
    reach = int(rng.integers(1, max(2, labels.shape[0] // 50) + 1))
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    region = (labels == upper).astype(np.uint8)
    if rng.random() < 0.5:
        grown = cv2.dilate(region, ellipse) > 0
        out[grown] = upper
        return out
    gone = (region > 0) & (cv2.erode(region, ellipse) == 0)
    shrunk = cv2.dilate(np.where(region > 0, 0, labels).astype(np.uint8), ellipse)
    out[gone] = shrunk[gone]
    return out
