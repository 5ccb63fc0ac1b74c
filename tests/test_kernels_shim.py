"""Every kernel against its twin without a GPU: built by g++ through kernels/shim. One table over
all operations, which test_kernels_gpu.py runs on a GPU: twin, shim and kernel cannot part
unseen."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kernel_cases
import kernel_cases_windows
import pytest
from kernel_cases import SIZES, check, fit_chain
from kernel_cases_pose import ALL_CASES
from shim_device import KERNELS, SANITIZERS, ShimDevice, build

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
LAUNCHED: set[str] = set()


@pytest.mark.parametrize(("size", "n", "shift"), [
    (SIZES[0], 1, False), (SIZES[0], 3, True), (SIZES[1], 1, True), (SIZES[1], 3, False),
    (SIZES[2], 3, False)], ids=lambda v: str(v).replace(", ", "x"))
@pytest.mark.parametrize("real", ["f32", "f16"])
@pytest.mark.parametrize("case", ALL_CASES, ids=lambda c: c.__name__)
def test_kernel_equals_twin(case, real, size, n, shift, library: Path) -> None:  # type: ignore[no-untyped-def]
    device = ShimDevice(library)
    check(case, device, real, size, n, shift)
    LAUNCHED.update(device.launched)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_fit_in_order(size: tuple[int, int], library: Path) -> None:
    for pair in fit_chain(ShimDevice(library), size):
        pair.check("f32")


def test_the_table_leaves_no_kernel_out() -> None:
    """Every entry of every file was launched by the cases above."""
    entries: set[str] = set()
    for path in KERNELS.glob("*.cu"):
        text = path.read_text()
        entries |= set(re.findall(r"^ENTRY\((\w+),", text, re.M))
        for name in re.findall(r"ENTRY\((\w+)_##suffix", text):
            entries |= {f"{name}_f32", f"{name}_f16"}
    if not LAUNCHED:
        pytest.skip("runs after the cases of this file")
    assert len(entries) > 45 and entries == LAUNCHED


def test_whoever_comes_first(tmp_path: Path) -> None:
    """Blocks on four threads in a shuffled order: what meets in an atomic comes out alike."""
    device = ShimDevice(build(tmp_path, "-DFUW_CROWD", "-pthread"))
    for case in (kernel_cases_windows.windows, kernel_cases.look):
        check(case, device, "f32", SIZES[1], 3)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), *SANITIZERS)


def _run_sanitized(library: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """Run Python `code`, which finds `device`, in a process that has the sanitizers' runtime."""
    runtime = [subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True,
                              text=True).stdout.strip() for name in ("libasan.so", "libubsan.so")]
    code = ("import numpy as np\nfrom pathlib import Path\nfrom shim_device import ShimDevice\n"
            f"device = ShimDevice(Path({str(library)!r}))\n{code}")
    environment = {**os.environ, "LD_PRELOAD": " ".join(runtime), "OPENBLAS_NUM_THREADS": "1",
                   "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True,
                          text=True)


def test_no_step_outside_an_array(sanitized: Path) -> None:
    """The whole table once more in a process of its own, under ASan and UBSan."""
    done = _run_sanitized(sanitized, (
        "from kernel_cases import SIZES, check\n"
        "from kernel_cases_pose import ALL_CASES\n"
        "for case in ALL_CASES:\n"
        "    check(case, device, 'f32', SIZES[1], 3)\n"
        "    check(case, device, 'f16', SIZES[2], 1, True)\n"
        "print('clean', len(device.launched))\n"))
    assert done.returncode == 0 and done.stdout.startswith("clean"), done.stderr[-3000:]


def test_sanitizers_would_notice(sanitized: Path) -> None:
    """A kernel told a wrong size steps outside, and the process ends with ASan's report."""
    done = _run_sanitized(sanitized, (
        "labels = device.upload(np.zeros(16, np.uint8))\n"
        "table = device.upload(np.zeros(256, np.uint8))\n"
        "device.launch('regroup', (9, 1, 1), (1, 1, 1), labels, table, labels, np.int32(144))\n"))
    assert done.returncode != 0 and "AddressSanitizer" in done.stderr


def test_kernels_use_nothing_that_only_nvcc_knows() -> None:
    """Warp intrinsics and half headers would part kernel and shim."""
    for path in KERNELS.glob("*.cu*"):
        text = path.read_text()
        for word in ("__shfl", "__ballot", "__syncwarp", "cuda_fp16", "cooperative_groups"):
            assert word not in text, f"{path.name}: {word}"
