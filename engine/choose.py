"""Which backend, device and precision a run uses: asked for, or the best that is really there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from fuw.engine import devices, ort_cuda, trt
from fuw.engine.backend import Backend
from fuw.engine.errors import BackendError
from fuw.engine.ort import OrtCpu
from fuw.engine.ort_cuda import OrtCuda
from fuw.engine.ov import OpenVino, has_bf16
from fuw.engine.trt import TensorRt
from fuw.kernels.launch import parse_device

log = logging.getLogger(__name__)

# In the order in which "auto" takes them.
CPU_BACKENDS: Mapping[str, type[OrtCpu] | type[OpenVino]] = {"openvino": OpenVino,
                                                             "ort-cpu": OrtCpu}
GPU_BACKENDS: Mapping[str, type[TensorRt] | type[OrtCuda]] = {"trt": TensorRt, "ort-cuda": OrtCuda}
PACKAGES = {"openvino": "openvino", "ort-cpu": "onnxruntime"}
PRECISIONS = {"openvino": ("fp32", "bf16"), "ort-cpu": ("fp32",),
              "trt": ("fp16", "bf16", "fp32"), "ort-cuda": ("fp16", "fp32")}  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """What a run computes on: `name` backend, `device` "cpu" or "cuda:N", `precision`."""

    name: str
    device: str
    precision: str

    @property
    def stored(self) -> str:
        """Precision of the network files: a CPU lowers the fp32 file itself, a GPU takes what the
        file says."""
        return "fp32" if self.device == "cpu" else self.precision

    def backend(self) -> Backend:
        """A backend object of this choice."""
        return {**CPU_BACKENDS, **GPU_BACKENDS}[self.name]()


def choose(device: str = "auto", backend: str = "auto", precision: str = "auto") -> Choice:
    """Resolve "auto" to what this machine has; raises BackendError where the wish cannot be met.

    "auto" takes a GPU only where ONNX Runtime has just computed on it, and TensorRT there only
    where it can be loaded as well. On a CPU OpenVINO is taken before ONNX Runtime (faster on every
    network measured, bench/results), and bf16 where the processor multiplies in bf16.
    """
    known = [*CPU_BACKENDS, *GPU_BACKENDS]
    if backend not in ("auto", *known):
        raise BackendError(f"there is no backend {backend!r}; there are {', '.join(known)}")
    if device == "auto":
        device = _device(backend)
    if device == "cpu":
        return _on_cpu(backend, precision)
    return _on_gpu(f"cuda:{parse_device(device)}", backend, precision)


def _device(backend: str) -> str:
    """The device of "auto": a backend that was asked for decides."""
    if backend != "auto":
        return "cuda:0" if backend in GPU_BACKENDS else "cpu"
    found, _ = devices.gpus()
    if not found:
        return "cpu"
    if problem := _problem("ort-cuda", found[0].name):
        log.warning("%s is not used: %s", found[0].model, problem)
        return "cpu"
    return found[0].name


def _on_cpu(backend: str, precision: str) -> Choice:
    if backend == "auto":
        backend = next((name for name, package in PACKAGES.items() if find_spec(package)), "")
        if not backend:
            raise BackendError(
                "no backend is installed; install the CPU backends: pip install 'fuw[cpu]'"
            )
    if backend not in CPU_BACKENDS:
        raise BackendError(f"backend {backend} needs a GPU, not --device cpu; on a CPU there are "
                           f"{', '.join(CPU_BACKENDS)}")
    if find_spec(PACKAGES[backend]) is None:
        raise BackendError(
            f"backend {backend} needs the package {PACKAGES[backend]}; "
            f"install it: pip install {PACKAGES[backend]}"
        )
    if precision == "auto":
        precision = "bf16" if backend == "openvino" and has_bf16() else "fp32"
    return Choice(backend, "cpu", _able(backend, precision, "a CPU"))


def _on_gpu(device: str, backend: str, precision: str) -> Choice:
    if backend in CPU_BACKENDS:
        raise BackendError(f"backend {backend} computes on a CPU, not on {device}; on a GPU there "
                           f"are {', '.join(GPU_BACKENDS)}")
    trt.gpu_named(device)  # that there is none is said before what is not installed
    wanted = list(GPU_BACKENDS) if backend == "auto" else [backend]
    problems = {}
    for name in wanted:
        problems[name] = _problem(name, device)
        if not problems[name]:
            chosen = "fp16" if precision == "auto" else precision
            return Choice(name, device, _able(name, chosen, "a GPU"))
    raise BackendError(f"{device} cannot be used: "
                       + "; ".join(f"{name}: {problem}" for name, problem in problems.items()))


def _problem(backend: str, device: str) -> str:
    """Why `backend` does not open on the GPU `device`, tried; "" where it does."""
    try:
        if backend == "ort-cuda":
            ort_cuda.check(device)
        else:
            trt.check(device)
    except BackendError as error:
        return str(error)
    return ""


def _able(backend: str, precision: str, kind: str) -> str:
    able = PRECISIONS[backend]
    if precision not in able:
        raise BackendError(f"backend {backend} computes in {' or '.join(able)} on {kind}, "
                           f"not {precision}")
    return precision
