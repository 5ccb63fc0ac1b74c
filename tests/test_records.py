"""What a fit says about itself: which pixels it changed, and the photo with only those replaced."""

import numpy as np

from fuw.engine.framing import whole_frame
from fuw.engine.records import Fit, Garment, Parts, Person

H, W = 256, 192


def fit_on(photo: np.ndarray) -> Fit:
    """I_a hides a square of the photo, S^ puts an arm beside it, I^ is green everywhere."""
    frame = whole_frame(photo, (H, W))
    image = frame.apply(photo)
    agnostic, seg = image.copy(), np.zeros((H, W), np.uint8)
    agnostic[100:180, 60:130] = 128
    seg[100:180, 60:130], seg[100:160, 130:150], seg[10:40, 80:110] = 2, 4, 1
    plane, body = np.zeros((H, W), np.uint8), np.zeros((25, 3), np.float32)
    person = Person(image, body, np.zeros((2, 21, 3), np.float32), image, plane, None, plane,
                    plane, agnostic, photo=photo, frame=frame)
    green = np.full((H, W, 3), (0, 255, 0), np.uint8)
    parts = Parts(plane, seg, np.zeros((1, 50), np.float32), green, plane, plane)
    return Fit(green, parts, person, Garment(green, plane, plane))


def test_changed_is_what_was_hidden_and_where_garment_and_arms_are() -> None:
    changed = fit_on(np.full((H, W, 3), 200, np.uint8)).changed()
    want = np.zeros((H, W), np.uint8)
    want[100:180, 60:130] = want[100:160, 130:150] = 255
    assert np.array_equal(changed, want)


def test_pasted_back_keeps_the_photos_own_pixels_elsewhere() -> None:
    photo = np.random.default_rng(0).integers(0, 120, (2 * H, 2 * W, 3), dtype=np.uint8)
    out = fit_on(photo).pasted_back()
    assert (out[240:320, 160:220] == (0, 255, 0)).all()  # the hidden square, away from its edge
    assert (out[240:280, 275:285] == (0, 255, 0)).all()  # the arm
    same = (out == photo).all(2)
    assert same[:180].all() and same[380:].all() and same[:, :100].all() and same[:, 320:].all()
