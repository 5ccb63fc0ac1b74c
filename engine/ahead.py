"""Opening networks ahead of their use, beside the decoding and preparing of pictures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fuw.engine.backend import Network
from fuw.engine.errors import FuwError

log = logging.getLogger(__name__)


@contextmanager
def opened_ahead(nets: Mapping[str, Network], names: Sequence[str]) -> Iterator[None]:
    """Open these networks one after another in a thread while the body of the `with` runs.

    A network that the body asks for meanwhile is opened by whoever comes first; the other waits.
    One that cannot be opened ends the thread without a word: the body meets the same error where
    it needs the network. Leaving the body ends the thread once the network at hand is open.
    """
    stop = threading.Event()

    def run() -> None:
        for name in names:
            if stop.is_set():
                return
            try:
                nets[name].open()
            except FuwError as error:
                log.debug("%s was not opened ahead: %s", name, error)
                return

    thread = threading.Thread(target=run, name="fuw-ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
