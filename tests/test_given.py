"""Labels and key points that a caller brings follow the photo into the frame."""

import numpy as np

from fuw.engine.framing import person_frame, whole_frame
from fuw.engine.records import Given


def photo(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 200, np.uint8)


def test_labels_at_the_pictures_own_size_are_untouched() -> None:
    labels = np.random.default_rng(0).integers(0, 20, (1024, 768), dtype=np.uint8)
    frame = whole_frame(photo(1024, 768))
    assert np.array_equal(frame.apply_labels(labels), labels)


def test_labels_and_points_land_on_the_same_pixel() -> None:
    pixels = photo(600, 900)
    labels = np.zeros((600, 900), np.uint8)
    labels[300:304, 500:504] = 7
    body = np.zeros((25, 3), np.float32)
    body[1] = 501.5, 301.5, 1.0
    frame = whole_frame(pixels)
    known = Given(body=body, parse=labels).framed(frame)
    assert known.body is not None and known.parse is not None
    x, y = known.body[1, :2]
    assert known.parse[round(float(y)), round(float(x))] == 7
    assert set(np.unique(known.parse)) == {0, 7}


def test_bands_beside_the_photo_are_background() -> None:
    frame = whole_frame(photo(1024, 400))
    cut = frame.apply_labels(np.full((1024, 400), 5, np.uint8))
    assert (cut[:, 0] == 0).all() and (cut[:, -1] == 0).all() and (cut[:, 384] == 5).all()


def test_missing_points_stay_missing() -> None:
    body = np.zeros((25, 3), np.float32)
    frame = person_frame(photo(1500, 1500), body)
    known = Given(body=body).framed(frame)
    assert known.body is not None and not known.body.any()
