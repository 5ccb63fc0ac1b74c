"""OpenVINO on the CPU: fp32, or bf16 where the processor multiplies in bf16."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.errors import BackendError, CheckpointError
from fuw.engine.ov_cache import compiled_model
from fuw.engine.silent_openvino import load_openvino

HINT = {"fp32": "f32", "bf16": "bf16", "fp16": "f32"}  # CPUs have no fp16 arithmetic worth using


def has_bf16() -> bool:
    """Whether this processor has bf16 dot products (AVX512-BF16 or AMX), read from Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return False
    flags = cpuinfo.read_text(errors="replace")
    return "amx_bf16" in flags or "avx512_bf16" in flags


class OpenVinoSession:
    """A compiled model; each thread has an infer request of its own."""

    def __init__(self, compiled: Any, outputs: list[str]) -> None:
        self._compiled, self._outputs = compiled, outputs
        self._local = threading.local()

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once; outputs are copies, since the request's buffers are reused."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        request.infer(dict(feeds), share_inputs=True)
        return [np.array(request.get_tensor(name).data, np.float32) for name in self._outputs]

    def close(self) -> None:
        """Drop the compiled model and this thread's request."""
        self._local = threading.local()
        self._compiled = None


class OpenVino:
    """OpenVINO, CPU plugin."""

    name = "openvino"

    def open(self, model: Model, options: OpenOptions) -> Session:
        """Compile `model.path`, or load the compiled blob from `options.cache`."""
        try:
            ov = load_openvino()
        except ImportError as error:
            raise BackendError(
                "OpenVINO is not installed; install the CPU backends: pip install 'fuw[cpu]', "
                "or choose --backend ort-cpu"
            ) from error
        core = ov.Core()
        # The CPU plugin's default on bf16 processors IS bf16, so fp32 must be asked for.
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINT[model.precision],
                                  "PERFORMANCE_HINT": "LATENCY"}
        if options.threads:
            config["INFERENCE_NUM_THREADS"] = options.threads
        try:
            compiled = compiled_model(core, model, config, options.cache)
        except CheckpointError:
            raise
        except Exception as error:  # OpenVINO raises plain RuntimeError
            first = str(error).strip().splitlines()
            raise BackendError(
                f"{model.spec.name}: OpenVINO cannot open {model.path}: "
                f"{first[-1] if first else type(error).__name__}; "
                "export it again with fuw-export --force"
            ) from error
        return OpenVinoSession(compiled, [t.name for t in model.spec.outputs])
