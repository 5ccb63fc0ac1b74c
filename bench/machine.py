"""The machine a figure was measured on, and its ceilings: a large GEMM per precision, a copy."""

from __future__ import annotations

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import fuw
from fuw.bench.stats import least_seconds
from fuw.engine.silent_openvino import load_openvino

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "openvino", "torch", "tensorrt")
GEMMS = (1024, 1536, 3072)  # sides; the ceiling is the best of them, whichever suits the caches


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
    """GFLOP/s of a GEMM in fp32 and bf16 (OpenVINO), and GB/s of a copy (read + write) by so many
    threads; the best of several, since a ceiling is what the machine can, not what it did."""
    found = {f"gemm_{name}_gflops": max(_gemm(name, threads, side) for side in GEMMS)
             for name in ("f32", "bf16")}
    found["copy_gbs"] = copy_gbs(threads)
    return found


def copy_gbs(threads: int) -> float:
    """GB/s, read and write counted, of copying far more than the caches hold."""
    source = np.ones(128 << 20, np.uint8)
    target = np.empty_like(source)
    pieces = list(zip(np.array_split(target, threads), np.array_split(source, threads),
                      strict=True))
    with ThreadPoolExecutor(threads) as pool:  # copyto gives up the interpreter's lock
        return 2 * source.nbytes / least_seconds(
            lambda: list(pool.map(lambda pair: np.copyto(*pair), pieces))) / 1e9


def _gemm(hint: str, threads: int, side: int) -> float:
    ov = load_openvino()
    ops = ov.opset13
    x = ops.parameter([side, side], np.float32)
    weight = ops.constant(np.random.default_rng(0).standard_normal((side, side), np.float32))
    model = ov.Model([ops.matmul(x, weight, False, False)], [x])
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    feed = np.random.default_rng(1).standard_normal((side, side), np.float32)
    return 2 * side**3 / least_seconds(lambda: request.infer([feed])) / 1e9


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, MiB.

    From /proc where it is there: `ru_maxrss` also counts what the process that started this one
    held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def available_gib() -> float:
    """Memory that a new process could have without anybody being pushed out, GiB."""
    path = Path("/proc/meminfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return float("inf")


def device_memory_mib(pid: int) -> float:
    """GPU memory that the driver counts for this process, MiB; 0 where it tells nothing."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return 0.0
    rows = [line.split(",") for line in done.stdout.splitlines()]
    return sum(float(row[1]) for row in rows if len(row) == 2 and row[0].strip() == str(pid))


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
