"""ONNX Runtime on an NVIDIA GPU: the path where there is no TensorRT engine.

ONNX Runtime falls back to the CPU without an error when a library of CUDA does not load, so the
session is asked where it runs, and a node that CUDA has no kernel for is told. The binding is
tested on the CPU; never run on a GPU.
"""

from __future__ import annotations

import contextlib
import io
import logging
import threading
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.on_device import OnDevice
from fuw.engine.ort import first_line
from fuw.engine.probe import ANSWER, QUESTION, one_node
from fuw.engine.weights import proved
from fuw.kernels.device import Device, DeviceArray
from fuw.kernels.launch import CudaDevice, parse_device

log = logging.getLogger(__name__)

PROVIDER = "CUDAExecutionProvider"


class BoundSession(OnDevice):
    """A session that reads and writes arrays of our device, on our device's stream.

    Never recorded: inside somebody else's CUDA graph ONNX Runtime frees host memory, which CUDA
    forbids there, and ends the process (onnxruntime pull request 32081, measured on an H200).
    """

    def __init__(self, ort: ModuleType, session: Any, model: Model, device: Device,
                 kind: str = "cuda", number: int = 0, owns: bool = True) -> None:
        """
        Args:
            kind: where the arrays lie, in ONNX Runtime's words; "cpu" in tests without a GPU.
            number: of the GPU.
            owns: `device` is closed with the session.
        """
        super().__init__(device, owns)
        self._session = session
        self._place, self._lock = (kind, number), threading.Lock()
        self._settings = ort.RunOptions()
        # Otherwise every run ends with a wait for the stream.
        self._settings.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._outputs = {t.name: t.shape(model.sizes, model.batch) for t in model.spec.outputs}

    def queue(self, feeds: Mapping[str, DeviceArray]) -> list[DeviceArray]:
        """Queue a run; nothing waits, unless nodes of the network run on the CPU."""
        with self._device.queueing() as stream, self._lock:  # in this order everywhere
            if self._session is None:
                raise BackendError("this ONNX Runtime session was closed; open another Fitter")
            if self._device.recording and not self.recordable:
                raise BackendError("ONNX Runtime cannot be part of a CUDA graph of ours")
            if stream != self._device.stream:
                raise BackendError("ONNX Runtime keeps to one stream; this is a mistake in fuw, "
                                   "please report it")
            answers = {name: self._device.empty(shape, np.float32)
                       for name, shape in self._outputs.items()}
            try:
                binding = self._session.io_binding()
                for name, array in feeds.items():
                    binding.bind_input(name, *self._place, array.dtype.type, array.shape,
                                       array.pointer)
                for name, array in answers.items():
                    binding.bind_output(name, *self._place, array.dtype.type, array.shape,
                                        array.pointer)
                self._session.run_with_iobinding(binding, self._settings)
            except Exception as error:  # ONNX Runtime's own family has no common public base
                raise failure("ONNX Runtime CUDA failed", error) from error
        return list(answers.values())

    def close(self) -> None:
        """Drop the session; a second call does nothing."""
        with self._lock:
            if self._session is None:
                return
            self._session = None
        self._close_device()


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
        model = model.dense or model  # the sparse form's shapes follow its data: no CUDA graph
        device = options.gpu or CudaDevice(options.device)
        try:
            session = _session(ort, str(proved(model)), number, model.spec.name, device.stream)
            return BoundSession(ort, session, model, device, "cuda", number,
                                owns=options.gpu is None)
        except BaseException:
            if options.gpu is None:
                device.close()
            raise


def check(device: str) -> None:
    """Open the GPU as a Fitter would and run a network of one node on it; raises BackendError."""
    ort, number = _onnxruntime(), parse_device(device)
    gpu = CudaDevice(device)
    try:
        session = _session(ort, one_node(), number, "a network of one node", gpu.stream)
        answer = session.run(None, {"x": QUESTION})[0]
    finally:
        gpu.close()
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


def _session(ort: ModuleType, file: str | bytes, number: int, name: str, stream: int) -> Any:
    """A session that really is on the GPU, with all of its nodes if that can be had."""
    try:
        return _opened(ort, file, number, name, stream, strict=True)
    except BackendError as error:
        if "fallback to CPU EP" not in str(error):
            raise
    session = _opened(ort, file, number, name, stream, strict=False)
    log.warning("%s: ONNX Runtime puts some of its nodes on the CPU; every run waits for them",
                name)
    return session


def _opened(ort: ModuleType, file: str | bytes, number: int, name: str, stream: int,
            strict: bool) -> Any:
    settings = ort.SessionOptions()
    settings.log_severity_level = 4  # what does not load is reported below, in one sentence
    if strict:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # TF32 keeps ten bits of the mantissa: fp32 would not hold its gate.
    provider = (PROVIDER, {"device_id": str(number), "use_tf32": "0",
                           "user_compute_stream": str(stream)})
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            if hasattr(ort, "preload_dlls"):  # CUDA and cuDNN of pip's nvidia-* packages
                ort.preload_dlls()
            session = ort.InferenceSession(file, settings, providers=[provider])
    except Exception as error:  # ONNX Runtime's own family has no common public base
        raise failure(f"{name}: ONNX Runtime CUDA cannot open it", error) from error
    there = session.get_providers()
    if PROVIDER not in there:
        raise BackendError(
            f"{name}: ONNX Runtime fell back to {there[0]}: cuda:{number} is not there, or CUDA, "
            "cuDNN or the driver does not load; pip install 'onnxruntime-gpu[cuda,cudnn]' and see "
            "fuw-info, or use --device cpu"
        )
    return session


def failure(what: str, error: Exception) -> BackendError:
    """`error` in a sentence; NoRoom where memory is what is missing."""
    words = first_line(error)
    if "memory" in words.lower() or "BFCArena" in words:
        return NoRoom(f"{what}: out of memory ({words}); use a smaller batch or --size, or close "
                      "other programs on that GPU")
    return BackendError(f"{what}: {words}; try --device cpu")
