"""Label maps: SCHP's logits to a parse map, LIP ids to VITON-HD's, and the groups of the paper.

VITON-HD's 20 ids are CIHP's: 0 background, 1 hat, 2 hair, 3 glove, 4 sunglasses, 5 upper clothes,
6 dress, 7 coat, 8 socks, 9 trousers, 10 neck and torso skin, 11 scarf, 12 skirt, 13 face,
14 left arm, 15 right arm, 16 left leg, 17 right leg, 18 left shoe, 19 right shoe. LIP's differ in
one: 10 is a jumpsuit, and the neck belongs to nobody in particular.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.fit import schp_affine, warp_places
from fuw.kernels.cpu.taps import argmax_labels, linear_taps

JUMPSUIT = NECK = 10  # the same number in LIP and in VITON-HD
UPPER, TROUSERS, FACE = 5, 9, 13
SKIN_OR_NOTHING = (0, 13, 14, 15)  # labels that a bare torso may carry in a LIP parse
TORSO_BACK, TORSO_FRONT = 1, 2  # DensePose's I

GROUPS_13 = ((0, 10), (1, 2), (4, 13), (5, 6, 7), (9, 12), (14,), (15,), (16,), (17,), (18,), (19,),
             (8,), (3, 11))
GROUPS_7 = ((0,), (2, 4, 7, 8, 9, 10, 11), (3,), (1,), (5,), (6,), (12,))
UPPER_GROUP, ARM_GROUPS = 2, (4, 5)  # of the 7

# Proportions of a head along the line nose (0) -> neck (1): the chin's place, and at least half the
# face's breadth. An adult's nose-to-chin is about 7.5 cm of the 17 to the pit of the neck.
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
def _schp_taps(places: bytes, size: int, source: int) -> F32:
    """One axis of "enlarge to `size`, then OpenCV's warpAffine": (length, source).

    `places` are the i32 bytes of `warp_places`; zero outside the crop.
    """
    at = np.frombuffer(places, np.int32)
    whole, part = at >> 5, (at & 31) / 32
    warp = np.zeros((at.size, size), np.float32)
    for index, weight in ((whole, 1 - part), (whole + 1, part)):
        inside = np.flatnonzero((index >= 0) & (index < size))
        warp[inside, index[inside]] += weight[inside].astype(np.float32)
    taps: F32 = np.matmul(warp, linear_taps(size, source, align_corners=True))
    return taps


def schp_taps(h: int, w: int, height: int, width: int, size: int = 473) -> tuple[F32, F32]:
    """Matrices (height, h) and (width, w) that take SCHP's logits (h, w) back onto the picture."""
    # The official code asks OpenCV for the inverse warp and gives it the inverse matrix, so that
    # OpenCV inverts it once more; the last bits decide some pixels.
    xs, ys = warp_places(schp_affine(height, width, size, inverse=True), height, width)
    return _schp_taps(ys.tobytes(), size, h), _schp_taps(xs.tobytes(), size, w)


def schp_labels(logits: F32, height: int, width: int, size: int = 473) -> U8:
    """SCHP's fusion logits (1, 20, h, w) -> LIP ids, u8 (height, width).

    The official order: enlarge the logits to `size` (align_corners), warp every plane back onto the
    picture, then take the arg max. None of it turns the picture, so each axis is one matrix.
    """
    rows, columns = schp_taps(logits.shape[2], logits.shape[3], height, width, size)
    return argmax_labels(logits[0], rows, columns)


@dataclass(frozen=True)
class LipRules:
    """Where `lip_to_viton` draws its lines, in pixels; f32 throughout, as the CUDA kernel has them.

    The hip line is y = hip_y + x * hip_slope. The jaw is an ellipse about the nose, `chin` long
    along the unit vector `axis` from nose to neck and `across` wide; chin 0: no nose or no neck
    seen. Bare torso is looked for from row `torso_top` on.
    """

    hip_y: float
    hip_slope: float
    nose: tuple[float, float]
    axis: tuple[float, float]
    chin: float
    across: float
    torso_top: float

    def packed(self) -> F32:
        """The nine numbers in the order of parse.cu."""
        return np.array([self.hip_y, self.hip_slope, *self.nose, *self.axis, self.chin, self.across,
                         self.torso_top], np.float32)


