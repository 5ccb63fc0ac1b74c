"""Label maps: SCHP's logits to a parse map, LIP ids to VITON-HD's, and the groups of the paper.

VITON-HD's 20 ids are CIHP's: 0 background, 1 hat, 2 hair, 3 glove, 4 sunglasses, 5 upper clothes,
6 dress, 7 coat, 8 socks, 9 trousers, 10 neck and torso skin, 11 scarf, 12 skirt, 13 face,
14 left arm, 15 right arm, 16 left leg, 17 right leg, 18 left shoe, 19 right shoe. LIP's differ in
one: 10 is a jumpsuit, and the neck belongs to nobody in particular.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.fit import schp_affine
from fuw.kernels.cpu.taps import argmax_labels, linear_taps

JUMPSUIT = NECK = 10  # the same number in LIP and in VITON-HD
UPPER, TROUSERS, FACE = 5, 9, 13
SKIN_OR_NOTHING = (0, 13, 14, 15)  # labels that a bare torso may carry in a LIP parse
TORSO_BACK, TORSO_FRONT = 1, 2  # DensePose's I

GROUPS_13 = ((0, 10), (1, 2), (4, 13), (5, 6, 7), (9, 12), (14,), (15,), (16,), (17,), (18,), (19,),
             (8,), (3, 11))
GROUPS_7 = ((0,), (2, 4, 7, 8, 9, 10, 11), (3,), (1,), (5,), (6,), (12,))

# Proportions of a frontal head along the line nose (0) -> neck (1): the chin's place, and half the
# face's breadth where the ears are not seen. Measured on adults' frontal photographs.
CHIN, HALF_FACE = 0.45, 0.42


def _table(groups: tuple[tuple[int, ...], ...]) -> U8:
    table = np.zeros(256, np.uint8)
    for group, ids in enumerate(groups):
        table[list(ids)] = group
    return table


TABLE_13, TABLE_7 = _table(GROUPS_13), _table(GROUPS_7)


def group13(parse: U8) -> U8:
    """20 ids -> the 13 groups of the segmentation generator, u8 (H, W)."""
    groups: U8 = TABLE_13[parse]
    return groups


def group7(parse13: U8) -> U8:
    """13 groups -> the 7 of the matcher and of ALIAS: 0 background, 1 kept, 2 upper, 3 hair,
    4 and 5 arms, 6 gloves and scarf; u8 (H, W)."""
    groups: U8 = TABLE_7[parse13]
    return groups


def one_hot(labels: U8, n: int) -> F32:
    """Labels u8 (H, W) -> f32 (1, n, H, W) of zeros and ones; ids from n on are nowhere one."""
    ids = np.arange(n, dtype=np.uint8)[:, None, None]
    return np.equal(labels[None], ids).astype(np.float32)[None]


@lru_cache(maxsize=8)
def _schp_taps(length: int, scale: float, offset: float, size: int, source: int) -> F32:
    """One axis of "enlarge to `size`, then OpenCV's warpAffine": (length, source).

    OpenCV rounds source positions to 1/32 pixel from 10-bit fixed point; zero outside the crop.
    """
    fixed = np.rint(np.arange(length) * scale * 1024) + np.rint(offset * 1024) + 16
    at = fixed.astype(np.int64) >> 5
    whole, part = at >> 5, (at & 31) / 32
    warp = np.zeros((length, size), np.float32)
    for index, weight in ((whole, 1 - part), (whole + 1, part)):
        inside = np.flatnonzero((index >= 0) & (index < size))
        warp[inside, index[inside]] += weight[inside].astype(np.float32)
    taps: F32 = np.matmul(warp, linear_taps(size, source, align_corners=True))
    return taps


def schp_labels(logits: F32, height: int, width: int, size: int = 473) -> U8:
    """SCHP's fusion logits (1, 20, h, w) -> LIP ids, u8 (height, width).

    The official order: enlarge the logits to `size` (align_corners), warp every plane back onto the
    picture, then take the arg max. None of it turns the picture, so each axis is one matrix.
    """
    matrix = schp_affine(height, width, size, inverse=True)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    rows = _schp_taps(height, float(back[1, 1]), float(back[1, 2]), size, logits.shape[2])
    columns = _schp_taps(width, float(back[0, 0]), float(back[0, 2]), size, logits.shape[3])
    return argmax_labels(logits[0], rows, columns)


def lip_to_viton(parse: U8, body: F32, iuv: U8 | None = None) -> U8:
    """LIP ids -> VITON-HD ids, u8 (H, W). Not from the paper: its bridge from SCHP to CIHP labels.

    body is BODY_25 f32 (25, 3) in pixels, a missing joint (0, 0). A jumpsuit becomes upper clothes
    above the line through the hips and trousers below it. Face pixels below the jaw become neck
    (10). With DensePose's `iuv` u8 (H, W, 3), torso pixels without any cloth become neck as well.
    """
    result = parse.copy()
    if np.any(parse == JUMPSUIT):
        _split_jumpsuit(result, body)
    _mark_neck(result, parse, body)
    if iuv is not None:
        torso = (iuv[:, :, 0] == TORSO_FRONT) | (iuv[:, :, 0] == TORSO_BACK)
        bare = np.zeros(256, bool)
        bare[list(SKIN_OR_NOTHING)] = True
        result[torso & bare[parse] & _below_shoulders(body, parse.shape)] = NECK
    return result


def _seen(body: F32, joint: int) -> bool:
    return bool(body[joint, 0] != 0 or body[joint, 1] != 0)


def _split_jumpsuit(result: U8, body: F32) -> None:
    """Above the hips 5, below 9; without hips by the shoulders' breadth, without those all 5."""
    ys, xs = np.nonzero(result == JUMPSUIT)
    hip_y: float | npt.NDArray[np.float64]
    right, left = body[9, :2].astype(float), body[12, :2].astype(float)
    if _seen(body, 9) and _seen(body, 12) and right[0] != left[0]:
        hip_y = right[1] + (xs - right[0]) * (left[1] - right[1]) / (left[0] - right[0])
    elif _seen(body, 9) or _seen(body, 12):
        hip_y = max(right[1], left[1])
    elif _seen(body, 2) and _seen(body, 5):
        shoulders = body[[2, 5], :2].astype(float)
        # An adult's hips lie about one and a half shoulder breadths below the shoulders.
        hip_y = shoulders[:, 1].mean() + 1.5 * float(np.linalg.norm(shoulders[0] - shoulders[1]))
    else:
        hip_y = float("inf")
    result[ys, xs] = np.where(ys < hip_y, UPPER, TROUSERS)


