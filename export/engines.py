"""Engines of what was exported: the last step of `fuw-export --backend trt`."""

from __future__ import annotations

from collections.abc import Sequence

from fuw.engine import trt
from fuw.engine.backend import Model
from fuw.engine.errors import FuwError
from fuw.engine.weights import find_models
from fuw.export.options import ExportOptions, Progress
from fuw.export.report import Row
from fuw.export.to_trt import BuildOptions, build_engine

SIZE = (1024, 768)  # of the picture, where none was asked for


def engine_rows(options: ExportOptions, done: Sequence[Row],
                progress: Progress | None = None) -> list[Row]:
    """Build an engine of every file that `done` says is proved; a failure is a row.

    An engine's own answers are not compared here: that needs the GPU, and fuw/bench/gpu_check.py.
    """
    told = BuildOptions(options.builder_level, options.workspace, cache=options.cache)
    rows: list[Row] = []
    for kind in options.precisions:
        for name in [r.network for r in done if r.precision == kind and r.file]:
            if progress:
                progress(name, f"{kind} engine", 0.95)
            try:
                built = build_engine(_model(options, name, kind), told, options.force)
            except FuwError as error:
                rows.append(Row(name, kind, "failed", reason=str(error)))
                continue
            there = "" if built.seconds else "there already (--force builds it again); "
            rows.append(Row(name, kind, "built", built.path.name, bytes=built.bytes,
                            seconds=built.seconds, reason=f"{there}{built.runtime} engine for "
                            f"{built.gpu or 'any GPU that TensorRT for RTX knows'}; never compared "
                            "with ONNX Runtime here: python -m fuw.bench.gpu_check"))
    return rows


def _model(options: ExportOptions, name: str, kind: str) -> Model:
    """The file that an engine is made of: of a sparse one the dense twin, whose shapes are static.
    """
    models = find_models(options.folder, kind, options.size or SIZE, options.batch)
    return models[name].dense or models[name]


def require_tensorrt() -> None:
    """Say that it is missing before the export, not after; raises BackendError."""
    trt.package()
