"""The machine a figure was measured on, and its ceilings: a large GEMM per precision, a copy."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import fuw

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch", "tensorrt")
GEMM = 1536  # 2 n^3 = 7.2 GFLOP: long enough to settle, short enough to repeat


def describe() -> dict[str, Any]:
    """Processor, memory, system, versions, revision."""
    return {
        "processor": _cpu_name(), "cores": len(os.sched_getaffinity(0)),
        "flags": [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in _cpu_flags()],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(), "python": platform.python_version(),
        "fuw": fuw.__version__, "revision": _revision(),
        "packages": {name: v for name in PACKAGES if (v := _version(name))},
    }


def ceilings(threads: int) -> dict[str, float]:
    """GFLOP/s of a GEMM in fp32 and bf16 (OpenVINO), and GB/s of a copy (read + write)."""
    found = {f"gemm_{name}_gflops": _gemm(name, threads) for name in ("f32", "bf16")}
    source = np.zeros(64 << 20, np.uint8)
    target = np.empty_like(source)
    found["copy_gbs"] = 2 * source.nbytes / _best(lambda: np.copyto(target, source)) / 1e9
    return found


def _gemm(hint: str, threads: int) -> float:
    import openvino as ov
    from openvino import opset13 as ops

    x = ops.parameter([GEMM, GEMM], np.float32)
    weight = ops.constant(np.random.default_rng(0).standard_normal((GEMM, GEMM), np.float32))
    model = ov.Model([ops.matmul(x, weight, False, False)], [x])
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    feed = np.random.default_rng(1).standard_normal((GEMM, GEMM), np.float32)
    return 2 * GEMM**3 / _best(lambda: request.infer([feed])) / 1e9


def _best(run: Callable[[], object], repeats: int = 7) -> float:
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return min(spent)


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, MiB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_name() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_flags() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("flags"):
            return line
    return ""


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(errors="replace") if path.exists() else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _revision() -> str:
    root = Path(fuw.__file__).parent
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"
