"""Find golden files: the full set beside the checkout, else the free part in `tests/golden`."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).resolve().parent
FULL = Path(os.environ.get("FUW_GOLDEN", HERE.parent.parent / "shared" / "golden"))
FREE = HERE / "golden"


def golden(path: str) -> Path:
    """The golden file or folder `path`, say "pose/openpose.npz"; skips where it is not there."""
    for root in (FULL, FREE):
        if (root / path).exists():
            return root / path
    pytest.skip(f"golden {path} is not at hand: it is made from a photo and may not be shipped "
                f"(set FUW_GOLDEN to a folder that has it)")


def pose_tool(name: str) -> ModuleType:
    """The goldens' writer "caffemodel" or "densepose_pkl", which imports its neighbours."""
    folder = str(golden(f"pose/{name}.py").parent)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_{name}", FREE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fill = _tool("fill")
inputs = _tool("inputs")
compare = _tool("compare")
