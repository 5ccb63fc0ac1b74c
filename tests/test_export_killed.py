"""An export killed at any moment leaves nothing that a later run would trust."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="the export proves in ONNX Runtime")

VICTIMS = Path(__file__).with_name("export_victims.py")
KILLS = 30


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="victims are forked: Linux and macOS")
def test_killed_at_thirty_moments(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(VICTIMS.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(VICTIMS), str(tmp_path), str(KILLS)], text=True,
                          capture_output=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    seen, _, most = done.stdout.split()[-3:]
    assert int(seen) > KILLS // 2 and int(most) == 2 * KILLS  # many died with files published
