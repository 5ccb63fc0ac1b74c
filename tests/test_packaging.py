"""The package list, the wheel and the import stay true to the tree."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEVELOPERS_ONLY = {"fuw.starter", "fuw.starter.figures", "fuw.starter.training"}
IGNORED = {".venv", "build", "dist", "tests", ".types", ".git", "out", ".carry"}


def packages_in_tree() -> set[str]:
    found = {"fuw"}
    for init in ROOT.rglob("__init__.py"):
        parts = init.relative_to(ROOT).parts[:-1]
        if parts and not (set(parts) & IGNORED) and not parts[0].startswith(".venv"):
            found.add(".".join(("fuw", *parts)))
    return found - DEVELOPERS_ONLY


def test_every_package_is_listed() -> None:
    assert set(CONFIG["tool"]["setuptools"]["packages"]) == packages_in_tree()


def test_import_is_quick_and_without_torch() -> None:
    code = ("import time; t = time.perf_counter(); import fuw; t = time.perf_counter() - t; "
            "import sys; assert 'torch' not in sys.modules; assert t < 0.5, t")
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd="/")


def test_runtime_modules_never_import_torch() -> None:
    code = ("import importlib, pathlib, sys\n"
            "import fuw\n"
            "root = pathlib.Path(fuw.__file__).parent\n"
            "for folder in ('engine', 'kernels'):\n"
            "    for path in (root / folder).rglob('*.py'):\n"
            "        name = '.'.join(('fuw', *path.relative_to(root).with_suffix('').parts))\n"
            "        if path.stem not in ('__init__', 'build'): importlib.import_module(name)\n"
            "import fuw.cli\n"
            "assert 'torch' not in sys.modules\n")
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd="/")


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True, capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert tops == {"fuw", f"fuw-{CONFIG['project']['version']}.dist-info"}
    assert "fuw/py.typed" in names and "fuw/engine/networks.py" in names
    assert not any(n.startswith(("fuw/tests", "fuw/starter")) for n in names)
    assert any(n.startswith("fuw/models/starter/") and n.endswith(".onnx") for n in names)
    assert (tmp_path / f"fuw-{CONFIG['project']['version']}.tar.gz").exists()
