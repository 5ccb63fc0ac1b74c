"""The package list, the wheel and the import stay true to the tree."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution; built once, and the wheel from the
    latter, as a packager would."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True,
    )
    return folder


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {n.split("/")[0] for n in names}
    assert tops == {"fuw", f"fuw-{CONFIG['project']['version']}.dist-info"}
    assert "fuw/py.typed" in names and "fuw/engine/networks.py" in names
    assert not any(n.startswith(("fuw/tests", "fuw/starter")) for n in names)
    assert any(n.startswith("fuw/models/starter/") and n.endswith(".onnx") for n in names)
    assert (built / f"fuw-{CONFIG['project']['version']}.tar.gz").exists()


def fresh_environment(folder: Path, wheel: Path) -> tuple[Path, Path]:
    """A new virtual environment with the wheel; returns its bin and its site-packages.

    What the wheel depends on is lent by this environment, at the end of the path. Its own editable
    `fuw` is not: a `.pth` file works in a site folder only.
    """
    venv.create(folder, with_pip=False)
    binaries = folder / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "-q",
         "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True,
    )
    (site,) = (p.parent for p in folder.rglob("site-packages/fuw"))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binaries, site


@pytest.mark.slow
def test_the_wheel_alone_dresses_somebody(built: Path, tmp_path: Path) -> None:
    """Installed elsewhere, with an empty HOME, no repository in sight, and no torch loaded."""
    binaries, site = fresh_environment(tmp_path / "venv", next(built.glob("*.whl")))
    work = tmp_path / "work"
    work.mkdir()
    for name in ("person_1.jpg", "garment_1.jpg"):
        shutil.copy(ROOT / "examples" / name, work)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run(*command: str) -> str:
        done = subprocess.run([str(binaries / command[0]), *command[1:]], cwd=work,
                              env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("fuw-run", "person_1.jpg", "garment_1.jpg", "-q")
    assert said == "person_1_garment_1.jpg\n"
    assert Image.open(work / said.strip()).size == (768, 1024)
    used = run("python", "-c", "import sys, fuw.cli, fuw.engine.fitter as f; print(f.__file__); "
               "assert 'torch' not in sys.modules")
    assert Path(used.strip()).is_relative_to(site)
