"""Pictures as the pose networks want them: resize, crop, colour order, range (official recipes)."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fuw.engine.arrays import F32, U8
from fuw.engine.networks import NETWORKS

_OPENPOSE = NETWORKS["openpose_body"].recipe  # the hand network's is the same
DENSEPOSE_MEAN_BGR = np.array(NETWORKS["densepose"].recipe.mean, np.float32)
_LONGEST = 1333 / 800  # longest edge at the most, in shorter edges


def _planar(image: U8) -> F32:
    """RGB (H, W, 3) u8 -> BGR (1, 3, H, W) f32, x / 256 - 0.5."""
    planes = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None]).astype(np.float32)
    planes *= np.float32(1 / _OPENPOSE.scale)
    planes -= np.float32(_OPENPOSE.mean[0])  # one value for all channels
    return planes


def openpose_input(
    image: U8, net_height: int = 368, net_width: int | None = None
) -> tuple[F32, float]:
    """Shrink a photo for BODY_25: top-left anchored, no anti-aliasing, black right and below.

    Args:
        image: (H, W, 3) u8 RGB.
        net_height: a multiple of 16.
        net_width: a multiple of 16; by default it follows the photo, at most 16:9.

    Returns:
        x (1, 3, net_height, net_width) f32, BGR, -0.5..0.5, and the image pixels per network pixel.
    """
    s, net_width, scale = openpose_scale(image.shape[0], image.shape[1], net_height, net_width)
    taps = cv2.INTER_CUBIC if s > 1 else cv2.INTER_LINEAR
    shrunk = cv2.warpAffine(
        image, np.array([[s, 0, 0], [0, s, 0]]), (net_width, net_height), flags=taps
    )
    return _planar(shrunk.astype(np.uint8, copy=False)), scale


def openpose_scale(
    height: int, width: int, net_height: int, net_width: int | None
) -> tuple[float, int, float]:
    """How a photo enters BODY_25: network pixels per photo pixel, the network's width, and photo
    pixels per network pixel as the decoder counts them (from the rounded size)."""
    if net_width is None:
        wanted = min(net_height * 16 / 9, net_height * width / height)
        net_width = max(16, 16 * int(wanted / 16 + 0.5))
    s = min((net_width - 1) / (width - 1), (net_height - 1) / (height - 1))
    used_width, used_height = int(s * width + 0.5), int(s * height + 0.5)
    return s, net_width, min((width - 1) / (used_width - 1), (height - 1) / (used_height - 1))


def hand_matrices(boxes: F32, size: int) -> list[npt.NDArray[np.float64] | None]:
    """Crop pixel -> image pixel (2, 3): the left hand, mirrored, and the right; None: no hand."""
    matrices: list[npt.NDArray[np.float64] | None] = []
    for i, (x, y, side, _) in enumerate(np.asarray(boxes, np.float64)):
        step = side / size
        matrices.append(None if side <= 0 else np.array(
            [[-step, 0, x + side], [0, step, y]] if i == 0 else [[step, 0, x], [0, step, y]]))
    return matrices


def hand_input(image: U8, boxes: F32, size: int = 368) -> F32:
    """Crop both hands, the left one mirrored, so that one network serves both.

    Args:
        image: (H, W, 3) u8 RGB.
        boxes: (2, 4) x, y, width, height in image pixels (`keypoints.hand_boxes`); left, right;
            a box of no size gives a black crop.

    Returns:
        (2, 3, size, size) f32, BGR, -0.5..0.5; outside the photo is black.
    """
    crops = np.zeros((2, size, size, 3), np.uint8)
    for i, source in enumerate(hand_matrices(boxes, size)):
        if source is None:
            continue
        crops[i] = cv2.warpAffine(
            image, source, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
    return np.concatenate([_planar(crop) for crop in crops])


def densepose_size(height: int, width: int, shorter: int = 800) -> tuple[int, int]:
    """Return (height, width): the shorter edge `shorter`, the longer at most 1333 / 800 of it."""
    longest = shorter * _LONGEST
    scale = shorter / min(height, width)
    scale = min(scale, longest / max(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)


def densepose_input(image: U8, shorter: int = 800) -> tuple[F32, F32]:
    """Resize a photo for DensePose (Pillow's antialiased bilinear on u8), then normalise, then pad.

    Args:
        image: (H, W, 3) u8 RGB.
        shorter: length of the shorter edge, officially 800.

    Returns:
        x (1, 3, Hp, Wp) f32, BGR minus the mean, zeros right and below up to multiples of 32;
        scale (4,) f32: what turns a box x0, y0, x1, y1 of image pixels into network pixels.
    """
    height, width = image.shape[:2]
    h, w = densepose_size(height, width, shorter)
    resized = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR))
    x = np.zeros((1, 3, -(-h // 32) * 32, -(-w // 32) * 32), np.float32)
    for c, mean in enumerate(DENSEPOSE_MEAN_BGR):
        np.subtract(resized[:, :, 2 - c], mean, out=x[0, c, :h, :w])
    return x, np.array([w / width, h / height] * 2, np.float32)
