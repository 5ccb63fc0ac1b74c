"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fuw.engine import ort_cache
from fuw.engine.arrays import F32
from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.errors import BackendError, CheckpointError


class OrtSession:
    """One `onnxruntime.InferenceSession`; its `run` is safe from several threads."""

    def __init__(self, session: Any, outputs: list[str]) -> None:
        self._session, self._outputs = session, outputs

    def run(self, feeds: Mapping[str, F32]) -> list[F32]:
        """Run once; outputs in the order of the spec."""
        return list(self._session.run(self._outputs, dict(feeds)))

    def close(self) -> None:
        """Drop the session; ONNX Runtime frees its arena with it."""
        self._session = None


class OrtCpu:
    """ONNX Runtime, CPU provider, fp32: the backend that is there on every machine."""

    name = "ort-cpu"

    def open(self, model: Model, options: OpenOptions) -> Session:
        """Open `model.path`, or its optimised graph from `options.cache`.

        Raises:
            BackendError: the package or the file does not do. CheckpointError: another file.
        """
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise BackendError(
                "ONNX Runtime is not installed; install the CPU backends: pip install 'fuw[cpu]'"
            ) from error
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        # Networks run one after another; a second pool of threads would only fight the first.
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        settings.log_severity_level = 3
        # Two Fitters in one process would otherwise spin against each other between runs.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            opened = ort_cache.session(ort, model, settings, options.cache)
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's own family has no common public base
            raise BackendError(
                f"{model.spec.name}: ONNX Runtime cannot open {model.path}: "
                f"{first_line(error)}; export it again with fuw-export --force"
            ) from error
        return OrtSession(opened, [t.name for t in model.spec.outputs])


def first_line(error: Exception) -> str:
    """The first line of what ONNX Runtime says; the rest names its source files."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