def _mark_neck(result: U8, parse: U8, body: F32) -> None:
    """Face pixels outside the jaw's half ellipse about the nose: t along nose -> neck, s across."""
    if not (_seen(body, 0) and _seen(body, 1)):
        return
    ys, xs = np.nonzero(parse == FACE)
    nose = body[0, :2].astype(float)
    axis = body[1, :2].astype(float) - nose
    length = float(np.hypot(*axis))
    if length == 0 or ys.size == 0:
        return
    axis /= length
    across = HALF_FACE * length
    if _seen(body, 17) and _seen(body, 18):
        across = max(across, 0.5 * float(np.linalg.norm(body[17, :2] - body[18, :2])))
    t = (xs - nose[0]) * axis[0] + (ys - nose[1]) * axis[1]
    s = (ys - nose[1]) * axis[0] - (xs - nose[0]) * axis[1]
    chin = CHIN * length
    # From half-way to the chin on: higher up, what lies outside the ellipse is an ear or a cheek.
    neck = (t > 0.5 * chin) & ((t / chin) ** 2 + (s / across) ** 2 > 1)
    result[ys[neck], xs[neck]] = NECK


def _below_shoulders(body: F32, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Rows where bare torso may be: from a little above the shoulders on (all, without them)."""
    seen = [float(body[joint, 1]) for joint in (2, 5) if _seen(body, joint)]
    top = min(seen) - 0.1 * shape[0] if seen else 0.0
    rows: npt.NDArray[np.bool_] = (np.arange(shape[0]) >= top)[:, None]
    return rows
