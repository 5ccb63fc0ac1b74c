"""Compiled OpenVINO models in our own store.

OpenVINO's CACHE_DIR loads a blob whose bytes were damaged and then computes wrong numbers without
a word (4 KB of zeros in the middle of one were enough), and asks nobody who may write the folder.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine.backend import Model
from fuw.engine.errors import StoreError
from fuw.engine.model_key import cpu_key
from fuw.engine.silent_openvino import load_openvino
from fuw.engine.store import Store
from fuw.engine.weights import proved

log = logging.getLogger(__name__)


def compiled_model(core: Any, model: Model, config: dict[str, Any], cache: Path | None) -> Any:
    """`model` compiled for the CPU: from the store in `cache`, else anew and then kept there.

    A store that cannot be used costs the time of compiling and a warning, never the run. What
    OpenVINO raises while it compiles is passed on.
    """
    if cache is None:
        return core.compile_model(str(proved(model)), "CPU", config)
    ov = load_openvino()
    settings = " ".join(f"{name}={value}" for name, value in sorted(config.items()))
    key = cpu_key(model, "openvino", ov.__version__, settings)
    store = Store(cache, fallback=False)
    path = store.get(key)
    if path is not None:
        try:
            return _load(core, path, config)
        except RuntimeError as error:
            log.warning("%s: OpenVINO does not load %s (%s); compiling anew",
                        model.spec.name, path, str(error).splitlines()[-1])  # fmt: skip
            store.discard(key)
    compiled = core.compile_model(str(proved(model)), "CPU", config)
    try:
        store.put(key, lambda made: _save(compiled, made))
    except StoreError as error:
        log.warning("%s", error)
    return compiled


def _load(core: Any, path: Path, config: dict[str, Any]) -> Any:
    ov = load_openvino()
    # mapped and copied once: a blob read into bytes would lie in memory twice
    return core.import_model(ov.Tensor(np.memmap(path, np.uint8, "r")), "CPU", config)


def _save(compiled: Any, path: Path) -> None:
    with path.open("wb") as out:
        out.write(compiled.export_model().getbuffer())
