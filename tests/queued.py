"""ONNX Runtime on the CPU whose runs wait in a stream of the made-up GPU, as CUDA's would."""

import ctypes
from collections.abc import Callable
from typing import Any

import onnxruntime as ort
from made_up_cuda import MadeUpCuda

from fuw.engine.backend import Model, OpenOptions
from fuw.engine.ort_cuda import BoundSession
from fuw.kernels.device import Device


class Queued:
    """An ONNX Runtime session whose runs wait in a stream's queue, as on a GPU; `spoil` may touch
    the outputs afterwards."""

    def __init__(self, session: Any, device: Device, cuda: MadeUpCuda) -> None:
        self.session, self.device, self.cuda, self.runs = session, device, cuda, 0
        self.io_binding = session.io_binding
        self.allocates = False

    def run_with_iobinding(self, binding: Any, settings: Any) -> None:
        assert settings.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        if self.allocates and self.device.recording:
            raise RuntimeError("cudaErrorStreamCaptureUnsupported")

        def run() -> None:
            self.runs += 1
            self.session.run_with_iobinding(binding)

        self.cuda.host(self.device.stream, run)


class Overflowing(Queued):
    """It answers infinity in one place, as half floats that were left too small do."""

    def run_with_iobinding(self, binding: Any, settings: Any) -> None:
        super().run_with_iobinding(binding, settings)

        def spoil() -> None:
            value = binding.get_outputs()[0]
            value.numpy()  # a copy: ONNX Runtime's own memory is written below
            (ctypes.c_float * 3).from_address(value.data_ptr() + 4000)[1] = float("inf")

        self.cuda.host(self.device.stream, spoil)


class Recordable(BoundSession):
    """As an engine of TensorRT, which a CUDA graph may hold."""

    recordable = True


class QueuedBackend:
    """ONNX Runtime CUDA as far as our code goes, on the CPU."""

    name = "ort-cuda"

    def __init__(self, cuda: MadeUpCuda) -> None:
        self.cuda, self.sessions = cuda, dict[str, Queued]()
        self.kind: type[BoundSession] = Recordable
        self.wrap: Callable[[Model, Any], Any] = lambda model, session: session

    def open(self, model: Model, options: OpenOptions) -> BoundSession:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        session = ort.InferenceSession(str(model.path), settings,
                                       providers=["CPUExecutionProvider"])
        assert options.gpu is not None
        queued = Queued(session, options.gpu, self.cuda)
        self.sessions[f"{model.spec.name} {model.precision}"] = queued
        return self.kind(ort, self.wrap(model, queued), model, options.gpu, "cpu", owns=False)
