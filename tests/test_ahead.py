"""Networks opened beside: the order, one session each, errors where they belong."""

import threading
from pathlib import Path
from typing import Any

import pytest

from fuw.engine.ahead import opened_ahead
from fuw.engine.backend import Model, Network, OpenOptions
from fuw.engine.errors import BackendError
from fuw.engine.networks import network


class Slow:
    """A backend that opens when it is let, and notes who asked."""

    name = "slow"

    def __init__(self, broken: str = "") -> None:
        self.opened: list[str] = []
        self.go, self.begun, self.broken = threading.Event(), threading.Event(), broken

    def open(self, model: Model, options: OpenOptions) -> Any:
        self.begun.set()
        assert self.go.wait(10)
        if model.spec.name == self.broken:
            raise BackendError("broken")
        self.opened.append(model.spec.name)
        return object()


def _nets(backend: Slow, *names: str) -> dict[str, Network]:
    return {name: Network(Model(network(name), "official", Path(name), "fp32",
                                network(name).sizes("official")), backend, OpenOptions())
            for name in names}


def test_they_are_open_in_order_and_once() -> None:
    backend = Slow()
    backend.go.set()
    nets = _nets(backend, "seg", "gmm")
    with opened_ahead(nets, ["gmm", "seg"]):
        nets["gmm"].open()
        nets["seg"].open()
    assert sorted(backend.opened) == ["gmm", "seg"]


def test_leaving_ends_the_thread_after_the_network_at_hand() -> None:
    backend = Slow()
    nets = _nets(backend, "seg", "gmm")
    threading.Timer(0.2, backend.go.set).start()
    with opened_ahead(nets, ["gmm", "seg"]):
        assert backend.begun.wait(10)
    assert backend.opened == ["gmm"]
    assert not any(t.name == "fuw-ahead" for t in threading.enumerate())


def test_an_error_is_met_where_the_network_is_needed() -> None:
    backend = Slow(broken="gmm")
    backend.go.set()
    nets = _nets(backend, "seg", "gmm")
    with opened_ahead(nets, ["gmm", "seg"]):
        with pytest.raises(BackendError, match="broken"):
            nets["gmm"].open()
        nets["seg"].open()
    assert backend.opened == ["seg"]
