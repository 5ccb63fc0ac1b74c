"""Where to cut: a whole photo, a person from head to thigh, a garment upright on light grey.

The numbers are measured on VITON-HD (4 people with official key points, 6 garments with
official masks, 768x1024), since the try-on networks know nothing else.
"""

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, I64, U8
from fuw.engine.decode import GROUND
from fuw.engine.frame import Frame, filled
from fuw.engine.upright import upright_angle

SIZE = (1024, 768)  # height, width

# BODY_25 indices.
_NOSE, _NECK, _HIP = 0, 1, 8
_SHOULDERS, _ARMS = (2, 5), (3, 4, 6, 7)

# Shares of the picture's height: VITON-HD 0.31..0.36 and 0.31..0.44; an already framed photo
# may be off by half as much again.
NECK_Y, TORSO = 0.336, 0.381
NOSE_Y = 0.12  # 0.12..0.19; with less the crown is cut
NECK_RANGE, TORSO_RANGE = (0.24, 0.46), (0.28, 0.50)
CENTRE_RANGE = (0.36, 0.64)  # the body's middle as a share of the width: 0.48..0.53
TORSO_PER_SHOULDERS, TORSO_PER_NECK = 1.46, 2.1  # neck to mid-hip over shoulders, nose to neck

# The garment's bounding box fills one of these, about the middle, at 1024x768.
GARMENT_WIDTH, GARMENT_HEIGHT = 622 / 768, 904 / 1024
GARMENT_FILL = (0.85, 1.1)  # share of that which counts as framed already


