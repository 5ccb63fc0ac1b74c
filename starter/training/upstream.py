"""What goes wrong before the try-on networks: key points off, parse edges off, garments askew."""

from __future__ import annotations

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.engine.decode import GROUND
from fuw.engine.framing import GARMENT_HEIGHT, GARMENT_WIDTH, person_frame

FRAMED = 0.85  # share of people that are cut from head to thigh
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


def person_place(rng: np.random.Generator | None, photo: U8, body: F32,
                 size: tuple[int, int]) -> F32:
    """(2, 3): photo -> the picture of `size` as a Fitter would cut it (mostly), a little off."""
    height, width = size
    scale = height / photo.shape[0]
    whole = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    if rng is None or rng.random() > FRAMED or not body[[1, 8], 2].all():
        return whole
    frame = person_frame(photo, body, size)
    zoom = float(np.exp(rng.normal(0, 0.04)))
    x, y = rng.normal(0, 0.012, 2) * height
    scale = frame.scale * zoom
    return np.array([[scale, 0, width / 2 + x - scale * frame.x],
                     [0, scale, height / 2 + y - scale * frame.y]], np.float32)


def _centres(matrix: F32) -> F32:
    """The matrix between pixel edges as cv2 wants it, between pixel centres."""
    half = np.array([0.5, 0.5], np.float32)
    out = matrix.copy()
    out[:, 2] += out[:, :2] @ half - half
    return out


def placed(picture: U8, matrix: F32, ground: tuple[int, int, int],
           size: tuple[int, int] | None = None) -> U8:
    """The picture (or mask) moved by a matrix (2, 3) between pixel edges; `ground` outside."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.8:  # against aliasing
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / scale).astype(np.uint8)
    height, width = size or picture.shape[:2]
    return cv2.warpAffine(picture, _centres(matrix), (width, height), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=ground).astype(np.uint8)


def placed_labels(labels: U8, matrix: F32, size: tuple[int, int]) -> U8:
    """Labels u8 (H, W) moved likewise, by nearest neighbour; 0 outside."""
    return cv2.warpAffine(labels, _centres(matrix), size[::-1], flags=cv2.INTER_NEAREST,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=(0,)).astype(np.uint8)


def placed_points(points: F32, matrix: F32, size: tuple[int, int]) -> F32:
    """Points (..., 3: x, y, score) moved likewise; those that leave the picture are missing."""
    out = points.copy()
    out[..., :2] = (points[..., :2] + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5
    x, y = out[..., 0], out[..., 1]
    out[(points[..., 2] <= 0) | (x < 0) | (y < 0) | (x >= size[1]) | (y >= size[0])] = 0
    return out


def laid_out(rng: np.random.Generator, garment: U8, mask: U8) -> tuple[U8, U8, F32]:
    """Garment, mask and the matrix, as a Fitter would have framed them."""
    matrix = garment_place(rng, mask)
    return placed(garment, matrix, GROUND), placed(mask, matrix, (0, 0, 0)), matrix


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
