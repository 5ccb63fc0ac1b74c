"""What a compiled model is kept under: everything about the network file and the machine."""

from __future__ import annotations

from functools import lru_cache

from fuw.engine import devices
from fuw.engine.backend import Model
from fuw.engine.store import Key
from fuw.engine.weights import proved


def cpu_key(model: Model, runtime: str, version: str, options: str = "") -> Key:
    """The key of `model` compiled for this machine's processor; see `key_of`."""
    return key_of(model, runtime, version, arch=_processor(), options=options)


def key_of(model: Model, runtime: str, version: str, driver: str = "", gpu: str = "",
           arch: str = "", options: str = "") -> Key:
    """The key of `model` compiled for a device.

    Args:
        runtime, version: what compiled it.
        driver, gpu, arch: of the device, "" where any will do.
        options: what else it was told.

    Raises:
        CheckpointError: there is no such file.
    """
    status = (model.path if model.path.is_file() else proved(model)).stat()
    size = "x".join(str(model.sizes[word]) for word in ("height", "width") if word in model.sizes)
    # a file that was changed behind its manifest is another network too
    file = f"file={status.st_size}@{status.st_mtime_ns}"
    return Key(
        model.spec.name, model.spec.hash(model.variant), model.sha256 or str(model.path.resolve()),
        model.precision, size, model.batch, runtime, version, driver, gpu, arch,
        f"{options} {file}".strip(),
    )  # fmt: skip


@lru_cache(maxsize=1)
def _processor() -> str:
    cpu = devices.cpu()
    return f"{cpu.model} {cpu.arch}"
