"""DensePose on the host: where the person's box lies, and what its charts say about the photo."""

import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu.body25 import ARMS

TORSO_BACK, TORSO_FRONT = 1, 2
SEEN = 0.05
_MARGIN = 0.06  # of the box's longer side: clothes and limbs around their axes
_CROWN = 1.0  # crown above the nose, in nose-neck distances
_HAND = 0.75  # finger tips beyond the wrist, in forearms
_FOOT = 0.25  # sole below the ankle, in shins
_NOSE, _NECK, _KNEES, _ANKLES = 0, 1, (10, 13), (11, 14)


def person_box(body: F32, height: int, width: int) -> F32:
    """Box of the whole person from its key points, in place of DensePose's own detector.

    Key points end at eyes, wrists and ankles, so the box is grown by a head above the nose, a
    hand beyond each wrist and a foot below each ankle, down to the picture's edge where no ankle
    is seen, then by 6 % of its longer side all round.

    Args:
        body: (25, 3) x, y in pixels, score; seen above 0.05.

    Returns:
        (4,) f32 x0, y0, x1, y1 within the picture; the whole picture where nothing is seen.
    """
    seen = (body[:, 2] > SEEN) & np.isfinite(body).all(1)
    if not seen.any():
        return np.array([0, 0, width, height], np.float32)
    points = [body[seen, :2]]
    if seen[_NOSE] and seen[_NECK]:
        crown = _CROWN * np.linalg.norm(body[_NOSE, :2] - body[_NECK, :2])
        points.append(body[_NOSE, :2] - np.array([0, crown], np.float32))
    for wrist, elbow, _ in ARMS:
        if seen[wrist] and seen[elbow]:
            points.append(body[wrist, :2] + _HAND * (body[wrist, :2] - body[elbow, :2]))
    for knee, ankle in zip(_KNEES, _ANKLES, strict=True):
        if seen[knee] and seen[ankle]:
            points.append(body[ankle, :2] + _FOOT * (body[ankle, :2] - body[knee, :2]))
    if not seen[list(_ANKLES)].any():
        points.append(np.array([body[seen, 0].mean(), height]))
    everything = np.vstack(points)
    low, high = everything.min(0), everything.max(0)
    margin = _MARGIN * (high - low).max()
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, (width, height))
    if (high - low < 1).any():  # a person beside the picture
        return np.array([0, 0, width, height], np.float32)
    return np.concatenate([low, high]).astype(np.float32)


def frontal_share(iuv: U8) -> float:
    """Share of the torso's pixels that show its front: 1 facing the camera, 0 facing away.

    Args:
        iuv: u8 (H, W, 3).

    Returns:
        0..1; NaN where no torso is seen.
    """
    labels = iuv[:, :, 0]
    front, back = int((labels == TORSO_FRONT).sum()), int((labels == TORSO_BACK).sum())
    return front / (front + back) if front + back else float("nan")
