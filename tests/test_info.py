"""fuw-info: what opens is tried and not believed, and every problem comes with its mend."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from fuw import cli
from fuw.engine import devices, inspect, probe
from fuw.engine.devices import Device
from fuw.engine.errors import BackendError
from fuw.engine.files import sha256
from fuw.engine.info import Info
from fuw.engine.inspect import render
from fuw.engine.networks import NETWORKS, network
from fuw.engine.probe import Opened, Runtime
from fuw.engine.store import Key, Store, prune
from fuw.engine.weights import Entry, write_manifest

KEY = Key("alias", "5f" * 8, "c7" * 32, "fp32", "1024x768", 1, "openvino", "2026.4")
WORKING = Runtime("openvino", "2026.4", (Opened("CPU"),), "pip install 'fuw[cpu]'")


def exported(folder: Path, names: tuple[str, ...] = tuple(NETWORKS)) -> Path:
    """A folder as fuw-export leaves it, with a few bytes for every network."""
    entries = []
    for name in names:
        file = folder / f"{name}.fp32.onnx"
        file.write_bytes(name.encode())
        digest = sha256(file)
        entries.append(Entry(file.name, name, "official", "fp32", {}, network(name).hash(),
                             network(name).checkpoint.file, digest))  # fmt: skip
    write_manifest(folder, entries)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Info]:
    """`inspect` of a machine with one working runtime and no GPU, unless told otherwise."""
    monkeypatch.setattr(probe, "runtimes", lambda *_: [WORKING])
    monkeypatch.setattr(devices, "gpus", lambda: ([], ""))
    (tmp_path / "onnx").mkdir()
    folder = exported(tmp_path / "onnx")

    def look(weights: Path = folder, **options: Any) -> Info:
        return inspect.inspect(weights, tmp_path / "cache", **options)

    return look


def problems(info: Info) -> list[str]:
    """Every problem must show with its mend, in text and in JSON."""
    text, data = render(info), json.loads(json.dumps(info.to_json()))
    for problem, shown in zip(info.problems, data["problems"], strict=True):
        assert problem.what in text and problem.fix in text and problem.fix
        assert shown["what"] == problem.what
    assert data["ready"] == info.ready
    return [problem.what for problem in info.problems]


# ---- this machine, really --------------------------------------------------------------------


def test_one_node_is_a_valid_network() -> None:
    onnx = pytest.importorskip("onnx", reason="only the exporter needs onnx")
    onnx.checker.check_model(onnx.load_from_string(probe.one_node()), full_check=True)


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_the_cpu_runtimes_open(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    runtime = next(r for r in probe.runtimes() if r.name == package)
    assert runtime.works and runtime.version[0].isdigit()
    assert any("CPU" in one.name and not one.problem for one in runtime.opened)


def test_tensorrt_rtx_builds_without_a_gpu() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    runtime = next(r for r in probe.runtimes() if r.name == "tensorrt_rtx")
    assert runtime.works and runtime.version[0].isdigit(), runtime


def test_the_processor_is_described() -> None:
    cpu = devices.cpu()
    assert cpu.name == "cpu" and cpu.model and 1 <= cpu.cores <= (os.cpu_count() or 1)
    assert not Path("/proc/meminfo").exists() or cpu.memory > 2**28


@pytest.mark.gpu
def test_the_gpu_is_described() -> None:
    found, problem = devices.gpus()
    assert not problem and found[0].arch.startswith("sm_") and found[0].memory > 2**30


def test_looking_imports_no_torch_and_writes_nothing(tmp_path: Path) -> None:
    code = ("import sys, pathlib\nfrom fuw.engine.inspect import inspect, render\n"
            f"root = pathlib.Path({str(tmp_path / 'cache')!r})\n"
            "render(inspect(cache=root, checkpoints=root))\n"
            "sys.exit('torch' in sys.modules or root.exists())")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---- made-up machines ------------------------------------------------------------------------


def test_nothing_wrong(here: Callable[..., Info]) -> None:
    info = here()
    assert info.ready and problems(info) == []
    text = render(info)
    assert "No problems found." in text and "CPU" in text and "opens" in text
    assert "official, from alias_final.pth" in text and "Engine cache" in text
    assert f"A run takes {info.chosen}" in text and info.chosen.endswith(" on cpu")


def test_a_package_that_is_missing_names_the_line_that_installs_it(
    here: Callable[..., Info], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "installed", lambda name, *names: "" if name == "torch" else "1.0")
    info = here()
    assert "missing (pip install 'fuw[export]')" in render(info)
    assert [tool.name for tool in info.tools if not tool.version] == ["torch"]


def test_no_backend_at_all_stops(
    here: Callable[..., Info], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Any:
        raise BackendError("no backend is installed")

    monkeypatch.setattr(probe, "runtimes", lambda *_: [replace(WORKING, version="", opened=())])
    monkeypatch.setattr(inspect, "choose", none)
    info = here()
    assert info.chosen == "" and "A run takes none" in render(info)
    assert not info.ready and problems(info) == ["no backend works on this machine"]
    assert "not installed (pip install 'fuw[cpu]')" in render(info)


def test_a_provider_that_does_not_open_is_told(
    here: Callable[..., Info], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Runtime("onnxruntime", "1.30",
                     (Opened("CUDAExecutionProvider", "libcudnn.so.9 not found"),
                      Opened("CPUExecutionProvider")), "pip install 'fuw[gpu]'")  # fmt: skip
    monkeypatch.setattr(probe, "runtimes", lambda *_: [broken])
    info = here()
    assert info.ready
    assert problems(info) == ["onnxruntime 1.30 is installed, but CUDAExecutionProvider does not "
                              "open: libcudnn.so.9 not found"]  # fmt: skip


@pytest.mark.parametrize(("first", "answer", "problem"), [
    ("CUDAExecutionProvider", probe.ANSWER, ""),
    ("CPUExecutionProvider", probe.ANSWER, "it does not load and falls back to CPUExecutionProv"),
    ("CUDAExecutionProvider", probe.QUESTION, "it answers"),
])  # fmt: skip
def test_onnxruntime_is_asked_and_not_believed(first: str, answer: Any, problem: str) -> None:
    session = SimpleNamespace(get_providers=lambda: [first, "CPUExecutionProvider"],
                              run=lambda names, feeds: [answer])  # fmt: skip
    ort = SimpleNamespace(SessionOptions=SimpleNamespace,
                          InferenceSession=lambda *args, **kwargs: session)  # fmt: skip
    found = probe._ort_answers(ort, "CUDAExecutionProvider")
    assert found.startswith(problem) and bool(found) == bool(problem)


def test_a_runtime_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ImportError("libtbb.so.12: cannot open shared object file")
        yield

    runtime = probe._runtime("numpy", broken, "pip install numpy")
    assert not runtime.works and "libtbb" in runtime.opened[0].problem
    assert probe._runtime("no_such_package", broken, "").version == ""


def test_a_version_is_that_of_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another package of the family is installed under its own name."""
    versions = {"onnxruntime-gpu": "1.31", "tensorrt-rtx-cu13": "1.7"}

    def version(name: str) -> str:
        if name not in versions:
            raise probe.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(probe, "version", version)
    monkeypatch.setattr(probe, "find_spec", lambda name: name)
    found = {runtime.name: runtime.version for runtime in probe.runtimes()}
    assert found == {"onnxruntime": "1.31", "openvino": "unknown", "tensorrt": "unknown",
                     "tensorrt_rtx": "1.7"}


