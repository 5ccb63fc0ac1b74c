"""What `fuw-info` tells: what is here, what of it works, and the line that mends what does not."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fuw import __version__
from fuw.engine import devices, probe
from fuw.engine.choose import choose
from fuw.engine.devices import Device
from fuw.engine.errors import FuwError
from fuw.engine.files import sha256
from fuw.engine.folders import cache_folder
from fuw.engine.info import CheckpointFile, Info, Problem, Tool, Weights
from fuw.engine.inspect_text import render
from fuw.engine.networks import NETWORKS
from fuw.engine.probe import Runtime
from fuw.engine.store import Entry, stores
from fuw.engine.weights import Entry as Exported
from fuw.engine.weights import folder_of, read_manifest

__all__ = ["inspect", "render"]

# What a fit cannot do without; one cloth mask is enough, DensePose only warns.
NEEDED = ("openpose_body", "openpose_hand", "schp", "seg", "gmm", "alias")
MASKS = ("u2net", "u2netp", "tracer_b7")
# Other packages, the names pip has for them, and what they are for.
TOOLS: dict[str, tuple[str, str]] = {
    "numpy": ("numpy", "fuw"), "cv2": ("opencv-python-headless", "fuw"), "PIL": ("pillow", "fuw"),
    "pycuda": ("pycuda", "fuw[gpu]"), "torch": ("torch", "fuw[export]"),
    "onnx": ("onnx", "fuw[export]"), "onnxscript": ("onnxscript", "fuw[export]"),
    "safetensors": ("safetensors", "fuw[export]"), "gdown": ("gdown", "fuw[export]"),
}  # fmt: skip


def inspect(
    weights: str | Path = "starter", cache: Path | None = None, checkpoints: Path | None = None,
    say: Callable[[str], None] = lambda doing: None,
) -> Info:
    """Look at the machine and try every runtime; takes seconds, writes nothing.

    Args:
        weights: "starter" or a folder that fuw-export wrote.
        cache: the engine cache; None means the user's own.
        checkpoints: a folder of official checkpoints to check as well (hashes every file).
        say: told what is looked at, before it is.
    """
    root = cache or cache_folder()
    gpus, gpu_problem = devices.gpus()
    runtimes = probe.runtimes(say)
    say(f"hashing {weights}")
    found, weights_problems = _weights(weights)
    say(f"looking into {root}")
    stored = [entry for store in stores(root) for entry in store.entries()]
    official, checkpoint_problems = _checkpoints(checkpoints, say)
    say("choosing a backend")
    problems = [
        *_device_problems(gpus, gpu_problem),
        *_runtime_problems(runtimes, bool(gpus)),
        *weights_problems,
        *checkpoint_problems,
        *_engine_problems(stored),
    ]  # fmt: skip
    return Info(
        __version__, platform.python_version(), platform.platform(),
        (devices.cpu(), *gpus), tuple(runtimes), _chosen(), tuple(_tools()),
        str(weights), tuple(found),
        str(checkpoints or ""), tuple(official),
        str(root), _bytes_below(root), tuple(stored), tuple(problems),
    )  # fmt: skip


def _chosen() -> str:
    """What a run takes when it is told nothing; "" where there is nothing to take."""
    try:
        choice = choose()
    except FuwError:  # no backend at all: the runtimes' problems say which and how to mend it
        return ""
    return f"{choice.name} {choice.precision} on {choice.device}"


def _tools() -> Iterator[Tool]:
    for package, (distribution, wanted) in TOOLS.items():
        yield Tool(package, probe.installed(package, distribution), f"pip install '{wanted}'")


def _engine_problems(stored: Iterable[Entry]) -> Iterator[Problem]:
    """One for each cause: a folder that others can write spoils every engine in it."""
    for cause, count in Counter(entry.problem for entry in stored if entry.problem).items():
        what, _, mend = cause.partition("; run: ")
        yield Problem(f"{count} {'engine is' if count == 1 else 'engines are'} not loaded: {what}",
                      mend or "fuw-info --prune")


def _device_problems(gpus: list[Device], problem: str) -> Iterator[Problem]:
    if problem:
        yield Problem(problem, "install the NVIDIA driver, or give the container its libraries "
                      "(docker run --gpus all)")  # fmt: skip
    if gpus and not probe.installed("pycuda"):
        yield Problem("there is a GPU, but pycuda is not installed: our kernels cannot run on it",
                      "pip install 'fuw[gpu]'")  # fmt: skip


def _runtime_problems(runtimes: list[Runtime], gpu: bool) -> Iterator[Problem]:
    on_cpu = [runtime for runtime in runtimes if runtime.name in ("onnxruntime", "openvino")]
    if not any(runtime.works for runtime in on_cpu):
        yield Problem("no backend works on this machine", on_cpu[0].install, stops=True)
    for runtime in runtimes:
        for one in runtime.opened:
            # TensorRT proper has nothing to do without a GPU: that is no fault
            if one.problem and (gpu or runtime.name != "tensorrt"):
                yield Problem(f"{runtime.name} {runtime.version} is installed, but {one.name} does "
                              f"not open: {one.problem}",
                              f"{runtime.install} --force-reinstall")  # fmt: skip


def _weights(where: str | Path) -> tuple[list[Weights], list[Problem]]:
    starter = str(where) == "starter"  # part of the package, not something to export
    export = "pip install --force-reinstall fuw" if starter else f"fuw-export --weights {where}"
    try:
        folder = folder_of(where)
        entries = read_manifest(folder)
    except FuwError as error:
        return [], [Problem(str(error), export, stops=True)]
    found = [_weights_of(folder, entry) for entry in entries]
    again = export if starter else f"{export} --force"
    problems = [Problem(f"{w.network}: {w.file} {w.problem}", again, stops=True)
                for w in found if w.problem]  # fmt: skip
    have = {w.network for w in found if not w.problem}
    missing = [name for name in NEEDED if name not in have]
    missing += [] if have & set(MASKS) else [" or ".join(MASKS)]
    if missing:
        problems.append(Problem(f"{where} holds no {', '.join(missing)}", export, stops=True))
    return found, problems


def _weights_of(folder: Path, entry: Exported) -> Weights:
    path = folder / entry.file
    problem, size = "", 0
    if not path.is_file():
        problem = "is not there"
    else:
        size = path.stat().st_size
        if sha256(path) != entry.sha256:
            problem = "has changed since it was exported"
        elif entry.network not in NETWORKS:
            problem = "is of a network that this version does not know"
        elif (entry.variant not in (spec := NETWORKS[entry.network]).variants
              or entry.spec != spec.hash(entry.variant)):
            problem = "was exported for another version of the network's description"
    origin = ", ".join(filter(None, (entry.origin, str(entry.extra.get("standing", "")))))
    return Weights(entry.network, entry.file, entry.precision, entry.variant, origin, size,
                   problem)  # fmt: skip


def _checkpoints(folder: Path | None,
                 say: Callable[[str], None]) -> tuple[list[CheckpointFile], list[Problem]]:
    if folder is None:
        return [], []
    from fuw.export.checkpoint_files import find, origin  # needs no torch

    found, problems = [], []
    for spec in NETWORKS.values():
        try:
            path = find(folder, spec)
        except FuwError as error:
            problems.append(Problem(str(error), f"fuw-export --download --networks {spec.name} "
                                    f"--weights {folder}"))  # fmt: skip
            continue
        say(f"hashing {path}")
        found.append(CheckpointFile(spec.name, str(path), origin(path, spec).words))
    return found, problems


def _bytes_below(root: Path) -> int:
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())
