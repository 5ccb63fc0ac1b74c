"""What `fuw-info` tells: what is here, what of it works, and the line that mends what does not."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuw import __version__
from fuw.engine import devices, probe
from fuw.engine.devices import Device
from fuw.engine.errors import FuwError
from fuw.engine.folders import cache_folder
from fuw.engine.networks import NETWORKS
from fuw.engine.probe import Runtime
from fuw.engine.store import Entry, stores
from fuw.engine.weights import Entry as Exported
from fuw.engine.weights import folder_of, read_manifest

# What a fit cannot do without; one cloth mask is enough, DensePose only warns.
NEEDED = ("openpose_body", "openpose_hand", "schp", "seg", "gmm", "alias")
MASKS = ("u2net", "u2netp", "tracer_b7")
TOOLS = {"torch": "export", "onnx": "export", "safetensors": "export", "gdown": "export",
         "pycuda": "gpu", "click": "", "numpy": "", "cv2": "", "PIL": ""}  # fmt: skip
DISTRIBUTIONS = {"cv2": "opencv-python-headless", "PIL": "pillow"}


@dataclass(frozen=True)
class Problem:
    """Something that is missing or broken.

    Attributes:
        fix: the line that mends it.
        stops: without it no picture can be made.
    """

    what: str
    fix: str
    stops: bool = False


@dataclass(frozen=True)
class Weights:
    """One network's file: where it comes from, and "" in `problem` where it is whole."""

    network: str
    file: str
    precision: str
    variant: str
    origin: str
    bytes: int
    problem: str = ""


@dataclass(frozen=True)
class CheckpointFile:
    """One network's official file in the checkpoint folder; `origin` says whether it is that."""

    network: str
    file: str
    origin: str


