"""The pose kernels against their twins: built by g++ through kernels/shim, and on a GPU."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_cases import SIZES, Run
from kernel_cases_pose import POSE_CASES
from shim_device import KERNELS, SANITIZERS, ShimDevice, build

from fuw.kernels.launch import CudaDevice
from fuw.kernels.steps import Steps

no_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
FILES = ("pose.cu", "skeleton.cu", "iuv.cu")
LAUNCHED: set[str] = set()


def check(case, device, real, size, n):
    for pair in case(Run(Steps(device, real), *size, n)):
        pair.check(real)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("shim"))


@no_compiler
@pytest.mark.parametrize("size, n", [(SIZES[0], 1), (SIZES[1], 3)])
@pytest.mark.parametrize("real", ["f32", "f16"])
@pytest.mark.parametrize("case", POSE_CASES, ids=lambda c: c.__name__)
def test_kernel_equals_twin(case, real, size, n, library):
    device = ShimDevice(library)
    check(case, device, real, size, n)
    LAUNCHED.update(device.launched)


def entries():
    """Names of the kernels of this family, both kinds of floats."""
    names = set()
    for file in FILES:
        text = (KERNELS / file).read_text()
        names |= set(re.findall(r"^ENTRY\((\w+),", text, re.M))
        for macro in re.findall(r"ENTRY\((\w+)_##suffix", text):
            names |= {f"{macro}_f32", f"{macro}_f16"}
    return names


def test_the_table_leaves_no_kernel_out():
    if not LAUNCHED:
        pytest.skip("runs after the cases of this file")
    assert len(entries()) == 11 and entries() == LAUNCHED


@no_compiler
def test_no_step_outside_an_array(tmp_path):
    """The whole table once more in a process of its own, under ASan and UBSan."""
    library = build(tmp_path, *SANITIZERS)
    runtime = [subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True,
                              text=True).stdout.strip() for name in ("libasan.so", "libubsan.so")]
    code = ("from pathlib import Path\n"
            "from kernel_cases import SIZES\n"
            "from test_kernels_pose import POSE_CASES, ShimDevice, check\n"
            f"device = ShimDevice(Path({str(library)!r}))\n"
            "for case in POSE_CASES:\n"
            "    for real, size, n in (('f32', SIZES[1], 3), ('f16', SIZES[2], 1)):\n"
            "        check(case, device, real, size, n)\n"
            "print('clean', len(device.launched))\n")
    environment = {**os.environ, "LD_PRELOAD": " ".join(runtime), "OPENBLAS_NUM_THREADS": "1",
                   "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True,
                          text=True)
    assert done.returncode == 0 and done.stdout.startswith("clean"), done.stderr[-3000:]


@pytest.mark.gpu
@pytest.mark.parametrize("size, n", [(SIZES[1], 1), (SIZES[2], 3), ((1024, 768), 1)])
@pytest.mark.parametrize("real", ["f32", "f16"])
def test_kernel_equals_twin_on_a_gpu(real, size, n):
    device = CudaDevice("cuda")
    try:
        for case in POSE_CASES:
            check(case, device, real, size, n)
    finally:
        device.close()