def background(photo: U8) -> tuple[int, int, int]:
    """The colour of the photo's own background: median of its top, left and right border.

    Not of the bottom, where the person usually runs out of the picture.
    """
    height, width = photo.shape[:2]
    band = max(1, min(height, width) // 50)
    strips = [photo[:band], photo[:, :band], photo[:, -band:]]
    border = np.concatenate([s[::1 + s.shape[0] // 256, ::1 + s.shape[1] // 256].reshape(-1, 3)
                             for s in strips])
    r, g, b = (int(v) for v in np.median(border, axis=0))
    return r, g, b


def whole_frame(photo: U8, size: tuple[int, int] = SIZE,
                ground: tuple[int, int, int] | None = None) -> Frame:
    """The whole photo, as large as it fits, in the middle; bands in the background's colour.

    A photo of exactly `size` comes out bit for bit.
    """
    height, width = photo.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    return Frame((height, width), size, width / 2, height / 2, scale,
                 background(photo) if ground is None else ground)


def person_frame(photo: U8, body: F32, size: tuple[int, int] = SIZE) -> Frame:
    """Head to thigh, as VITON-HD's people stand in their pictures.

    body: BODY_25 f32 (25, 3) in pixels of the photo. Neck and hips set the height, the arms may
    widen it by a third, and the rectangle moves and shrinks a little to stay inside the photo;
    what is still outside is padded. A 3:4 photo that is framed like this already is only resized
    (at `size` nothing is), and so is one without neck and a measure of the torso.
    """
    found = _spine(body)
    if found is None or _framed_already(photo, found, size):
        return whole_frame(photo, size)
    neck_y, torso, x = found
    height, width = photo.shape[:2]
    aspect = size[1] / size[0]
    tall = torso / TORSO
    x, tall = _with_arms(body, x, tall, aspect)
    nose_y = float(body[_NOSE, 1]) if body[_NOSE, 2] > 0 else None
    top, tall = _inside(neck_y, nose_y, tall, height)
    left = _nudged(x - aspect * tall / 2, aspect * tall, width)
    return Frame((height, width), size, left + aspect * tall / 2, top + tall / 2, size[0] / tall,
                 background(photo))


def garment_frame(photo: U8, mask: U8, size: tuple[int, int] = SIZE) -> Frame:
    """The garment upright, in the middle, as large as VITON-HD shows it, on light grey.

    mask: u8 (H, W) of the photo, 128 and more inside; specks are ignored. A garment that is
    placed like this already is left alone: at `size` the photo comes out bit for bit. An empty
    mask gives the whole photo.
    """
    main = largest_parts(mask)
    if not main.any():
        return whole_frame(photo, size, GROUND)
    angle = upright_angle(main)
    x, y, wide, tall = _turned_box(main, angle)
    if angle == 0 and _placed_already(photo, x, y, wide, tall, size):
        return whole_frame(photo, size, GROUND)
    scale = min(GARMENT_WIDTH * size[1] / wide, GARMENT_HEIGHT * size[0] / tall)
    return Frame((photo.shape[0], photo.shape[1]), size, x, y, scale, GROUND, angle)


def on_ground(image: U8, mask: U8) -> U8:
    """Replace what lies outside the mask by VITON-HD's light grey (246).

    image: u8 (H, W, 3), mask: u8 (H, W), soft values blend. A picture whose ground is that grey
    already is returned as it is, with its soft shadows.
    """
    outside = (mask < 8).view(np.uint8)
    counts = np.stack([cv2.calcHist([image], [c], outside, [256], [0, 256])[:, 0]
                       for c in range(3)]).astype(np.int64)
    if not counts.any() or (np.abs(_medians(counts) - GROUND).max() <= 3
                            and _deviation(counts.sum(0)) < 12):
        return image
    # One pixel in, so that the old background does not shine through the edge.
    soft = cv2.blur(cv2.erode(mask, np.ones((3, 3), np.uint8)), (3, 3))
    ground = np.array(GROUND, np.float32)
    out = filled(image.shape, GROUND)
    cv2.copyTo(image, (soft == 255).view(np.uint8), out)
    edge = np.flatnonzero((soft > 0) & (soft < 255))  # only there anything is blended
    alpha = soft.reshape(-1)[edge].astype(np.float32)[:, None] / 255
    mixed = ground + (image.reshape(-1, 3)[edge] - ground) * alpha
    out.reshape(-1, 3)[edge] = np.rint(mixed).astype(np.uint8)
    return out


def _medians(counts: I64) -> npt.NDArray[np.float64]:
    """Median of each row's histogram (n, 256), none of them empty."""
    below, total = counts.cumsum(1), counts.sum(1)
    low = (below > ((total - 1) // 2)[:, None]).argmax(1)
    high = (below > (total // 2)[:, None]).argmax(1)
    return np.asarray((low + high) / 2)


def _deviation(counts: I64) -> float:
    """Standard deviation of the values of one histogram (256,)."""
    values = np.arange(256)
    mean = float(counts @ values) / counts.sum()
    return float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


def largest_parts(mask: U8, least: float = 0.1) -> U8:
    """Keep the connected parts that have at least `least` of the largest one's area; 0 or 255."""
    inside = (mask >= 128).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count <= 2:
        return inside * np.uint8(255)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    keep = np.where(area >= least * area.max(), np.uint8(255), np.uint8(0))
    keep[0] = 0
    return np.asarray(keep[labels], np.uint8)


def _spine(body: F32) -> tuple[float, float, float] | None:
    """Neck height, torso length (neck to mid-hip) and the body's middle x; None if not seen."""
    seen = body[:, 2] > 0
    if not seen[_NECK]:
        return None
    neck = body[_NECK, :2].astype(float)
    guesses = [0.0]
    if seen[list(_SHOULDERS)].all():
        right, left = body[list(_SHOULDERS), :2].astype(float)
        guesses.append(TORSO_PER_SHOULDERS * float(np.hypot(*(right - left))))
    if seen[_NOSE]:
        guesses.append(TORSO_PER_NECK * float(np.hypot(*(body[_NOSE, :2] - neck))))
    torso, x = max(guesses), float(neck[0])
    if seen[_HIP]:
        hip = body[_HIP, :2].astype(float)
        # Hips found too high (a belt, a short jacket) would cut far too close.
        torso = max(float(np.hypot(*(hip - neck))), 0.75 * torso)
        x = float(neck[0] + hip[0]) / 2
    return (float(neck[1]), torso, x) if torso > 4 else None


def _framed_already(photo: U8, spine: tuple[float, float, float], size: tuple[int, int]) -> bool:
    height, width = photo.shape[:2]
    shares = (spine[0] / height, NECK_RANGE), (spine[1] / height, TORSO_RANGE), (
        spine[2] / width, CENTRE_RANGE)
    return (abs(width / height * size[0] / size[1] - 1) < 0.015
            and all(low <= share <= high for share, (low, high) in shares))


def _with_arms(body: F32, x: float, tall: float, aspect: float) -> tuple[float, float]:
    """Move (a tenth of the width at most) and widen (a third at most) to hold elbows and wrists."""
    arms = body[[i for i in _ARMS if body[i, 2] > 0], 0].astype(float)
    if len(arms) == 0:
        return x, tall
    low, high = min(float(arms.min()), x), max(float(arms.max()), x)
    span = 0.92 * aspect * tall  # a hand reaches beyond its wrist
    shift = max(0.0, high - (x + span / 2)) - max(0.0, (x - span / 2) - low)
    x += float(np.clip(shift, -0.1 * aspect * tall, 0.1 * aspect * tall))
    need = 2 * max(high - x, x - low) / 0.92 / aspect
    return x, float(np.clip(need, tall, 1.33 * tall))


def _inside(neck_y: float, nose_y: float | None, tall: float, height: int) -> tuple[float, float]:
    """Top and height of the rectangle: the cheapest of small moves and shrinkings.

    A band below cuts the body off and costs most, as does a head that is cut off; a band above
    the head costs little.
    """
    def cost(move: float, shrink: float) -> float:
        size = shrink * tall
        top = neck_y - (NECK_Y + move) * size
        below, above = max(0.0, top + size - height), max(0.0, -top)
        head = 0.0 if nose_y is None else max(0.0, NOSE_Y * size - (nose_y - top))
        return ((3 * below + 3 * head + 0.3 * above) / size + 0.8 * abs(move)
                + 0.5 * (1 - shrink))

    moves, shrinks = np.arange(-6, 13, 2) / 100, np.arange(72, 101, 4) / 100
    move, shrink = min(((float(m), float(s)) for s in shrinks[::-1] for m in moves),
                       key=lambda pair: cost(*pair))
    return neck_y - (NECK_Y + move) * shrink * tall, shrink * tall


def _nudged(start: float, length: float, limit: int) -> float:
    """Move the interval towards lying in 0..limit, by 8 % of its length at the most."""
    over, under = max(0.0, start + length - limit), max(0.0, -start)
    if over and under:
        return start
    return start + min(under, 0.08 * length) - min(over, 0.08 * length)


def _turned_box(mask: U8, angle: float) -> tuple[float, float, float, float]:
    """Centre x, y in the photo (edges), width and height of the turned mask's bounding box."""
    inside = mask > 0  # the ends of every row reach as far in any direction as all of it does
    rows = np.flatnonzero(inside.any(1))
    first, last = inside[rows].argmax(1), inside.shape[1] - 1 - inside[rows, ::-1].argmax(1)
    points = np.stack([np.concatenate([first, last]), np.concatenate([rows, rows])], 1) + 0.5
    a = np.deg2rad(angle)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    turned = points @ turn.T
    low, high = turned.min(0), turned.max(0)
    centre = turn.T @ ((low + high) / 2)
    wide, tall = high - low + 1
    return float(centre[0]), float(centre[1]), float(wide), float(tall)


def _placed_already(photo: U8, x: float, y: float, wide: float, tall: float,
                    size: tuple[int, int]) -> bool:
    height, width = photo.shape[:2]
    fill = max(wide / width / GARMENT_WIDTH, tall / height / GARMENT_HEIGHT)
    return bool(abs(width / height * size[0] / size[1] - 1) < 0.015
                and GARMENT_FILL[0] <= fill <= GARMENT_FILL[1]
                and abs(x / width - 0.5) < 0.06 and abs(y / height - 0.5) < 0.06)
