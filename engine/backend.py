"""Runtimes behind one small protocol: open, run, close. Inputs are checked once, here, in front."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar, overload, runtime_checkable

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.errors import BackendError
from fuw.engine.overflow import open_guarded
from fuw.engine.spec import NetSpec
from fuw.engine.windows import Level
from fuw.kernels.device import Device, DeviceArray

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A network file as a backend opens it.

    Attributes:
        spec: what the network is.
        variant: which width and size of it the file holds.
        path: the ONNX file.
        precision: "fp32", "fp16" or "bf16": what the backend is to compute in.
        sizes: a number for every axis word of the spec.
        batch: samples per run.
        origin: where the weights come from, in words, for example "starter".
        sha256: of the file, as its manifest tells; "" where there is none.
        form: "sparse" for the label-sparse graph of ALIAS, else "".
        dense: what stands in where a label map overflows the sparse graph, or None.
        static: the same network label-sparse in static shapes, which a GPU then runs, or None.
        windows: of a static form, the levels whose windows are found in front of its graph.
    """

    spec: NetSpec
    variant: str
    path: Path
    precision: str
    sizes: Mapping[str, int]
    batch: int = 1
    origin: str = ""
    sha256: str = ""
    form: str = ""
    dense: Model | None = None
    static: Model | None = None
    windows: tuple[Level, ...] = ()


@dataclass(frozen=True)
class OpenOptions:
    """How a backend opens a model.

    Attributes:
        threads: CPU threads of one run; 0 leaves it to the runtime (all cores).
        device: "cpu", "cuda:0", ...
        cache: folder for what the runtime compiles, or None to compile anew.
        gpu: the open GPU `device`, which several networks share; None: each opens its own.
    """

    threads: int = 0
    device: str = "cpu"
    cache: Path | None = None
    gpu: Device | None = None


class Session(Protocol):
    """A network opened in one runtime. `run` may be called from several threads."""

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Outputs in the order of the spec; each belongs to the caller."""

    def close(self) -> None:
        """Give up the runtime's memory."""


@runtime_checkable
class DeviceSession(Protocol):
    """A network opened on a GPU, which also takes what lies there."""

    def queue(self, feeds: Mapping[str, DeviceArray]) -> list[DeviceArray]:
        """Queue a run in the device's order; nothing waits. Outputs belong to the caller."""


class Backend(Protocol):
    """One runtime on one kind of device."""

    name: str

    def open(self, model: Model, options: OpenOptions) -> Session:
        """Load `model`; raises BackendError with the cause and the mend."""


class _Opened:
    """A session with the number of runs that are inside it."""

    def __init__(self, session: Session) -> None:
        self.session, self.runs = session, 0


_Array = TypeVar("_Array", F32, DeviceArray)


class Network:
    """A callable network: `outputs = network(x, seg, seg_div, misalign)`, opened at first use.

    Takes arrays of the host, or of the device it is open on, and answers in kind.
    """

    def __init__(self, model: Model, backend: Backend, options: OpenOptions) -> None:
        self.model, self.backend, self.options = model, backend, options
        self._opened: _Opened | None = None
        self._changed = threading.Condition()
        batch = model.batch
        self._shapes = [t.shape(model.sizes, batch) for t in model.spec.inputs]

    def open(self) -> Session:
        """Open now instead of at the first call."""
        with self._changed:
            return self._open().session

    @property
    def opened(self) -> Session | None:
        """The session, where there is one now."""
        opened = self._opened
        return opened.session if opened is not None else None

    @overload
    def __call__(self, *inputs: F32) -> list[F32]: ...
    @overload
    def __call__(self, *inputs: DeviceArray) -> list[DeviceArray]: ...
    def __call__(self, *inputs: F32 | DeviceArray) -> list[F32] | list[DeviceArray]:
        """Run once; on device arrays the run is only queued.

        Args:
            inputs: float32 arrays in the order of the spec, of exactly its shapes.

        Raises:
            BackendError: wrong number, dtype or shape of inputs, or the runtime failed.
        """
        with self._running() as session:
            there = [value for value in inputs if isinstance(value, DeviceArray)]
            if not there:
                here = [np.ascontiguousarray(value) for value in inputs
                        if not isinstance(value, DeviceArray)]
                return session.run(self._checked(here))
            if len(there) != len(inputs) or not isinstance(session, DeviceSession):
                raise BackendError(f"{self.model.spec.name}: {self.backend.name} does not take "
                                   "arrays of a GPU; this is a mistake in fuw, please report it")
            return session.queue(self._checked(there))

    def close(self) -> None:
        """Wait for the runs under way, then give up the runtime's memory; a later call opens the
        network again."""
        with self._changed:
            opened, self._opened = self._opened, None
            while opened is not None and opened.runs:
                self._changed.wait()
        if opened is not None:
            opened.session.close()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _open(self) -> _Opened:
        if self._opened is None:
            model, start = self.model, time.perf_counter()
            self._opened = _Opened(open_guarded(self.backend, model, self.options))
            log.info("%s opened in %.0f ms: %s, %s in %s", model.spec.name,
                     (time.perf_counter() - start) * 1000, model.path, model.precision,
                     self.backend.name)
        return self._opened

    @contextmanager
    def _running(self) -> Iterator[Session]:
        """The session, which no other thread closes meanwhile."""
        with self._changed:
            opened = self._open()
            opened.runs += 1
        try:
            yield opened.session
        finally:
            with self._changed:
                opened.runs -= 1
                self._changed.notify_all()

    def _checked(self, inputs: list[_Array]) -> dict[str, _Array]:
        spec = self.model.spec
        if len(inputs) != len(spec.inputs):
            raise BackendError(
                f"{spec.name}: received {len(inputs)} inputs; expected {len(spec.inputs)}: "
                + ", ".join(t.name for t in spec.inputs)
            )
        feeds: dict[str, _Array] = {}
        for tensor, shape, value in zip(spec.inputs, self._shapes, inputs, strict=True):
            if value.dtype != np.float32 or value.shape != shape:
                raise BackendError(
                    f"{spec.name}: input {tensor.name} is {value.dtype} {value.shape}; "
                    f"expected float32 {shape}"
                )
            feeds[tensor.name] = value
        return feeds
