"""Marks that need hardware or files skip with a reason in words."""

import os

import pytest


@pytest.fixture(autouse=True)
def _quiet_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of a test run never touch the user's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def _gpu_missing() -> str | None:
    if not any(os.path.exists(p) for p in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")):
        return "no NVIDIA GPU on this machine"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = _gpu_missing()
    for item in items:
        if missing and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=missing))
