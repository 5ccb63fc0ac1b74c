"""Made-up people for tests: a plausible BODY_25 skeleton and a parse map to go with it; and the
crowd that asks at once."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fuw.engine.arrays import F32, U8


def read_body(path: Path) -> F32:
    """The first person of an OpenPose JSON, f32 (25, 3), without the reader under test."""
    people = json.loads(path.read_text())["people"]
    return np.array(people[0]["pose_keypoints_2d"], np.float32).reshape(25, 3)


def read_png(path: Path) -> U8:
    return np.asarray(Image.open(path)).astype(np.uint8)


def standing(height: int = 1024, width: int = 768) -> F32:
    """A frontal person, arms hanging; fractions of the picture times its size."""
    at = {0: (.5, .14), 1: (.5, .24), 2: (.38, .25), 3: (.33, .4), 4: (.31, .54), 5: (.62, .25),
          6: (.67, .4), 7: (.69, .54), 8: (.5, .58), 9: (.43, .58), 10: (.42, .78), 11: (.42, .95),
          12: (.57, .58), 13: (.58, .78), 14: (.58, .95), 15: (.48, .125), 16: (.52, .125),
          17: (.45, .135), 18: (.55, .135)}
    body = np.zeros((25, 3), np.float32)
    for joint, (x, y) in at.items():
        body[joint] = x * width, y * height, 0.9
    return body


def at_once(work: Callable[[int], object], count: int = 4) -> None:
    """Call `work(k)` in `count` threads, k counting from 0, and wait for all; raises what the first
    of them raised."""
    errors: list[BaseException] = []

    def guarded(k: int) -> None:
        try:
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
