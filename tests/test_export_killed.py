"""An export killed at any moment leaves nothing that a later run would trust."""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest

from fuw.engine.weights import MANIFEST, read_manifest

LOOP = Path(__file__).with_name("export_loop.py")
KILLS = int(os.environ.get("FUW_KILLS", "3"))  # 30 were tried by hand


def _killed_after(folder: Path, seconds: float) -> None:
    """Start the loop, wait until it has published, kill it without warning."""
    environment = {**os.environ, "PYTHONPATH": str(LOOP.parent), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, str(LOOP), str(folder)], text=True,
                          stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -9


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    moments = random.Random(0)
    out = tmp_path / "onnx"
    named = 0
    for _ in range(KILLS):
        _killed_after(tmp_path, moments.uniform(0, 1.5))
        entries = read_manifest(out) if (out / MANIFEST).exists() else []
        for entry in entries:
            data = (out / entry.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry.sha256
            onnx.checker.check_model(onnx.load_from_string(data))
        named += len(entries)
    assert named > 0  # the kills did not simply come before everything
    from fuw.engine.files import sweep

    sweep(out)
    assert {p.name for p in out.iterdir()} <= {MANIFEST, "seg.fp32.onnx", "seg.fp16.onnx"}
