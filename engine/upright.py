"""Which way up a garment lies, read from its mask alone: mirror symmetry and what the hull adds."""

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import U8

SIDE = 160  # pixels of the square in which shapes are compared
MIN_SYMMETRY = 0.7  # IoU of the mask with its mirror image that makes an axis an axis
TALL_WEIGHT = 0.2  # for ln(height / width), against an IoU
# By how much a turned axis must beat the upright one. People lay garments down a little askew or
# turn the camera by a quarter; what lies between is more often a spread sleeve.
GAIN, GAIN_BETWEEN = 0.10, 0.30


def upright_angle(mask: U8) -> float:
    """Degrees to turn the photo clockwise so that the garment hangs neck up: -180 < angle <= 180.

    The garment's axis is the line about which its mask (u8 (H, W), 128 and more inside) is most
    symmetric. A garment that is nearly as symmetric upright stays (0): folded sleeves are no
    tilt. One on its side is turned to the end that looks like a neck; one upside down stays.

    Measured on 81 masks (72 of them cut out of floors and hangers by GrabCut, ragged): upright
    95 % stay, tilts up to 30 degrees 83 % right, quarter turns 65 % right, 30 % left alone.
    """
    shape = _normalised(mask)
    if shape is None:
        return 0.0
    scores = {angle: _axis_score(shape, angle) - _doubt(angle) for angle in range(-90, 90, 5)}
    best = max(scores, key=lambda angle: scores[angle])
    if best == 0 or _symmetry(shape, best) < MIN_SYMMETRY:
        return 0.0
    best = max(range(best - 4, best + 5), key=lambda a: _axis_score(shape, a))
    if abs(best) <= 45:
        return float(best)
    over = best + 180 if best <= 0 else best - 180
    return float(max(best, over, key=lambda a: neck_score(_rotated(shape, a))))


def neck_score(shape: U8) -> float:
    """How much more the upper end looks like a neck than the lower one, about -0.1..0.1.

    A hem is straight; a neck, be it an opening, a collar or sloping shoulders, is not. Compared
    is the outline's mean distance from a straight line, as a share of the garment's height, over
    the middle 60 % of the body (the columns filled throughout the middle third: no sleeves).
    """
    inside = shape >= 128
    rows = np.flatnonzero(inside.any(1))
    if len(rows) < 9:
        return 0.0
    middle = inside[rows[len(rows) // 3]:rows[2 * len(rows) // 3]]
    body = np.flatnonzero(middle.mean(0) > 0.97)
    if len(body) < 8:
        return 0.0
    margin = len(body) // 5
    columns = inside[:, body[0] + margin:body[-1] + 1 - margin]
    columns = columns[:, columns.any(0)]
    upper, lower = columns.argmax(0), columns[::-1].argmax(0)
    return (_unevenness(upper) - _unevenness(lower)) / len(rows)


def _unevenness(heights: npt.NDArray[np.integer]) -> float:
    at = np.arange(len(heights))
    return float(np.abs(heights - np.polyval(np.polyfit(at, heights, 1), at)).mean())


def _normalised(mask: U8) -> U8 | None:
    """The mask about its centre of mass in a square that holds every turn; None if empty."""
    step = max(1, max(mask.shape) // 256)  # 256 pixels across are plenty to judge symmetry
    small = (mask[::step, ::step] >= 128).astype(np.uint8)
    y, x = np.nonzero(small)
    if len(y) < 50:
        return None
    radius = np.hypot(x - x.mean(), y - y.mean()).max()
    scale = (SIDE / 2 - 1) / max(radius, 1.0)
    matrix = np.array([[scale, 0, SIDE / 2 - scale * x.mean()],
                       [0, scale, SIDE / 2 - scale * y.mean()]])
    return np.asarray(cv2.warpAffine(small * 255, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA),
                      np.uint8)


def _rotated(shape: U8, angle: float) -> U8:
    """Turned clockwise by `angle` degrees about the middle."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), -angle, 1)
    return np.asarray(cv2.warpAffine(shape, matrix, (SIDE, SIDE)), np.uint8)


def _doubt(angle: int) -> float:
    return 0.0 if angle == 0 else GAIN_BETWEEN if 45 < abs(angle) < 75 else GAIN


def _axis_score(shape: U8, angle: float) -> float:
    """Symmetry, and a little for standing tall: a sleeveless top is symmetric about both axes."""
    y, x = np.nonzero(_rotated(shape, angle) >= 128)
    tall = (np.ptp(y) + 1) / (np.ptp(x) + 1)
    return _symmetry(shape, angle) + TALL_WEIGHT * float(np.log(tall))


def _symmetry(shape: U8, angle: float) -> float:
    """IoU of the turned shape with its left-right mirror image."""
    a = _rotated(shape, angle) >= 128
    b = a[:, ::-1]
    return float((a & b).sum() / max(1, (a | b).sum()))
