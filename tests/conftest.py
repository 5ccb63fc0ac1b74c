"""Marks that need hardware or files skip with a reason in words."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_cuda import MadeUpCuda, install
from shim_device import build


@pytest.fixture(scope="session", autouse=True)
def _quiet_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Caches of a test run never touch the user's own; set before a module's fixtures open any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels and the made-up driver, compiled by g++."""
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch, library: Path) -> Iterator[MadeUpCuda]:
    """The made-up GPU in the place of a real one; nothing may be left on it."""
    made = install(monkeypatch, library)
    yield made
    gc.collect()
    assert made.contexts() == (0, 0), "a context was left"
    assert made.used() == 0, "device memory was left"


def _gpu_missing() -> str | None:
    if not any(os.path.exists(p) for p in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")):
        return "no NVIDIA GPU on this machine"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _gpu_missing()
    for item in items:
        if missing and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=missing))
