"""ONNX Runtime's optimised graphs in our own store: what it makes of a file is made once.

Folding, fusing and laying out anew is two thirds of the time a file takes to open.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fuw.engine.backend import Model
from fuw.engine.model_key import cpu_key
from fuw.engine.store import Key, Store
from fuw.engine.weights import proved

log = logging.getLogger(__name__)


def session(ort: Any, model: Model, settings: Any, cache: Path | None) -> Any:
    """An `InferenceSession` of `model` on the CPU: of its optimised graph in `cache`, else of the
    file itself, whose optimised graph is then kept.

    A store that cannot be used costs the time of optimising and a warning, never the run. What
    ONNX Runtime raises about the file itself is passed on.

    Args:
        ort: the module.
        settings: `SessionOptions`; changed here.
    """
    if cache is None:
        return _open(ort, proved(model), settings)
    store, key = Store(cache, fallback=False), cpu_key(model, "onnxruntime", ort.__version__)
    path = store.get(key)
    if path is not None:
        try:
            return _optimised(ort, path, settings)
        except Exception as error:  # ONNX Runtime's own family has no common public base
            log.warning("%s: ONNX Runtime does not load %s (%s); optimising anew",
                        model.spec.name, path, str(error).splitlines()[0])  # fmt: skip
            store.discard(key)
    return _kept(ort, model, settings, store, key)


def _kept(ort: Any, model: Model, settings: Any, store: Store, key: Key) -> Any:
    """Open the file; ONNX Runtime writes the optimised graph on the way."""
    made: list[Any] = []

    def build(path: Path) -> None:
        settings.optimized_model_filepath = str(path)
        made.append(_open(ort, proved(model), settings))

    try:
        path = store.put(key, build)
        return made[0] if made else _optimised(ort, path, settings)  # another process was quicker
    except Exception as error:  # the store's, or ONNX Runtime's about the file or the disk
        settings.optimized_model_filepath = ""
        opened = made[0] if made else _open(ort, proved(model), settings)
        log.warning("%s: its optimised graph is not kept: %s", model.spec.name, error)
        return opened


def _optimised(ort: Any, path: Path, settings: Any) -> Any:
    level = settings.graph_optimization_level
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return _open(ort, path, settings)
    finally:
        settings.graph_optimization_level = level


def _open(ort: Any, path: Path, settings: Any) -> Any:
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