def test_tensorrt_without_a_gpu_is_no_fault(
    here: Callable[..., Info], monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = Runtime("tensorrt", "10.16", (Opened("builder", "no GPU"),), "x")
    monkeypatch.setattr(probe, "runtimes", lambda *_: [WORKING, idle])
    assert problems(here()) == []
    monkeypatch.setattr(devices, "gpus",
                        lambda: ([Device("cuda:0", "H200", "sm_90", 2**37, "575.1")], ""))
    monkeypatch.setattr(probe, "installed", lambda *names: "")
    found = problems(here())
    assert any("builder does not open" in p for p in found) and any("pycuda" in p for p in found)


def test_a_gpu_without_its_driver_is_told(
    here: Callable[..., Info], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "nvidiactl").touch()

    def no_library(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.undo()
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    monkeypatch.setattr(devices, "NVIDIA_NODES", (str(tmp_path / "nvidiactl"),))
    assert devices.gpus() == ([], "there is a GPU, but the driver's library libcuda.so.1 is not "
                              "found")  # fmt: skip
    monkeypatch.setattr(devices, "NVIDIA_NODES", ())
    assert devices.gpus() == ([], "")


class _Driver:
    """A CUDA driver with one H200, or one that does not start."""

    def __init__(self, status: int) -> None:
        self.status = status

    def cuInit(self, flags: int) -> int:  # noqa: N802, the driver's name
        return self.status

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(target: Any, *arguments: Any) -> int:
            value: Any = {"cuDeviceGetCount": 1, "cuDeviceGet": 0, "cuDeviceTotalMem_v2": 2**37,
                          "cuDriverGetVersion": 13010}.get(name)  # fmt: skip
            if name == "cuDeviceGetName":
                target.value = b"NVIDIA H200"
            elif name == "cuDeviceGetAttribute":
                target._obj.value = {75: 9, 76: 0}[arguments[0]]
            else:
                target._obj.value = value
            return 0

        return call


def test_gpus_are_read_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_read", lambda path: "")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver(0))
    assert devices.gpus() == ([Device("cuda:0", "NVIDIA H200", "sm_90", 2**37, "CUDA 13.1")], "")
    monkeypatch.setattr(devices, "_read", lambda path: "NVRM version: NVIDIA UNIX x86_64 Kernel "
                        "Module  575.51.03  Thu")
    assert devices.gpus()[0][0].driver == "575.51.03"
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver(100))
    assert devices.gpus() == ([], "")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: _Driver(803))
    assert devices.gpus() == ([], "the CUDA driver does not start (error 803)")