def lip_rules(body: F32, height: int) -> LipRules:
    """The lines for one person, BODY_25 f32 (25, 3), a missing joint (0, 0)."""
    hip_y, hip_slope = _hip_line(body)
    chin, across, axis = _jaw(body)
    shoulders = [float(body[joint, 1]) for joint in (2, 5) if _seen(body, joint)]
    torso_top = min(shoulders) - 0.1 * height if shoulders else 0.0
    nose = float(body[0, 0]), float(body[0, 1])
    return LipRules(hip_y, hip_slope, nose, axis, chin, across, torso_top)


def lip_to_viton(parse: U8, body: F32, iuv: U8 | None = None) -> U8:
    """LIP ids -> VITON-HD ids, u8 (H, W). Not from the paper: its bridge from SCHP to CIHP labels.

    A jumpsuit becomes upper clothes above the line through the hips and trousers below it. Face
    pixels below the jaw become neck (10). With DensePose's `iuv` u8 (H, W, 3), torso pixels that
    carry no cloth become neck as well.
    """
    rules = lip_rules(body, parse.shape[0])
    result = parse.copy()
    ys, xs = np.nonzero(parse == JUMPSUIT)
    hip = np.float32(rules.hip_y) + xs.astype(np.float32) * np.float32(rules.hip_slope)
    result[ys, xs] = np.where(ys < hip, UPPER, TROUSERS)
    if rules.chin:
        _mark_neck(result, parse, rules)
    if iuv is not None:
        torso = (iuv[:, :, 0] == TORSO_FRONT) | (iuv[:, :, 0] == TORSO_BACK)
        torso &= (np.arange(parse.shape[0]) >= rules.torso_top)[:, None]
        ys, xs = np.nonzero(torso)
        bare = np.isin(parse[ys, xs], SKIN_OR_NOTHING)
        result[ys[bare], xs[bare]] = NECK
    return result


def _seen(body: F32, joint: int) -> bool:
    return bool(body[joint, 0] != 0 or body[joint, 1] != 0)


def _hip_line(body: F32) -> tuple[float, float]:
    """y at x = 0, and slope: through the hips, else by the shoulders, else below the picture."""
    (rx, ry), (lx, ly) = ((float(body[joint, 0]), float(body[joint, 1])) for joint in (9, 12))
    if _seen(body, 9) and _seen(body, 12) and rx != lx:
        slope = (ly - ry) / (lx - rx)
        return ry - rx * slope, slope
    if _seen(body, 9) or _seen(body, 12):
        return max(ry, ly), 0.0
    if _seen(body, 2) and _seen(body, 5):
        shoulders = body[[2, 5], :2].astype(float)
        # An adult's hips lie about one and a half shoulder breadths below the shoulders.
        breadth = float(np.linalg.norm(shoulders[0] - shoulders[1]))
        return float(shoulders[:, 1].mean()) + 1.5 * breadth, 0.0
    return float("inf"), 0.0


def _jaw(body: F32) -> tuple[float, float, tuple[float, float]]:
    """chin, across, axis of the half ellipse that a face ends with; all 0 without nose or neck."""
    if not (_seen(body, 0) and _seen(body, 1)):
        return 0.0, 0.0, (0.0, 0.0)
    dx, dy = (float(v) for v in body[1, :2].astype(float) - body[0, :2])
    length = float(np.hypot(dx, dy))
    if length == 0:
        return 0.0, 0.0, (0.0, 0.0)
    across = HALF_FACE * length
    ears = [body[ear, :2].astype(float) for ear in (17, 18) if _seen(body, ear)]
    if len(ears) == 2:
        across = max(across, 0.5 * float(np.linalg.norm(ears[0] - ears[1])))
    elif ears:  # a turned head: the cheek that shows reaches from the nose to its ear
        across = max(across, float(np.linalg.norm(ears[0] - body[0, :2])))
    return CHIN * length, across, (dx / length, dy / length)


def _mark_neck(result: U8, parse: U8, rules: LipRules) -> None:
    """Face pixels outside the jaw become neck: t runs along the axis in chins, s across it."""
    ys, xs = np.nonzero(parse == FACE)
    x = xs.astype(np.float32) - np.float32(rules.nose[0])
    y = ys.astype(np.float32) - np.float32(rules.nose[1])
    ax, ay = (np.float32(v) for v in rules.axis)
    t = (x * ax + y * ay) / np.float32(rules.chin)
    s = (y * ax - x * ay) / np.float32(rules.across)
    # From half-way to the chin on: higher up, what lies outside the ellipse is an ear or a cheek.
    neck = (t > np.float32(0.5)) & (t * t + s * s > np.float32(1))
    result[ys[neck], xs[neck]] = NECK
