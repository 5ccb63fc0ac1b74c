"""Which runtimes really open: each is given a network of one node and must answer rightly.

That a package is installed, or lists a provider, says little: ONNX Runtime falls back to the CPU
without an error when a GPU provider's libraries do not load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np

from fuw.engine.silent_openvino import load_openvino

QUESTION = np.array([-1.5, 0.0, 2.25], np.float32)
ANSWER = np.maximum(QUESTION, 0.0)


@dataclass(frozen=True)
class Opened:
    """One provider or device of a runtime: "" in `problem` means it opened and answered rightly."""

    name: str
    problem: str = ""


@dataclass(frozen=True)
class Runtime:
    """One runtime.

    Attributes:
        name: of the package that is imported.
        version: "" where it is not installed.
        opened: its providers or devices, as they answered.
        install: the line that installs it.
    """

    name: str
    version: str
    opened: tuple[Opened, ...]
    install: str

    @property
    def works(self) -> bool:
        """Whether something of it opens."""
        return any(not one.problem for one in self.opened)


def runtimes(say: Callable[[str], None] = lambda doing: None) -> list[Runtime]:
    """All runtimes this package can use, tried; `say` is told which, before it is."""
    known: list[tuple[str, Callable[[], Iterator[Opened]], str, tuple[str, ...]]] = [
        ("onnxruntime", _onnxruntime, "pip install 'fuw[cpu]'", ("onnxruntime-gpu",)),
        ("openvino", _openvino, "pip install 'fuw[cpu]'", ()),
        ("tensorrt", _tensorrt("tensorrt"), "pip install 'fuw[gpu]'",
         ("tensorrt-cu13", "tensorrt-cu12")),
        ("tensorrt_rtx", _tensorrt("tensorrt_rtx"), "pip install tensorrt-rtx-cu13",
         ("tensorrt-rtx-cu13",)),
    ]  # fmt: skip
    found = []
    for package, probe, install, distributions in known:
        say(f"trying {package}")
        found.append(_runtime(package, probe, install, *distributions))
    return found


def installed(package: str, *distributions: str) -> str:
    """The version of an installed package, "" where it is not; nothing is imported.

    `distributions`: other names under which pip installs it.
    """
    if find_spec(package) is None:
        return ""
    for name in (package, *distributions):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def one_node() -> bytes:
    """An ONNX file: y = relu(x), three floats. Written by hand, since a runtime has no onnx."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    def tensor(name: bytes) -> bytes:
        shape = field(2, field(1, b"\x08\x03"))  # one axis of 3
        return field(1, name) + field(2, field(1, b"\x08\x01" + shape))  # element type float

    node = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
    graph = field(1, node) + field(2, b"one_node") + field(11, tensor(b"x")) + field(
        12, tensor(b"y"))  # fmt: skip
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x0d")  # IR version 8, operators of 13


def _runtime(package: str, probe: Callable[[], Iterator[Opened]], install: str,
             *distributions: str) -> Runtime:
    there = installed(package, *distributions)
    if not there:
        return Runtime(package, "", (), install)
    try:
        opened = tuple(probe())
    except Exception as error:  # a broken installation may fail in any way at import
        opened = (Opened(package, _words(error)),)
    return Runtime(package, there, opened, install)


def _onnxruntime() -> Iterator[Opened]:
    import onnxruntime as ort

    with _quiet(ort):
        for provider in ort.get_available_providers():
            if provider != "AzureExecutionProvider":  # calls other machines, computes nothing here
                yield Opened(provider, _attempt(partial(_ort_answers, ort, provider)))


def _ort_answers(ort: Any, provider: str) -> str:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(one_node(), options, providers=[provider])
    if session.get_providers()[0] != provider:
        return f"it does not load and falls back to {session.get_providers()[0]}"
    return _judge(session.run(None, {"x": QUESTION})[0])


@contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """Without the log lines of providers that do not load: they are reported by us."""
    ort.set_default_logger_severity(4)
    try:
        yield
    finally:
        ort.set_default_logger_severity(2)  # its default: warnings


def _openvino() -> Iterator[Opened]:
    core = load_openvino().Core()
    for device in core.available_devices:
        yield Opened(device, _attempt(partial(_ov_answers, core, device)))


def _ov_answers(core: Any, device: str) -> str:
    model = core.read_model(one_node())
    compiled = core.compile_model(model, device, {"INFERENCE_PRECISION_HINT": "f32"})
    return _judge(compiled([QUESTION])[0])


def _tensorrt(package: str) -> Callable[[], Iterator[Opened]]:
    def probe() -> Iterator[Opened]:
        import importlib

        trt = importlib.import_module(package)
        yield Opened("builder", _attempt(partial(_trt_builds, trt)))

    return probe


def _trt_builds(trt: Any) -> str:
    """TensorRT needs a GPU for its builder, TensorRT for RTX builds without one."""
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(one_node()):
        return "its ONNX parser refuses a network of one node"
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    return "" if plan is not None else "its builder gives no engine for a network of one node"


def _judge(answer: Any) -> str:
    return "" if np.array_equal(np.asarray(answer), ANSWER) else f"it answers {answer} to relu"


def _attempt(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception as error:  # each runtime raises its own, and some plain RuntimeError
        return _words(error)


def _words(error: Exception) -> str:
    words = " ".join(str(error).split())
    return (words or type(error).__name__)[:200]
