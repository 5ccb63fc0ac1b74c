"""Array types used in signatures. Shapes are told in docstrings, axes in this order: N C H W."""

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]  # pictures (H, W, 3) RGB, label maps (H, W), masks (H, W) 0..255
F32 = npt.NDArray[np.float32]  # network tensors, keypoints
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
Any = npt.NDArray[np.generic]
