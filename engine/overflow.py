"""A label map too busy for a label-sparse graph runs on the dense one, and the log says so.

The sparse ALIAS (export/nets/alias_sparse.py) makes a table row for every distinct 5x5 window of
labels. A parse map has 3 to 4 % of pixels whose window is not one label; a map of noise has all,
and its table would take gigabytes, which is dearer than the dense form. The graph's shapes follow
the data, so nothing is cut off at the capacity: it is where the dense form is the better one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fuw.engine.arrays import F32

if TYPE_CHECKING:
    from fuw.engine.backend import Backend, Model, OpenOptions, Session

log = logging.getLogger(__name__)

CAPACITY = 0.15  # share of open windows; four times what real parse maps have
SIDE = 5  # two 3x3 convolutions see it
SPARSE = "sparse"
LABELS = "seg"  # the input that is looked at


def open_share(seg: F32) -> float:
    """The share of pixels whose 5x5 window inside the picture is not one constant, 0..1.

    Args:
        seg: (b, labels, h, w) label map, one-hot or fractional.
    """
    # No label's number is a sum of others': what the windows hold cannot hide behind equal sums.
    names = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29], np.float32))[: seg.shape[1]]
    window = np.ones((SIDE, SIDE), np.uint8)
    found = pixels = 0
    for sample in seg:
        code = np.tensordot(names, sample, 1)
        spread = cv2.dilate(code, window) - cv2.erode(code, window)
        found += int(np.count_nonzero(spread > 1e-3))
        pixels += code.size
    return found / pixels


def open_guarded(backend: Backend, model: Model, options: OpenOptions) -> Session:
    """`backend.open(model, options)`, watched where `model` is a sparse graph."""
    session = backend.open(model, options)
    return Guarded(session, backend, model, options) if model.form == SPARSE else session


class Guarded:
    """A session of a sparse graph that hands maps past the capacity to the dense one.

    The dense session is opened when a map first needs it. Where no dense file is at hand the
    sparse graph runs all the same: its answer is exact, and takes more memory and time.
    """

    def __init__(self, sparse: Session, backend: Backend, model: Model, options: OpenOptions,
                 capacity: float = CAPACITY) -> None:
        self._sparse, self._backend, self._model = sparse, backend, model
        self._options, self._capacity = options, capacity
        self._dense: Session | None = None
        self._told = False
        self._lock = threading.Lock()

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once in the form that the map asks for."""
        share = open_share(feeds[LABELS])
        return (self._sparse if share <= self._capacity else self._overflow(share)).run(feeds)

    def close(self) -> None:
        """Give up both forms' memory."""
        with self._lock:
            dense, self._dense = self._dense, None
        for session in (self._sparse, dense):
            if session is not None:
                session.close()

    def _overflow(self, share: float) -> Session:
        model = self._model
        with self._lock:
            if not self._told:
                self._told = True
                form = f"the dense form, {model.dense.path}" if model.dense else (
                    "the sparse form all the same, for want of a dense file, in more time and "
                    "memory")
                log.warning("%s: %.0f %% of the parse map's 5x5 windows hold more than one label; "
                            "past %.0f %% it overflows, so it runs in %s. A map so torn is seldom "
                            "right: look at the parse", model.spec.name, 100 * share,
                            100 * self._capacity, form)
            if model.dense is None:
                return self._sparse
            if self._dense is None:
                self._dense = self._backend.open(model.dense, self._options)
            return self._dense
