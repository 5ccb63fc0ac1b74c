"""TensorRT, or TensorRT for RTX where that is what is installed: engines built by fuw-export.

Nothing is built here: an engine takes minutes, so a network without one runs in ONNX Runtime and
a warning says how to build it. Parsing and building were tried without a GPU (TensorRT for RTX
1.7); loading and running an engine has never been tried on a GPU. Whatever TensorRT allocates goes
to the context that is current, so every call of it is made inside `Device.current`.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fuw.engine import devices
from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.errors import BackendError, NoRoom
from fuw.engine.model_key import key_of
from fuw.engine.on_device import OnDevice
from fuw.engine.ort_cuda import OrtCuda
from fuw.engine.store import Key, Store
from fuw.engine.weights import folder_of
from fuw.kernels.device import Device, DeviceArray
from fuw.kernels.launch import CudaDevice, parse_device

log = logging.getLogger(__name__)

PACKAGES = ("tensorrt", "tensorrt_rtx")
KEPT = 200  # lines of TensorRT's log
# What get_engine_validity says, bit by bit, in words.
INVALID = {
    "VERSION_MISMATCH": "it was built by another version of TensorRT for RTX",
    "UNSUPPORTED_CC": "it was not built for this GPU's architecture",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory",
    "MALFORMED_ENGINE": "its bytes are no engine",
    "CUDA_ERROR": "CUDA does not answer",
}


def package() -> ModuleType:
    """The module `tensorrt`, else `tensorrt_rtx`; the rest of this file is the same for both.

    Raises:
        BackendError: neither is installed, or what is there does not import.
    """
    causes = []
    for name in PACKAGES:
        try:
            return importlib.import_module(name)
        except Exception as error:  # a wheel without its libraries may fail in any way
            causes.append(f"{name}: {error}")
    raise BackendError(
        f"TensorRT does not import ({'; '.join(causes)}); install it: pip install tensorrt, or "
        "pip install tensorrt-rtx-cu13, whose builder needs no GPU"
    )


@lru_cache(maxsize=2)
def logger(trt: ModuleType) -> Any:
    """The one logger of a process (TensorRT ignores a second); `lines` holds what it last said."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined]  # known when it is installed
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: deque[tuple[str, str]] = deque(maxlen=KEPT)

        def log(self, severity: Any, message: str) -> None:
            if severity.name not in ("VERBOSE", "INFO"):
                self.lines.append((severity.name, message))

    return Log()


def said(trt: ModuleType) -> str:
    """TensorRT's last errors, else its last warning, without its source files; "" if silent."""
    lines = list(logger(trt).lines)
    errors = [text for severity, text in lines if "ERROR" in severity]
    chosen = errors[-3:] or [text for _, text in lines[-1:]]
    plain = [re.sub(r"\s*\bIn \S+ at \S+?:\d+", "", text) for text in chosen]
    return " | ".join(dict.fromkeys(" ".join(text.split()) for text in plain))


def gpu_named(device: str) -> devices.Device:
    """The GPU "cuda" or "cuda:1"; raises BackendError where it is not there."""
    number, (found, why) = parse_device(device), devices.gpus()
    if not found:
        raise BackendError(f"{device}: no NVIDIA GPU answers "
                           f"({why or 'there is none on this machine'}); "
                           "use --device cpu")
    if number >= len(found):
        raise BackendError(f"there is no GPU {device}; there are "
                           f"{', '.join(gpu.name for gpu in found)}")
    return found[number]


def engine_key(trt: ModuleType, model: Model, gpu: devices.Device | None) -> Key:
    """What an engine of `model` is stored under; `gpu` None: for any GPU (TensorRT for RTX)."""
    return key_of(model, trt.__name__, trt.__version__, *(
        (gpu.driver, gpu.model, gpu.arch) if gpu else ("", "", "")))


def find_engine(trt: ModuleType, model: Model, gpu: devices.Device, store: Store) -> Path | None:
    """The engine built for this GPU, else (TensorRT for RTX) the one built for any."""
    path = store.get(engine_key(trt, model, gpu))
    if path is None and portable(trt):
        path = store.get(engine_key(trt, model, None))
    return path


def portable(trt: ModuleType) -> bool:
    """Whether engines are compiled to the end on the GPU that loads them."""
    return trt.__name__ == "tensorrt_rtx"


def check(device: str) -> None:
    """Open the GPU as a Fitter would, with TensorRT beside it; raises BackendError."""
    trt = package()
    gpu_named(device)
    gpu = CudaDevice(device)
    try:
        with gpu.current():
            if trt.Runtime(logger(trt)) is None:
                raise BackendError(f"TensorRT has no runtime here: {said(trt)}; try --backend "
                                   "ort-cuda")
    finally:
        gpu.close()


class TensorRt:
    """TensorRT on one GPU; networks without an engine go to ONNX Runtime CUDA, with a warning."""

    name = "trt"

    def open(self, model: Model, options: OpenOptions) -> Session:
        """Load the engine of `model` from the store in `options.cache`.

        Raises:
            BackendError: no TensorRT, driver, pycuda or GPU; an engine that does not load; or
                neither an engine nor ONNX Runtime's CUDA provider.
        """
        model = model.dense or model  # the sparse form's shapes follow its data
        trt, gpu = package(), gpu_named(options.device)
        store = Store(options.cache, fallback=False) if options.cache else None
        path = find_engine(trt, model, gpu, store) if store else None
        if path is None:
            why = store.explain(engine_key(trt, model, gpu)) if store else "no cache folder"
            return _next(model, options, why or "")
        device = options.gpu or CudaDevice(options.device)
        try:
            with device.current():
                engine = load(trt, path.read_bytes(), model.spec.name)
            return TrtSession(trt, engine, device, [t.name for t in model.spec.outputs],
                              owns=options.gpu is None)
        except BaseException:
            if options.gpu is None:
                device.close()
            raise


