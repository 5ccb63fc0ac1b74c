"""Array types used in signatures. Shapes are told in docstrings, axes in this order: N C H W."""

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]  # pictures (H, W, 3) RGB, label maps (H, W), masks (H, W) 0..255
F32 = npt.NDArray[np.float32]  # network tensors, keypoints
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Any = npt.NDArray[np.generic]


class Shaped(Protocol):
    """An array, of the host or of a device."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""


U = TypeVar("U", bound=Shaped)  # pictures, label maps, masks: U8, or an array on a device
F = TypeVar("F", bound=Shaped)  # network tensors: F32, or an array on a device
