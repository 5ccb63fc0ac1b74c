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

from fuw.engine import windowed
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
    """`backend.open(model, options)`, watched where `model` is a sparse graph; on a GPU the static
    form of a network that has one (`fuw.engine.windowed`)."""
    if model.static is not None and options.device != "cpu":
        standby = Standby(backend, model.spec.name, model, options)
        return windowed.opened(backend.open(model.static, options), model.static, standby)
    session = backend.open(model, options)
    if model.form != SPARSE:
        return session
    return Guarded(session, Standby(backend, model.spec.name, model.dense, options))


class Standby:
    """The dense form, opened when a map first needs it; the log says so once."""

    def __init__(self, backend: Backend, name: str, dense: Model | None, options: OpenOptions,
                 ) -> None:
        self._backend, self._name, self._dense, self._options = backend, name, dense, options
        self._session: Session | None = None
        self._told = False
        self._lock = threading.Lock()

    def session(self, why: str) -> Session | None:
        """The dense form's session; None where there is no file of it.

        Args:
            why: a sentence's beginning: what overflows.
        """
        with self._lock:
            if not self._told:
                self._told = True
                form = f"the dense form, {self._dense.path}" if self._dense else (
                    "the sparse form all the same, for want of a dense file, in more time and "
                    "memory")
                log.warning("%s: %s it overflows, so it runs in %s. A map so torn is seldom right: "
                            "look at the parse", self._name, why, form)
            if self._session is None and self._dense is not None:
                self._session = self._backend.open(self._dense, self._options)
            return self._session

    def close(self) -> None:
        """Give up its memory; a later call opens it again."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.close()


class Guarded:
    """A session of a sparse graph that hands maps past the capacity to the dense one.

    Where no dense file is at hand the sparse graph runs all the same: its answer is exact, and
    takes more memory and time.
    """

    def __init__(self, sparse: Session, standby: Standby, capacity: float = CAPACITY) -> None:
        self._sparse, self._standby, self._capacity = sparse, standby, capacity

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once in the form that the map asks for."""
        share = open_share(feeds[LABELS])
        if share <= self._capacity:
            return self._sparse.run(feeds)
        why = (f"{100 * share:.0f} % of the parse map's 5x5 windows hold more than one label; past "
               f"{100 * self._capacity:.0f} %")
        return (self._standby.session(why) or self._sparse).run(feeds)

    def close(self) -> None:
        """Give up both forms' memory."""
        self._standby.close()
        self._sparse.close()