def _next(model: Model, options: OpenOptions, why: str) -> Session:
    """The same file in ONNX Runtime CUDA."""
    name, mend = model.spec.name, _export_command(model)
    try:
        session = OrtCuda().open(model, options)
    except BackendError as error:
        raise BackendError(f"{name} has no TensorRT engine ({why}); build it: {mend}. "
                           f"Without it: {error}") from error
    log.warning("%s has no TensorRT engine (%s) and runs in ONNX Runtime CUDA; build it: %s",
                name, why, mend)  # fmt: skip
    return session


def _export_command(model: Model) -> str:
    """The line that builds the engine of `model`."""
    folder = model.path.parent
    words = f"--{model.precision} --backend trt --networks {model.spec.name}"
    words += " --alias sparse" if model.windows else ""
    if model.origin != "starter":
        return f"fuw-export --weights {folder.parent if folder.name == 'onnx' else folder} {words}"
    if folder == folder_of("starter"):  # the package's own files stay as they are
        return f"fuw-export {words}, then use --weights onnx"
    return f"fuw-export --out {folder} {words}"


def load(trt: ModuleType, plan: bytes, name: str) -> Any:
    """The engine in `plan`; raises BackendError with the cause where this GPU cannot load it."""
    lines = logger(trt)
    lines.lines.clear()
    runtime = trt.Runtime(lines)
    if hasattr(runtime, "get_engine_validity"):  # TensorRT for RTX
        validity, bits = runtime.get_engine_validity(plan)
        if validity == trt.EngineValidity.INVALID:
            raise BackendError(f"{name}: the TensorRT engine does not run here: "
                               f"{diagnosis(trt, int(bits))}; build it again on this machine: "
                               "fuw-export --backend trt --force")
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise BackendError(f"{name}: TensorRT does not load the engine: {said(trt)}; build it "
                           "again: fuw-export --backend trt --force")
    return engine


def diagnosis(trt: ModuleType, bits: int) -> str:
    """The words of each bit that is set; TensorRT's log where none is."""
    kinds = trt.EngineInvalidityDiagnostics.__members__.items()
    words = [INVALID.get(name, name.lower()) for name, kind in kinds if bits & int(kind)]
    return ", ".join(words) or said(trt) or "TensorRT gives no reason"


class TrtSession(OnDevice):
    """An engine on a device; runs follow one another in the device's order."""

    recordable = True

    def __init__(self, trt: ModuleType, engine: Any, device: Device, outputs: Sequence[str],
                 owns: bool = True) -> None:
        """
        Args:
            outputs: in the order of the spec; an engine's own order is no promise.
            owns: `device` is closed with the session.

        Raises:
            BackendError: no memory, or a tensor that is not f32.
        """
        super().__init__(device, owns)
        self._trt, self._engine = trt, engine
        self._lock = threading.Lock()
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        for name in names:
            kind = engine.get_tensor_dtype(name)
            if kind != trt.float32 and (kind != trt.int32 or name in outputs):
                raise BackendError(f"the engine's tensor {name} is not float32; it is not one that "
                                   "fuw-export built: run fuw-export --backend trt --force")
        self._outputs = {name: tuple(engine.get_tensor_shape(name)) for name in outputs}
        with device.current():
            self._context = engine.create_execution_context()
        if self._context is None:
            raise NoRoom(f"TensorRT gives no execution context: {said(trt)}; use a smaller batch "
                         "or --size, or close other programs on that GPU")

    @property
    def memory(self) -> int:
        """Bytes of device memory that a run works in."""
        return int(getattr(self._engine, "device_memory_size_v2", 0))

    def queue(self, feeds: Mapping[str, DeviceArray]) -> list[DeviceArray]:
        """Queue a run; nothing waits, and nothing is copied: the engine reads and writes there."""
        with self._device.queueing() as stream, self._lock:  # in this order everywhere
            context = self._context
            if context is None:
                raise BackendError("this TensorRT session was closed; open another Fitter")
            answers = {name: self._device.empty(shape, np.float32)
                       for name, shape in self._outputs.items()}
            for name, array in (*feeds.items(), *answers.items()):
                if not context.set_tensor_address(name, array.pointer):
                    raise BackendError(f"TensorRT takes no array for {name}: {said(self._trt)}")
            if self._device.recording and not capturable(context, stream):
                raise BackendError("the engine allocates memory while it runs")
            if not context.execute_async_v3(stream):
                raise BackendError(f"TensorRT does not run the engine: {said(self._trt)}; try "
                                   "--backend ort-cuda")
        return list(answers.values())

    def close(self) -> None:
        """Free the engine, once what was queued is done; a second call does nothing."""
        with self._lock:
            if self._context is None:
                return
            with self._device.current():  # what CUDA frees belongs to this context
                self._context = self._engine = None
        self._close_device()


def capturable(context: Any, stream: int) -> bool:
    """Whether a CUDA graph can hold a run; plain TensorRT cannot be asked, and is tried."""
    return not hasattr(context, "is_stream_capturable") or bool(
        context.is_stream_capturable(stream))