@dataclass(frozen=True)
class Info:
    """Everything `fuw-info` prints."""

    version: str
    python: str
    system: str
    devices: tuple[Device, ...]
    runtimes: tuple[Runtime, ...]
    tools: dict[str, str]
    weights_folder: str
    weights: tuple[Weights, ...]
    checkpoints_folder: str
    checkpoints: tuple[CheckpointFile, ...]
    cache: str
    cache_bytes: int
    engines: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        """Whether a picture can be made with what is here."""
        return not any(problem.stops for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        data: dict[str, Any] = _plain(asdict(self))
        for shown, runtime in zip(data["runtimes"], self.runtimes, strict=True):
            shown["works"] = runtime.works
        return {**data, "ready": self.ready}


def inspect(
    weights: str | Path = "starter", cache: Path | None = None, checkpoints: Path | None = None
) -> Info:
    """Look at the machine and try every runtime; takes about a second, writes nothing.

    Args:
        weights: "starter" or a folder that fuw-export wrote.
        cache: the engine cache; None means the user's own.
        checkpoints: a folder of official checkpoints to check as well (hashes every file).
    """
    root = cache or cache_folder()
    gpus, gpu_problem = devices.gpus()
    runtimes = probe.runtimes()
    found, weights_problems = _weights(weights)
    stored = [entry for store in stores(root) for entry in store.entries()]
    official, checkpoint_problems = _checkpoints(checkpoints)
    problems = [
        *_device_problems(gpus, gpu_problem),
        *_runtime_problems(runtimes, bool(gpus)),
        *weights_problems,
        *checkpoint_problems,
        *(Problem(f"engine {e.path.name}: {e.problem}", "fuw-info --prune")
          for e in stored if e.problem),
    ]  # fmt: skip
    return Info(
        __version__, platform.python_version(), platform.platform(),
        (devices.cpu(), *gpus), tuple(runtimes),
        {name: probe.installed(name, DISTRIBUTIONS.get(name, name)) for name in TOOLS},
        str(weights), tuple(found),
        str(checkpoints or ""), tuple(official),
        str(root), _bytes_below(root), tuple(stored), tuple(problems),
    )  # fmt: skip


def render(info: Info) -> str:
    """The same as text, problems last, each with its mend."""
    return "\n".join([
        f"fuw {info.version}, Python {info.python}, {info.system}",
        "", "Devices", *map(_device_line, info.devices),
        "", "Backends", *(line for runtime in info.runtimes for line in _runtime_lines(runtime)),
        "", f"Weights ({info.weights_folder})", *_or_none(map(_weights_line, info.weights)),
        *_section(f"Checkpoints ({info.checkpoints_folder})", [
            f"  {c.network:<14} {c.file}: {c.origin}" for c in info.checkpoints]),
        "", f"Engine cache ({info.cache}, {_size(info.cache_bytes)})",
        *_or_none(map(_engine_line, info.engines)),
        "", "Packages", "  " + ", ".join(f"{k} {v or 'missing'}" for k, v in info.tools.items()),
        "", *_problem_lines(info),
    ])  # fmt: skip


# ---- looking ---------------------------------------------------------------------------------


def _device_problems(gpus: list[Device], problem: str) -> Iterator[Problem]:
    if problem:
        yield Problem(problem, "install the NVIDIA driver, or give the container its libraries "
                      "(docker run --gpus all)")  # fmt: skip
    if gpus and not probe.installed("pycuda"):
        yield Problem("there is a GPU, but pycuda is not installed: our kernels cannot run on it",
                      "pip install 'fuw[gpu]'")  # fmt: skip


def _runtime_problems(runtimes: list[Runtime], gpu: bool) -> Iterator[Problem]:
    on_cpu = [runtime for runtime in runtimes if runtime.package in ("onnxruntime", "openvino")]
    if not any(runtime.works for runtime in on_cpu):
        yield Problem("no backend works on this machine", on_cpu[0].install, stops=True)
    for runtime in runtimes:
        for one in runtime.opened:
            # TensorRT proper has nothing to do without a GPU: that is no fault
            if one.problem and (gpu or runtime.package != "tensorrt"):
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
        if _sha256(path) != entry.sha256:
            problem = "has changed since it was exported"
        elif entry.network not in NETWORKS:
            problem = "is of a network that this version does not know"
        elif entry.spec != NETWORKS[entry.network].hash(entry.variant):
            problem = "was exported for another version of the network's description"
    return Weights(entry.network, entry.file, entry.precision, entry.variant, entry.origin, size,
                   problem)  # fmt: skip


def _checkpoints(folder: Path | None) -> tuple[list[CheckpointFile], list[Problem]]:
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
        found.append(CheckpointFile(spec.name, str(path), origin(path, spec).words))
    return found, problems


def _bytes_below(root: Path) -> int:
    return sum(path.lstat().st_size for path in root.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Paths as text, all the way down."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


# ---- telling ---------------------------------------------------------------------------------


def _device_line(device: Device) -> str:
    cores = f", {device.cores} cores" if device.cores else ""
    driver = f", driver {device.driver}" if device.driver else ""
    return f"  {device.name:<8} {device.model}{cores}, {_size(device.memory)}{driver} " \
           f"[{device.arch}]"  # fmt: skip


def _runtime_lines(runtime: Runtime) -> Iterator[str]:
    if not runtime.version:
        yield f"  {runtime.name:<14} not installed ({runtime.install})"
        return
    yield f"  {runtime.name:<14} {runtime.version}"
    for one in runtime.opened:
        yield f"    {one.name:<28} {'opens' if not one.problem else 'no: ' + one.problem}"


def _weights_line(weights: Weights) -> str:
    state = f"  BROKEN: it {weights.problem}" if weights.problem else ""
    return f"  {weights.network:<14} {weights.precision:<5} {_size(weights.bytes):>9}  " \
           f"{weights.variant}, from {weights.origin}{state}"  # fmt: skip


def _engine_line(entry: Entry) -> str:
    if entry.key is None or entry.problem:
        return f"  {entry.path.name}: not trusted, {entry.problem}"
    days = (time.time() - entry.used) / 86400
    key = entry.key
    device = key.gpu or "cpu"
    return f"  {key.network:<14} {key.precision:<5} {_size(entry.bytes):>9}  {key.size} " \
           f"b{key.batch}, {key.runtime} {key.runtime_version}, {device}, " \
           f"used {days:.0f} days ago"  # fmt: skip


def _problem_lines(info: Info) -> list[str]:
    if not info.problems:
        return ["No problems found."]
    lines = ["Problems"]
    for problem in sorted(info.problems, key=lambda p: not p.stops):
        lines += [f"  {'!' if problem.stops else '-'} {problem.what}", f"      {problem.fix}"]
    return lines


def _or_none(lines: Iterator[str] | Any) -> list[str]:
    return list(lines) or ["  none"]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *lines] if lines else []


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
