"""ONNX -> a TensorRT engine, strongly typed: what a layer computes in is what the file says.

`tensorrt` builds for the GPU of this machine and needs it; `tensorrt_rtx` builds for every GPU it
knows and needs none. Built and looked into without a GPU (TensorRT for RTX 1.7); plain TensorRT's
half, with its timing cache, and the weight bytes and answers of a loaded engine have never been
tried on one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from fuw.engine import devices, trt
from fuw.engine.arrays import F32
from fuw.engine.arrays import Any as AnyArray
from fuw.engine.backend import Model
from fuw.engine.errors import BackendError, ExportError, OutputError
from fuw.engine.files import write_whole
from fuw.engine.folders import cache_folder
from fuw.engine.store import Store
from fuw.engine.trust import distrust
from fuw.engine.weights import proved
from fuw.engine.windows import host_windows
from fuw.export import graph
from fuw.kernels.launch import CudaDevice

log = logging.getLogger(__name__)

GIB = 1 << 30
LOW = {TensorProto.FLOAT16: 2, TensorProto.BFLOAT16: 2}  # bytes per element
LOOKED_AT = 4  # weights of a small network
_ONE = threading.Lock()  # TensorRT's log is the process's: two builds would mix their words


@dataclass(frozen=True)
class BuildOptions:
    """What the builder is told.

    Attributes:
        level: 0 (quick build) to 5 (quick engine); 3 is TensorRT's own.
        workspace: most GPU memory a layer may use while it computes, GiB; 0 leaves it open.
        device: the GPU that plain TensorRT builds for.
        cache: folder of engines and timing caches; None means the user's.
    """

    level: int = 3
    workspace: float = 0
    device: str = "cuda:0"
    cache: Path | None = None


@dataclass(frozen=True)
class Built:
    """An engine in the store.

    Attributes:
        gpu: it is for, "" where it is compiled to the end on the GPU that loads it.
        bytes: of the engine's file.
        seconds: the builder took; 0 where the engine was there already.
    """

    path: Path
    runtime: str
    gpu: str
    bytes: int
    seconds: float


def build_engine(model: Model, options: BuildOptions | None = None, force: bool = False,
                 prove: Callable[[bytes], None] | None = None) -> Built:
    """Build the engine of an exported network, or find it in the store.

    Args:
        model: as `fuw.engine.weights.find_models` finds it; `precision` is that of its file.
        force: build again what is there.
        prove: called with the engine before it gets its name; what it raises is passed on, and
            nothing is kept.

    Raises:
        BackendError: no TensorRT. ExportError: TensorRT refuses a node, gives no engine, or one
        whose weights are not of the file's types, or the cache cannot be written.
    """
    options = options or BuildOptions()
    package = trt.package()
    gpu = _target(package, options.device)
    key = trt.engine_key(package, model, gpu)
    folder = (options.cache or cache_folder()) / "trt"
    store, spent = Store(folder), [0.0]
    if force:
        store.discard(key)

    def build(path: Path) -> None:
        start = time.perf_counter()
        timing = None if trt.portable(package) or gpu is None else (
            folder / f"timing-{package.__version__}-{gpu.arch}.cache")
        plan = build_plan(proved(model), model.spec.name, options, timing)
        spent[0] = time.perf_counter() - start
        if prove is not None:
            prove(plan)
        path.write_bytes(plan)

    path = store.put(key, build)
    if not path.is_relative_to(folder):  # the store's own fallback ends with this process
        raise ExportError(f"{model.spec.name}: its engine was built but is not kept, since "
                          f"{folder} cannot be used; choose another with --cache DIR")
    return Built(path, package.__name__, gpu.model if gpu else "", path.stat().st_size, spent[0])


def build_plan(path: Path, name: str, options: BuildOptions | None = None,
               timing: Path | None = None) -> bytes:
    """A serialized engine of the ONNX file `path`; nothing is stored but the timing cache.

    Args:
        name: of the network, for messages.
        timing: file of the timing cache, read if it is there and written afterwards.

    Raises:
        ExportError: as `build_engine`.
    """
    options = options or BuildOptions()
    package = trt.package()
    with _ONE:
        lines = trt.logger(package)
        lines.lines.clear()
        builder = _builder(package, lines)
        flag = 1 << int(package.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(flag)
        parser = package.OnnxParser(network, lines)
        # By name and not by bytes: weights outside the file are found beside it.
        if not parser.parse_from_file(str(path)):
            raise ExportError(parse_errors(parser, name))
        if not network.num_outputs:  # TensorRT for RTX 1.7 parses a page of HTML without a word
            raise ExportError(f"{name}: {path} is no network; export it again: fuw-export --force")
        config = _config(package, builder, options, timing)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ExportError(f"{name}: TensorRT builds no engine: {trt.said(package)}; try "
                              "another --builder-level or a larger --workspace")
        _keep_timing(config, timing)
        made = bytes(plan)
        check_weights(package, path, name, made)
        return made


def answers(plan: bytes, model: Model, inputs: Sequence[F32], device: str = "cuda:0") -> list[F32]:
    """What the engine in `plan` answers on a GPU, in the order of the spec.

    Raises:
        BackendError: no GPU, or the engine does not load or run on it.
    """
    package, gpu = trt.package(), CudaDevice(device)
    try:
        with gpu.current():
            engine = trt.load(package, plan, model.spec.name)
        session = trt.TrtSession(package, engine, gpu, [t.name for t in model.spec.outputs])
    except BaseException:
        gpu.close()
        raise
    try:
        feeds = {t.name: x for t, x in zip(model.spec.inputs, inputs, strict=True)}
        return session.run(feeds | host_windows(model.windows, feeds)[0])
    finally:
        session.close()


def _target(package: ModuleType, device: str) -> devices.Device | None:
    """The GPU an engine is built for; None where the package builds for all."""
    if trt.portable(package):
        return None
    try:
        return trt.gpu_named(device)
    except BackendError as error:
        raise ExportError(f"TensorRT builds on the GPU that is to run the engine ({error}); build "
                          "there, or install TensorRT for RTX, which builds anywhere: "
                          "pip install tensorrt-rtx-cu13") from error


def _builder(package: ModuleType, lines: Any) -> Any:
    try:
        builder = package.Builder(lines)
    except Exception as error:  # pybind11's own, where CUDA does not start
        raise ExportError(f"TensorRT's builder does not start: {error}; "
                          f"{trt.said(package)}") from error
    if builder is None:
        raise ExportError(f"TensorRT's builder does not start: {trt.said(package)}")
    return builder


def _config(package: ModuleType, builder: Any, options: BuildOptions, timing: Path | None) -> Any:
    config = builder.create_builder_config()
    config.builder_optimization_level = options.level
    # on by default: an fp32 engine would multiply with 10 bits of mantissa
    config.clear_flag(package.BuilderFlag.TF32)
    if hasattr(package.BuilderFlag, "REQUIRE_USER_ALLOCATION"):  # else no CUDA graph captures it
        config.set_flag(package.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if options.workspace:
        config.set_memory_pool_limit(package.MemoryPoolType.WORKSPACE,
                                     int(options.workspace * GIB))
    if timing is not None:
        known = timing.read_bytes() if timing.exists() and not distrust(timing) else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
    return config


def _keep_timing(config: Any, timing: Path | None) -> None:
    """Measured times make the next build quicker; losing them costs no more than that."""
    if timing is None:
        return
    try:
        data = bytes(config.get_timing_cache().serialize())
        write_whole(timing, lambda handle: handle.write(data))
    except OutputError as error:
        log.warning("timing cache not kept: %s", error)


def parse_errors(parser: Any, name: str) -> str:
    """One sentence per node that TensorRT's parser refuses."""
    words = []
    for i in range(parser.num_errors):
        error = parser.get_error(i)
        where = f"node {error.node_name()} ({error.node_operator()})" if error.node_name() else (
            "the file")
        cause = " ".join(str(error.desc()).split())
        words.append(f"{name}: TensorRT refuses {where}: {cause} [{error.code().name}]")
    return "; ".join(dict.fromkeys(words)) or f"{name}: TensorRT refuses the file without a reason"


