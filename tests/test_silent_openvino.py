"""OpenVINO sends nothing and leaves nothing behind when we import it."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import fuw

ROOT = Path(fuw.__file__).parent

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")


def run(code: str, home: Path) -> None:
    subprocess.run([sys.executable, "-P", "-c", code], check=True,
                   env={**os.environ, "HOME": str(home), "CI": ""})


def test_its_telemetry_is_not_there_for_it(tmp_path: Path) -> None:
    """No number for the user in his home, no sender loaded; a backend opens all the same."""
    run("import sys\n"
        "from fuw.engine.silent_openvino import load_openvino\n"
        "core = load_openvino().Core()\n"
        "assert 'CPU' in core.available_devices\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)", tmp_path)
    assert not list(tmp_path.iterdir())


def test_whoever_imported_it_before_has_decided(tmp_path: Path) -> None:
    run("import sys, types\n"
        "before = sys.modules['openvino'] = types.ModuleType('openvino')\n"
        "from fuw.engine.silent_openvino import load_openvino\n"
        "assert load_openvino() is before\n"
        "sys.modules['openvino'] = None\n"
        "try: load_openvino()\n"
        "except ImportError: pass\n"
        "else: raise AssertionError", tmp_path)


def test_nothing_of_ours_imports_it_otherwise() -> None:
    for folder in ("engine", "export", "bench", "kernels", "starter"):
        for path in (ROOT / folder).rglob("*.py"):
            found = re.search(r"^\s*(import|from) openvino\b", path.read_text(), re.MULTILINE)
            assert not found, f"{path}: use fuw.engine.silent_openvino.load_openvino"
