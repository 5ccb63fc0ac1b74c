"""Pictures as the networks want them: SCHP's crop, and colours in -1..1 for the try-on networks.

The recipes of the other networks live beside what decodes them: fit_pose.py (OpenPose, hands,
DensePose) and fit_mask.py (U2Net, TRACER).
"""

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, I32, U8
from fuw.engine.networks import NETWORKS

_SCHP = NETWORKS["schp"].recipe
SCHP_MEAN_BGR, SCHP_STD_BGR = np.array(_SCHP.mean, np.float32), np.array(_SCHP.std, np.float32)

SIGNED = np.arange(256, dtype=np.float32) / np.float32(255) * np.float32(2) - np.float32(1)


def schp_affine(height: int, width: int, size: int = 473, inverse: bool = False,
                ) -> npt.NDArray[np.float64]:
    """Matrix (2, 3) from picture to crop pixels (or back): SCHP's `get_affine_transform`.

    It scales (size - 1) / max(width - 1, height - 1) about the middle, pixel centres to pixel
    centres, and is found from three float32 points since the last bits decide some pixels.
    """
    side = np.float32(max(width - 1, height - 1))
    centre = np.array([(width - 1) * 0.5, (height - 1) * 0.5], np.float32)
    picture = np.zeros((3, 2), np.float32)
    crop = np.zeros((3, 2), np.float32)
    picture[0], crop[0] = centre, [(size - 1) * 0.5, (size - 1) * 0.5]
    picture[1] = centre + np.array([0, -0.5 * side], np.float32)
    crop[1] = crop[0] + np.array([0, -0.5 * (size - 1)], np.float32)
    for points in (picture, crop):
        arm = points[0] - points[1]
        points[2] = points[1] + np.array([-arm[1], arm[0]], np.float32)
    source, target = (crop, picture) if inverse else (picture, crop)
    return np.asarray(cv2.getAffineTransform(source, target), np.float64)


def warp_places(matrix: npt.NDArray[np.float64], height: int, width: int, inverse: bool = False,
                ) -> tuple[I32, I32]:
    """Where OpenCV's warpAffine by `matrix` (2, 3), which must not turn, reads its source.

    `inverse`: the matrix leads to the source already (OpenCV's WARP_INVERSE_MAP).

    Returns i32 x (width) and y (height) in 1/32 pixel: 10-bit fixed point, rounded once more, so
    these integers and no exact ones are what its pixels depend on.
    """
    (sx, _, ox), (_, sy, oy) = matrix
    if not inverse:
        sx, sy = 1 / sx, 1 / sy
        ox, oy = -sx * ox, -sy * oy
    x = np.rint(np.arange(width) * sx * 1024) + np.rint(ox * 1024) + 16
    y = np.rint((np.arange(height) * sy + oy) * 1024) + 16
    return (x.astype(np.int64) >> 5).astype(np.int32), (y.astype(np.int64) >> 5).astype(np.int32)


def schp_crop(image: U8, size: int = 473) -> U8:
    """The padded square SCHP sees: `image` (H, W, 3), any colour order -> u8 (size, size, 3)."""
    matrix = schp_affine(image.shape[0], image.shape[1], size)
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0))
    return np.asarray(crop, np.uint8)


def schp_input(image: U8, size: int = 473) -> F32:
    """RGB u8 (H, W, 3) -> f32 (1, 3, size, size), B G R, /255, mean and deviation removed."""
    bgr = schp_crop(image, size)[:, :, ::-1].astype(np.float32)
    bgr /= np.float32(_SCHP.scale)
    bgr -= SCHP_MEAN_BGR
    bgr /= SCHP_STD_BGR
    return np.ascontiguousarray(bgr.transpose(2, 0, 1)[None])


def signed(image: U8) -> F32:
    """Colours u8 (H, W, 3) 0..255 -> f32 (1, 3, H, W) -1..1: x / 255 * 2 - 1."""
    out = np.empty((1, 3, *image.shape[:2]), np.float32)
    # cv2 takes planes apart and looks bytes up several times faster than NumPy does.
    for c, plane in enumerate(cv2.split(image)):
        cv2.LUT(plane, SIGNED, dst=out[0, c])
    return out
