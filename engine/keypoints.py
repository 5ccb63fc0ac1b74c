"""Key points on the host: network outputs to BODY_25 people and hands."""

import numpy as np

from fuw.engine.arrays import F32, I32
from fuw.engine.assembly import assemble
from fuw.engine.openpose_json import read_openpose_json, read_people, write_openpose_json
from fuw.kernels.cpu.body25 import ARMS, KEYPOINTS, PAIRS
from fuw.kernels.cpu.pose import HAND_POINTS, STRIDE, find_hands, find_peaks

# fmt: off
__all__ = [
    "decode_body", "decode_hands", "decode_people", "hand_boxes", "hands_of", "main_first",
    "people_of", "read_openpose_json", "read_people", "write_openpose_json",
]
# fmt: on

ARM_THRESHOLD = 0.03
MIN_SIDE, MIN_AREA = 1.0, 10.0  # of a hand box, pixels


def decode_people(net_output: F32, scale: float) -> tuple[F32, F32]:
    """Decode BODY_25 maps as OpenPose's CPU build does.

    Args:
        net_output: (78, h, w) f32: 26 heat maps, 52 PAF channels, at an eighth of the input.
        scale: image pixels per network pixel (`openpose_input`).

    Returns:
        people (n, 25, 3) f32: x, y in image pixels and score, 0, 0, 0 where not found; and scores
        (n,) f32: (peaks + limbs) / 51. In OpenPose's order; n may be 0.
    """
    return people_of(*find_peaks(net_output[None], scale), scale)


def people_of(count: I32, peaks: F32, scores: F32, scale: float) -> tuple[F32, F32]:
    """The last step of `decode_people`, from what the step `find_peaks` found."""
    found = assemble(count, peaks, scores)
    people = np.zeros((len(found), len(KEYPOINTS), 3), np.float32)
    for row, person in zip(people, found, strict=True):
        for part, peak in enumerate(person.parts):
            if peak >= 0:
                row[part] = peaks[part, peak]
    people[..., :2] *= np.float32(scale)
    whole = len(KEYPOINTS) + len(PAIRS)
    return people, np.array([person.score / whole for person in found], np.float32)


def decode_body(net_output: F32, scale: float) -> F32:
    """Like `decode_people`, the main person first: (n, 25, 3) f32."""
    return main_first(*decode_people(net_output, scale))


def main_first(people: F32, scores: F32) -> F32:
    """People (n, 25, 3) by size. The first is the one OpenPose keeps with `--number_people_max 1`:
    the largest score times the root of the area of its key points' box.
    """
    size = [float(s) * np.sqrt(_area(p)) for s, p in zip(scores, people, strict=True)]
    return people[sorted(range(len(people)), key=lambda i: -size[i])]


def _area(person: F32) -> float:
    found = person[person[:, 2] > 0, :2]
    width, height = np.ptp(found, axis=0)
    return float(width * height)


def hand_boxes(body: F32) -> F32:
    """Place the hands: (2, 4) f32 x, y, side, side in image pixels; left, right; 0 if unknown.

    Args:
        body: (25, 3) f32. A hand needs wrist, elbow and shoulder, each above 0.03.
    """
    boxes = np.zeros((2, 4), np.float32)
    for i, arm in enumerate(ARMS):
        (wrist, elbow, shoulder), scores = body[list(arm), :2], body[list(arm), 2]
        if (scores > ARM_THRESHOLD).all():
            forearm = np.float32(np.linalg.norm(wrist - elbow))
            upper_arm = np.float32(np.linalg.norm(elbow - shoulder))
            side = np.float32(1.5) * max(forearm, np.float32(0.9) * upper_arm)
            if side > MIN_SIDE and side * side > MIN_AREA:
                corner = wrist + np.float32(0.33) * (wrist - elbow) - side / 2
                boxes[i] = *corner, side, side
    return boxes


def decode_hands(heatmaps: F32, boxes: F32) -> F32:
    """Highest pixel of each heat map, back in the photo: (2, 21, 3) f32 x, y, score; left, right.

    Args:
        heatmaps: (2, 22, h, w) f32; the left hand is mirrored, as `hand_input` made it.
        boxes: (2, 4) x, y, side, side (`hand_boxes`); a hand without a box stays 0.
    """
    return hands_of(find_hands(heatmaps), boxes, STRIDE * heatmaps.shape[3])


def hands_of(points: F32, boxes: F32, size: int) -> F32:
    """The last step of `decode_hands`: points (2, 21, 3) of crops `size` wide, placed."""
    hands = np.zeros((2, HAND_POINTS, 3), np.float32)
    for i, (x, y, side, _) in enumerate(boxes):
        if side > MIN_SIDE and side * side > MIN_AREA:
            place, step = points[i], side / np.float32(size)
            hands[i, :, 0] = x + side - place[:, 0] * step if i == 0 else x + place[:, 0] * step
            hands[i, :, 1] = y + place[:, 1] * step
            hands[i, :, 2] = place[:, 2]
    return hands
