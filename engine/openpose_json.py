"""OpenPose's keypoint files (`*_keypoints.json`, version 1.3)."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.errors import InputError, NoPersonError
from fuw.engine.files import text_of, write_whole

_WHAT = "keypoint file"
_BODY, _HAND = "pose_keypoints_2d", ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
_LARGEST = 1e6  # pixels; no picture is that wide
_BODIES = {18: "COCO's 18", 15: "MPI's 15", 17: "COCO's 17", 135: "BODY_135's"}


def read_people(path: Path) -> tuple[tuple[F32, F32 | None], ...]:
    """Read everybody in an OpenPose keypoint file, in the file's order.

    Returns:
        For each person body (25, 3) f32: x, y in image pixels, score; and hands (2, 21, 3) f32
        (left, right), or None where the file has no hands.

    Raises:
        InputError: not an OpenPose BODY_25 file, or its numbers are not finite.
    """
    path = Path(path)
    try:
        data = json.loads(text_of(path, _WHAT))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not a JSON file ({error}); a keypoint file is what OpenPose "
                         "writes with --write_json") from None
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise InputError(f"{path}: has no list 'people'; a keypoint file is what OpenPose writes "
                         "with --write_json")
    return tuple((_points(path, person, _BODY, 25), _hands(path, person)) for person in people)


def read_openpose_json(path: Path) -> tuple[F32, F32 | None]:
    """Read the first person of a keypoint file, which is the one VITON-HD uses.

    Returns:
        body (25, 3) f32 and hands (2, 21, 3) f32 or None, as `read_people`.

    Raises:
        InputError: not an OpenPose BODY_25 file. NoPersonError: a file that holds nobody.
    """
    people = read_people(path)
    if not people:
        raise NoPersonError(f"{path}: OpenPose found nobody in this picture ('people' is empty); "
                            "use another photo or leave --pose away")
    return people[0]


def write_openpose_json(path: Path, body: F32 | None, hands: F32 | None = None) -> None:
    """Write one person (or, without a body, nobody) as OpenPose writes it: 6 significant digits.

    Args:
        path: the file; complete or absent afterwards.
        body: (25, 3) x, y in image pixels, score.
        hands: (2, 21, 3) left and right, or None.
    """
    people = []
    if body is not None:
        left, right = (hands[0], hands[1]) if hands is not None else ((), ())
        people.append(
            f'{{"person_id":[-1],"{_BODY}":{_numbers(body)},"face_keypoints_2d":[],'
            f'"{_HAND[0]}":{_numbers(left)},"{_HAND[1]}":{_numbers(right)},'
            '"pose_keypoints_3d":[],"face_keypoints_3d":[],"hand_left_keypoints_3d":[],'
            '"hand_right_keypoints_3d":[]}')
    text = f'{{"version":1.3,"people":[{",".join(people)}]}}'
    write_whole(Path(path), lambda handle: handle.write(text.encode()))


def _numbers(points: F32 | Sequence[float]) -> str:
    values = np.asarray(points, np.float32).ravel().tolist()
    return "[" + ",".join(format(value, ".6g") for value in values) + "]"


def _hands(path: Path, person: dict[str, Any]) -> F32 | None:
    if not any(person.get(key) for key in _HAND):
        return None
    hands = np.zeros((2, 21, 3), np.float32)
    for i, key in enumerate(_HAND):
        if person.get(key):
            hands[i] = _points(path, person, key, 21)
    return hands


def _points(path: Path, person: dict[str, Any], key: str, count: int) -> F32:
    values = person.get(key)
    if not isinstance(values, list):
        raise InputError(f"{path}: a person has no list '{key}'; a keypoint file is what OpenPose "
                         "writes with --write_json")
    if len(values) != 3 * count:
        found = _BODIES.get(len(values) // 3, f"{len(values)} numbers")
        raise InputError(f"{path}: '{key}' holds {found} where {3 * count} numbers (x, y, score of "
                         f"{count} points) are needed; run OpenPose with --model_pose BODY_25")
    if not all(_usable(value) for value in values):
        raise InputError(f"{path}: '{key}' holds something that is not a finite number of "
                         "pixels; write the file again")
    return np.array(values, np.float32).reshape(count, 3)


def _usable(value: object) -> bool:
    """A number within any picture; JSON as Python reads it also knows NaN and Infinity."""
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) <= _LARGEST and math.isfinite(value))
