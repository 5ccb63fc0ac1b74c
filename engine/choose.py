"""Which backend, device and precision a run uses: asked for, or the best that is really there."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from fuw.engine.backend import Backend
from fuw.engine.errors import BackendError
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino, has_bf16

CPU_BACKENDS: dict[str, type[OrtCpu] | type[OpenVino]] = {"openvino": OpenVino, "ort-cpu": OrtCpu}
PACKAGES = {"openvino": "openvino", "ort-cpu": "onnxruntime"}


@dataclass(frozen=True)
class Choice:
    """What a run computes on: `name` backend, `device` "cpu" or "cuda:N", `precision`."""

    name: str
    device: str
    precision: str

    def backend(self) -> Backend:
        """A backend object of this choice."""
        return CPU_BACKENDS[self.name]()


def choose(device: str = "auto", backend: str = "auto", precision: str = "auto") -> Choice:
    """Resolve "auto" to what this machine has; raises BackendError where the wish cannot be met.

    On a CPU OpenVINO is taken before ONNX Runtime (faster on every network measured,
    docs/performance.md), and bf16 where the processor multiplies in bf16.
    """
    if device not in ("auto", "cpu"):
        raise BackendError(
            f"device {device!r} cannot be used: the GPU backends are not in this version; "
            "use --device cpu"
        )
    if backend == "auto":
        backend = next((name for name, package in PACKAGES.items() if find_spec(package)), "")
        if not backend:
            raise BackendError(
                "no backend is installed; install the CPU backends: pip install 'fuw[cpu]'"
            )
    if backend not in CPU_BACKENDS:
        raise BackendError(
            f"there is no backend {backend!r}; there are {', '.join(CPU_BACKENDS)}"
        )
    if find_spec(PACKAGES[backend]) is None:
        raise BackendError(
            f"backend {backend} needs the package {PACKAGES[backend]}; "
            f"install it: pip install {PACKAGES[backend]}"
        )
    if precision == "auto":
        precision = "bf16" if backend == "openvino" and has_bf16() else "fp32"
    if precision not in ("fp32", "bf16") or (backend == "ort-cpu" and precision != "fp32"):
        able = "fp32 or bf16" if backend == "openvino" else "fp32"
        raise BackendError(f"backend {backend} computes in {able} on a CPU, not {precision}")
    return Choice(backend, "cpu", precision)
