"""The person without the garment (VITON-HD, section 3.1): parse and photo, old clothes erased.

The official code draws thick lines, discs and a polygon with Pillow, in constants that suit a
1024x768 picture; so does this, and `scale` (height / 1024) carries the constants to other sizes.
What is drawn is data (`arm_shapes`, `body_shapes`), so that the CUDA kernels draw the same list.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from fuw.engine.arrays import F32, U8

GREY = 128
ERASED = (5, 6, 7, 10)  # upper clothes, dress, coat, and the neck, whose edge shows the old collar
KEPT = (4, 13, 9, 12, 16, 17, 18, 19)  # sunglasses and face; everything below the garment
# Arm label -> joints along it. The chain comes from the other shoulder, so its first line covers
# the shoulder itself.
ARM_CHAINS = {14: (2, 5, 6, 7), 15: (5, 2, 3, 4)}
NECK, R_SHOULDER, L_SHOULDER, R_HIP, L_HIP = 1, 2, 5, 9, 12
LOWER_ARMS = (3, 4, 6, 7)

Points = tuple[tuple[float, float], ...]

OFFICIAL_HEIGHT = 1024  # of the picture that these constants are for


@dataclass(frozen=True)
class Shape:
    """One thing to fill; points in pixels (x, y).

    line: two ends and a width; ellipse and box: two corners; polygon: its corners.
    """

    kind: Literal["line", "ellipse", "polygon", "box"]
    points: Points
    width: int = 0


def _joints(body: F32) -> npt.NDArray[np.float64]:
    return body[:, :2].astype(np.float64)


def _missing(joint: npt.NDArray[np.float64]) -> bool:
    return bool(joint[0] == 0.0 and joint[1] == 0.0)


def _line(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], width: float) -> Shape:
    return Shape("line", ((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))), round(width))


def _corners(kind: Literal["ellipse", "box"], at: npt.NDArray[np.float64], rx: float, ry: float,
             ) -> Shape:
    x, y = float(at[0]), float(at[1])
    return Shape(kind, ((x - rx, y - ry), (x + rx, y + ry)))


def arm_shapes(body: F32, label: int, scale: float = 1.0) -> list[Shape]:
    """What covers the arm `label` (14 left, 15 right). A missing joint is skipped, and the chain
    goes on from the last one that is there."""
    joints, chain = _joints(body), ARM_CHAINS[label]
    shapes: list[Shape] = []
    last = joints[chain[0]]
    for joint in chain[1:]:
        here = joints[joint]
        if _missing(last) or _missing(here):
            continue
        radius = (40 if joint == chain[-1] else 150) * scale
        shapes += [_line(last, here, 100 * scale), _corners("ellipse", here, radius, radius)]
        last = here
    return shapes


def spread_hips(body: F32) -> npt.NDArray[np.float64]:
    """Joints (25, 2) with the hips moved apart, about their middle, to the shoulders' breadth.

    The official code divides by the hips' distance and has no guard. Here, where both hips are the
    same point (in practice: both missing), missing ones are set one and a half shoulder breadths
    below the shoulders, and others are spread along the shoulders' direction.
    """
    joints = _joints(body)
    shoulders = joints[L_SHOULDER] - joints[R_SHOULDER]
    breadth = float(np.linalg.norm(shoulders))
    between = float(np.linalg.norm(joints[L_HIP] - joints[R_HIP]))
    middle = (joints[R_HIP] + joints[L_HIP]) / 2
    if between == 0:
        if _missing(middle):
            middle = (joints[R_SHOULDER] + joints[L_SHOULDER]) / 2 + [0, 1.5 * breadth]
        joints[R_HIP], joints[L_HIP] = middle - shoulders / 2, middle + shoulders / 2
        return joints
    for hip in (R_HIP, L_HIP):
        joints[hip] = middle + (joints[hip] - middle) / between * breadth
    return joints


def body_shapes(body: F32, scale: float = 1.0) -> list[Shape]:
    """What covers arms, torso and neck in the photo. As officially, a missing joint skips only its
    own arm segment; shoulders, hips and neck are drawn wherever they are."""
    joints = spread_hips(body)
    corners = joints[[R_SHOULDER, L_SHOULDER, L_HIP, R_HIP]]
    disc = 100 * scale
    shapes = [_line(joints[R_SHOULDER], joints[L_SHOULDER], 200 * scale)]
    shapes += [_corners("ellipse", joints[i], disc, disc) for i in (R_SHOULDER, L_SHOULDER)]
    for joint in LOWER_ARMS:
        if not (_missing(joints[joint - 1]) or _missing(joints[joint])):
            shapes += [_line(joints[joint - 1], joints[joint], 200 * scale),
                       _corners("ellipse", joints[joint], disc, disc)]
    shapes += [_corners("ellipse", joints[i], 60 * scale, 120 * scale) for i in (R_HIP, L_HIP)]
    shapes += [_line(joints[R_SHOULDER], joints[R_HIP], 120 * scale),
               _line(joints[L_SHOULDER], joints[L_HIP], 120 * scale),
               _line(joints[R_HIP], joints[L_HIP], 240 * scale),
               Shape("polygon", tuple((float(x), float(y)) for x, y in corners)),
               _corners("box", joints[NECK], 140 * scale, 140 * scale)]
    return shapes


def draw_mask(shapes: list[Shape], height: int, width: int) -> U8:
    """u8 (height, width): 255 where any of the shapes covers the pixel, exactly as Pillow draws."""
    picture = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        if shape.kind == "line":
            draw.line(shape.points, fill=255, width=shape.width)
        elif shape.kind == "ellipse":
            draw.ellipse(shape.points, fill=255, outline=255)
        elif shape.kind == "polygon":
            draw.polygon(shape.points, fill=255, outline=255)
        else:
            draw.rectangle(shape.points, fill=255, outline=255)
    return np.asarray(picture)


def _table(ids: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(ids)] = True
    return table


def parse_agnostic(parse: U8, body: F32, scale: float = 1.0) -> U8:
    """VITON-HD ids u8 (H, W) without upper clothes and neck, and without the arms where the drawn
    arms cover them; body is BODY_25 f32 (25, 3) in pixels. Erased is 0."""
    result = parse.copy()
    result[_table(ERASED)[parse]] = 0
    for label in ARM_CHAINS:
        arm = parse == label
        if arm.any():
            result[arm & (draw_mask(arm_shapes(body, label, scale), *parse.shape) != 0)] = 0
    return result


def kept_table(ids: tuple[int, ...]) -> U8:
    """Label -> label, u8 (256,): `ids` become face, which `image_agnostic` keeps."""
    table = np.arange(256, dtype=np.uint8)
    table[list(ids)] = KEPT[1]
    return table


def as_kept(parse: U8, ids: tuple[int, ...]) -> U8:
    """The parse u8 (H, W) for an `image_agnostic` that is to keep `ids` too."""
    kept: U8 = kept_table(ids)[parse]
    return kept


def image_agnostic(image: U8, parse: U8, body: F32, scale: float = 1.0) -> U8:
    """Photo RGB u8 (H, W, 3), arms, torso and neck grey (128); face and lower body come back."""
    grey = draw_mask(body_shapes(body, scale), *parse.shape) != 0
    grey &= ~_table(KEPT)[parse]
    result = image.copy()
    result[grey] = GREY
    return result