# ---- weights, checkpoints, engines -----------------------------------------------------------


def test_a_changed_missing_or_old_file_is_told(here: Callable[..., Info], tmp_path: Path) -> None:
    folder = tmp_path / "onnx"
    (folder / "gmm.fp32.onnx").write_bytes(b"other")
    (folder / "seg.fp32.onnx").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    for row in manifest["networks"]:
        row["spec"] = "old" if row["network"] == "alias" else row["spec"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    info = here()
    found = problems(info)
    assert not info.ready and "BROKEN" in render(info)
    assert "gmm: gmm.fp32.onnx has changed since it was exported" in found
    assert "seg: seg.fp32.onnx is not there" in found
    assert any(p.startswith("alias: alias.fp32.onnx was exported for another version") for p in
               found)
    assert any(p.endswith("holds no seg, gmm, alias") for p in found)


def test_one_mask_network_is_enough(here: Callable[..., Info], tmp_path: Path) -> None:
    folder = tmp_path / "onnx"
    exported(folder, (*inspect.NEEDED, "u2netp"))
    assert here().ready
    exported(folder, inspect.NEEDED)
    assert problems(here()) == [f"{folder} holds no u2net or u2netp or tracer_b7"]


def test_no_weights_at_all(here: Callable[..., Info], tmp_path: Path) -> None:
    assert not here(tmp_path / "nowhere").ready
    (tmp_path / "empty").mkdir()
    assert "nothing was exported there yet" in problems(here(tmp_path / "empty"))[0]


def test_checkpoints_and_their_origin(here: Callable[..., Info], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "gmm_final.pth").write_bytes(b"mine")
    (folder / "u2netp.pth").write_bytes(b"mine")
    info = here(checkpoints=folder)
    origins = {c.network: c.origin for c in info.checkpoints}
    assert "not the official file" in origins["gmm"] and "origin unknown" in origins["u2netp"]
    assert len([p for p in problems(info) if "no alias_final.pth" in p]) == 1
    assert info.ready and len(info.problems) == len(NETWORKS) - 2


def test_engines_and_the_cache(here: Callable[..., Info], tmp_path: Path) -> None:
    store = Store(tmp_path / "cache" / "engines")
    store.put(KEY, lambda path: (path.write_bytes(bytes(3 << 20)), None)[1])
    broken = store.put(replace(KEY, network="gmm"), lambda p: (p.write_bytes(b"x"), None)[1])
    broken.with_suffix(".json").unlink()
    info = here()
    assert info.cache_bytes > 3 << 20 and "1024x768 b1, openvino 2026.4, cpu" in render(info)
    assert problems(info) == ["1 engine is not loaded: not built, or its builder was killed"]
    assert info.ready and info.problems[0].fix == "fuw-info --prune"
    assert prune(tmp_path / "cache") == [broken] and problems(here()) == []
    assert len(prune(tmp_path / "cache", unused_days=0)) == 1 and here().engines == ()


def test_engines_that_differ_in_weights_only_share_a_line(
    here: Callable[..., Info], tmp_path: Path
) -> None:
    store = Store(tmp_path / "cache" / "openvino")
    for weights in ("one", "two", "three"):
        store.put(replace(KEY, checkpoint=weights),
                  lambda p: (p.write_bytes(bytes(1 << 20)), None)[1])
    text = render(here())
    assert text.count("openvino 2026.4, cpu") == 1 and "3 engines, 3.0 MiB in all" in text


def test_a_folder_open_to_others_is_one_problem_with_its_own_mend(
    here: Callable[..., Info], tmp_path: Path
) -> None:
    store = Store(tmp_path / "cache" / "openvino")
    for network_name in ("alias", "seg", "gmm"):
        store.put(replace(KEY, network=network_name), lambda p: (p.write_bytes(b"x"), None)[1])
    store.root.chmod(0o777)
    (problem,) = here().problems
    assert problem.what.startswith("3 engines are not loaded") and "every user" in problem.what
    assert problem.fix == f"chmod o-w {store.root}"


def test_what_is_looked_at_is_told_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(probe, "_runtime", lambda package, *_: (
        told.append(f"({package})"), replace(WORKING, name=package))[1])
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "gmm_final.pth").write_bytes(b"mine")
    inspect.inspect(tmp_path, tmp_path / "cache", checkpoints, told.append)
    assert told[:4] == ["trying onnxruntime", "(onnxruntime)", "trying openvino", "(openvino)"]
    assert told[-4:] == [f"hashing {tmp_path}", f"looking into {tmp_path / 'cache'}",
                         f"hashing {checkpoints / 'gmm_final.pth'}", "choosing a backend"]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_sees_a_line_that_is_gone_in_the_end(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, so that --json stays JSON; a log keeps nothing of it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with pytest.raises(KeyboardInterrupt), cli.live_line() as say:
        say("trying openvino")
        raise KeyboardInterrupt
    shown = capsys.readouterr()
    line = "\r\x1b[Ktrying openvino ...\r\x1b[K"
    assert shown.out == "" and shown.err == (line if terminal else "")


def test_the_command(here: Callable[..., Info], tmp_path: Path) -> None:
    options = ["--weights", str(tmp_path / "onnx"), "--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(cli.info, options)
    assert done.exit_code == 0 and "No problems found." in done.output
    shown = json.loads(CliRunner().invoke(cli.info, [*options, "--json"]).stdout)
    assert shown["ready"] and shown["runtimes"][0]["works"]
    store = Store(tmp_path / "cache" / "openvino")
    store.put(KEY, lambda p: (p.write_bytes(b"x"), None)[1]).chmod(0o666)
    assert "can be written by every user" in CliRunner().invoke(cli.info, options).output
    pruned = CliRunner().invoke(cli.info, [*options, "--prune"])
    assert "removed" in pruned.stderr and store.entries() == []
    store.put(KEY, lambda p: (p.write_bytes(b"x"), None)[1])
    assert CliRunner().invoke(cli.info, [*options, "--prune", "--unused", "1"]).stderr == ""
    assert "removed" in CliRunner().invoke(cli.info, [*options, "--prune", "--unused", "0"]).stderr
    assert CliRunner().invoke(cli.info, [*options, "--unused", "1"]).exit_code == 2
    (tmp_path / "onnx" / "gmm.fp32.onnx").unlink()
    assert CliRunner().invoke(cli.info, options).exit_code == 1
