"""What this machine computes on, asked of the system itself: no package of ours is needed."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "neon", "asimd")
NVIDIA_NODES = ("/dev/nvidiactl", "/dev/dxg")  # Linux, and Windows' Linux
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


@dataclass(frozen=True)
class Device:
    """A processor or a GPU.

    Attributes:
        name: "cpu", "cuda:0", ...
        arch: "sm_90" of a GPU; the instruction sets that matter here of a processor.
        memory: bytes; 0 where unknown.
        driver: of a GPU.
    """

    name: str
    model: str
    arch: str
    memory: int
    driver: str = ""
    cores: int = 0


def cpu() -> Device:
    """This processor, with the cores that this process may use."""
    text = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set((re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE) or [""])[0]
                .split())  # fmt: skip
    total = re.search(r"^MemTotal:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device(
        "cpu",
        model[1] if model else platform.processor() or platform.machine(),
        " ".join(flag for flag in FLAGS if flag in flags),
        int(total[1]) * 1024 if total else 0,
        cores=cores or 1,
    )


def gpus() -> tuple[list[Device], str]:
    """NVIDIA GPUs as the driver tells them, and why there is none ("" where that is plain).

    The driver's library is asked directly: nvidia-smi is missing in many containers.
    """
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        if any(Path(node).exists() for node in NVIDIA_NODES):
            return [], "there is a GPU, but the driver's library libcuda.so.1 is not found"
        return [], ""
    status = cuda.cuInit(0)
    if status:
        missing = status == 100  # CUDA_ERROR_NO_DEVICE
        return [], "" if missing else f"the CUDA driver does not start (error {status})"
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return [_gpu(cuda, index) for index in range(count.value)], ""


def _gpu(cuda: ctypes.CDLL, index: int) -> Device:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(128), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(handle), index)
    cuda.cuDeviceGetName(name, len(name), handle)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle)
    return Device(f"cuda:{index}", name.value.decode(errors="replace"),
                  f"sm_{major.value}{minor.value}", memory.value, _driver(cuda))  # fmt: skip


def _driver(cuda: ctypes.CDLL) -> str:
    """The driver's release, else the CUDA version it speaks."""
    release = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", _read("/proc/driver/nvidia/version"))
    if release:
        return release[1]
    version = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    return f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
