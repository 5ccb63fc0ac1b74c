"""ONNX Runtime on an NVIDIA GPU: the path where there is no TensorRT engine.

ONNX Runtime falls back to the CPU without an error when a library of CUDA does not load, so the
session is asked where it runs. The binding is tested on the CPU; never run on a GPU.
"""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.errors import BackendError
from fuw.engine.ort import first_line
from fuw.engine.probe import ANSWER, QUESTION, one_node
from fuw.kernels.launch import parse_device

PROVIDER = "CUDAExecutionProvider"


class BoundSession:
    """A session whose inputs and outputs lie on the device from the start; runs take turns."""

    def __init__(self, ort: ModuleType, session: Any, model: Model, kind: str = "cuda",
                 number: int = 0) -> None:
        """
        Args:
            kind: where the buffers lie, in ONNX Runtime's words; "cpu" in tests without a GPU.
            number: of the GPU.
        """
        def buffer(shape: tuple[int, ...]) -> Any:
            return ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, kind, number)

        self._session, self._lock = session, threading.Lock()
        self._binding = session.io_binding()
        spec, sizes, batch = model.spec, model.sizes, model.batch
        self._inputs = {t.name: buffer(t.shape(sizes, batch)) for t in spec.inputs}
        self._outputs = {t.name: buffer(t.shape(sizes, batch)) for t in spec.outputs}
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once, host to host; outputs in the order of the spec."""
        with self._lock:
            if self._session is None:
                raise BackendError("this ONNX Runtime session was closed; open another Fitter")
            try:
                for name, value in feeds.items():
                    self._inputs[name].update_inplace(value)
                self._binding.synchronize_inputs()
                self._session.run_with_iobinding(self._binding)
                self._binding.synchronize_outputs()
                return [np.array(value.numpy(), np.float32) for value in self._outputs.values()]
            except Exception as error:  # ONNX Runtime's own family has no common public base
                raise BackendError(f"ONNX Runtime CUDA failed: {_cause(error)}") from error

    def close(self) -> None:
        """Drop the session and its buffers; a second call does nothing."""
        with self._lock:
            self._session = self._binding = None
            self._inputs, self._outputs = {}, {}


class OrtCuda:
    """ONNX Runtime, CUDA provider, fp16 or fp32 as the file is."""

    name = "ort-cuda"

    def open(self, model: Model, options: OpenOptions) -> Session:
        """Open `model.path` on the GPU `options.device`.

        Raises:
            BackendError: no onnxruntime-gpu, its CUDA libraries do not load (it would run on the
                CPU), no such GPU, or the file or the memory does not do.
        """
        ort, number = _onnxruntime(), parse_device(options.device)
        session = _session(ort, str(model.path), number, model.spec.name)
        try:
            return BoundSession(ort, session, model, "cuda", number)
        except Exception as error:
            raise BackendError(f"{model.spec.name}: no buffers on {options.device}: "
                               f"{_cause(error)}") from error


def check(device: str) -> None:
    """Run a network of one node on the GPU `device`; raises BackendError where that fails."""
    session = _session(_onnxruntime(), one_node(), parse_device(device), "a network of one node")
    answer = session.run(None, {"x": QUESTION})[0]
    if not np.array_equal(answer, ANSWER):
        raise BackendError(f"ONNX Runtime on {device} answers {answer} to relu; update the NVIDIA "
                           "driver, or use --device cpu")


def _onnxruntime() -> ModuleType:
    """The module, with its CUDA provider compiled in."""
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendError("ONNX Runtime is not installed; install the GPU backends: "
                           "pip install 'fuw[gpu]'") from error
    if PROVIDER not in ort.get_available_providers():
        raise BackendError(
            f"the installed onnxruntime {ort.__version__} has no CUDA provider; put the GPU's in "
            "its place (the two overwrite each other): pip uninstall onnxruntime && "
            "pip install onnxruntime-gpu"
        )
    module: ModuleType = ort
    return module


def _session(ort: ModuleType, file: str | bytes, number: int, name: str) -> Any:
    """A session that really is on the GPU."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # what does not load is reported below, in one sentence
    # TF32 keeps ten bits of the mantissa: fp32 would not hold its gate.
    provider = (PROVIDER, {"device_id": str(number), "use_tf32": "0"})
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if hasattr(ort, "preload_dlls"):  # CUDA and cuDNN of pip's nvidia-* packages
                ort.preload_dlls()
            session = ort.InferenceSession(file, settings, providers=[provider])
    except Exception as error:  # ONNX Runtime's own family has no common public base
        raise BackendError(f"{name}: ONNX Runtime CUDA cannot open it: {_cause(error)}") from error
    there = session.get_providers()
    if PROVIDER not in there:
        raise BackendError(
            f"{name}: ONNX Runtime fell back to {there[0]}: cuda:{number} is not there, or CUDA, "
            "cuDNN or the driver does not load; pip install 'onnxruntime-gpu[cuda,cudnn]' and see "
            "fuw-info, or use --device cpu"
        )
    return session


def _cause(error: Exception) -> str:
    words = first_line(error)
    if "memory" in words.lower() or "BFCArena" in words:
        return (f"out of memory ({words}); use a smaller batch or --size, or close other programs "
                "on that GPU")
    return f"{words}; try --device cpu"