def check_weights(package: ModuleType, path: Path, name: str, plan: bytes) -> None:
    """Hold an engine's weights to the types of the file's: an engine that silently stayed fp32 is
    a known bug of the field, and only its size tells.

    Raises:
        ExportError: the engine holds the reduced weights in four bytes each.
    """
    low, rest, largest = _weights(path)
    if not low:
        return
    bound = rest + low + low // 2  # half-way between what is right and all in fp32
    measured, how = _engine_weights(package, plan), "the engine says"
    if measured is None:
        # A small network's engine is mostly code: there its largest weights are looked for.
        if len(plan) <= bound or any(_holds(plan, weight) for weight in largest):
            return
        measured, how = len(plan), "at most, by its size"
    if measured > bound:
        raise ExportError(
            f"{name}: the engine holds {measured:,} bytes of weights ({how}) where the types in "
            f"{path.name} ask for {rest + low:,}: TensorRT kept reduced weights in fp32; report "
            "this with the TensorRT version, and use --fp32 or another version until then"
        )


def _weights(path: Path) -> tuple[int, int, list[AnyArray]]:
    """Bytes of the reduced weights, bytes of the other floats, and the largest reduced ones."""
    tensors = graph.load(path).graph.initializer
    sizes = {t.name: int(np.prod(t.dims, dtype=np.int64)) for t in tensors}
    reduced = sorted((t for t in tensors if t.data_type in LOW), key=lambda t: -sizes[t.name])
    low = sum(sizes[t.name] * LOW[t.data_type] for t in reduced)
    rest = sum(4 * sizes[t.name] for t in tensors if t.data_type == TensorProto.FLOAT)
    return low, rest, [numpy_helper.to_array(t) for t in reduced[:LOOKED_AT]]


def _engine_weights(package: ModuleType, plan: bytes) -> int | None:
    """Bytes of weights as the engine itself counts them; None where it cannot be loaded here."""
    if not devices.gpus()[0]:
        return None
    engine = package.Runtime(trt.logger(package)).deserialize_cuda_engine(plan)
    if engine is None or not hasattr(engine, "get_engine_stat"):
        return None
    return int(engine.get_engine_stat(package.EngineStat.TOTAL_WEIGHTS_SIZE))


def _holds(plan: bytes, weight: AnyArray) -> bool:
    """Whether pieces of the weight, in its own type, lie in the engine: a builder without a GPU
    keeps weights as they came, or with the channels last."""
    orders = [weight] + [np.moveaxis(weight, 1, -1)] * (weight.ndim > 2)
    return any(piece.tobytes() in plan for order in orders for piece in _pieces(order.reshape(-1)))


def _pieces(flat: AnyArray, length: int = 16) -> Iterator[AnyArray]:
    for start in (0, flat.size // 2, max(flat.size - length, 0)):
        piece = flat[start:start + length]
        if np.unique(piece).size > length // 2:  # zeros are everywhere
            yield piece
