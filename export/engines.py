"""Engines of what was exported: the last step of `fuw-export --backend trt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fuw.engine import trt
from fuw.engine.arrays import F32
from fuw.engine.backend import Model
from fuw.engine.errors import BackendError, CheckpointError, ExportError, FuwError
from fuw.engine.weights import find_models
from fuw.export import to_trt, verify
from fuw.export.options import ExportOptions, Progress
from fuw.export.report import Row, row_of
from fuw.export.samples import sample_inputs
from fuw.export.to_trt import BuildOptions, build_engine
from fuw.export.verify import Verdict

SIZE = (1024, 768)  # of the picture, where none was asked for


def engine_rows(options: ExportOptions, done: Sequence[Row],
                progress: Progress | None = None) -> list[Row]:
    """Build an engine of every file that `done` says is proved; a failure is a row.

    Where a GPU runs the engine, its answers are held to the gate before it gets its name; where
    none does, the row says so.
    """
    rows: list[Row] = []
    for kind in options.precisions:
        for name in [r.network for r in done if r.precision == kind and r.file]:
            if progress:
                progress(name, f"{kind} engine", 0.95)
            rows += _rows(options, name, kind)
    return rows


def _rows(options: ExportOptions, name: str, kind: str) -> Iterator[Row]:
    """One for the engine of a file, and one for that of its static sparse form, if it has one."""
    try:
        plain = _plain(options, name, kind)
    except FuwError as error:
        yield Row(name, kind, "failed", reason=str(error))
        return
    for model in filter(None, (plain, plain.static)):
        try:
            yield replace(_row(options, plain, model), network=name)
        except FuwError as error:
            yield Row(name, kind, "failed", reason=str(error))


def _row(options: ExportOptions, plain: Model, model: Model) -> Row:
    """Build the engine of `model`, and prove it where that can be done.

    `plain`: itself, or the dense form of a static one.
    """
    told = BuildOptions(options.builder_level, options.workspace, cache=options.cache)
    name, kind, missing = plain.spec.name, plain.precision, _missing(told.device)
    verdicts: list[Verdict] = []

    def prove(plan: bytes) -> None:
        verdicts.append(_judged(options, plain, model, plan, told.device))
        if not verdicts[0].ok:
            raise ExportError(f"{verdicts[0]}; the engine is not kept")

    built = build_engine(model, told, options.force, None if missing else prove)
    words = ["the static sparse form"] if model is not plain else []
    words += [] if built.seconds else ["there already (--force builds it again)"]
    words.append(f"{built.runtime} engine for "
                 f"{built.gpu or 'any GPU that TensorRT for RTX knows'}")
    if missing:
        words.append(f"its answers were not compared here: {missing}; where there is a GPU: "
                     "python -m fuw.bench.gpu_check")
    row = Row(name, kind, "built")
    if verdicts:
        row = row_of(verdicts, precision=kind, status="built")
    return replace(row, file=built.path.name, bytes=built.bytes, seconds=built.seconds,
                   reason="; ".join(words))


def _missing(device: str) -> str:
    """Why no engine can be asked here; "" where one can."""
    try:
        trt.check(device)
    except BackendError as error:
        return str(error)
    return ""


def _judged(options: ExportOptions, plain: Model, model: Model, plan: bytes,
            device: str) -> Verdict:
    """The engine's answers to a proof's inputs, held to the gate of its file's precision."""
    spec, kind = model.spec, model.precision
    inputs = sample_inputs(spec, model.sizes, model.batch)
    of, want = _reference(options, plain, inputs)
    got = to_trt.answers(plan, model, inputs, device)
    gate = spec.gates[kind]  # type: ignore[index]  # words in a manifest
    return verify.compare(spec, f"{kind} engine against {of}", gate, want, got)


def _reference(options: ExportOptions, model: Model, inputs: list[F32]) -> tuple[str, list[F32]]:
    """The fp32 file's answers, which were proved against Torch; where there is none, what the
    engine's own file says."""
    try:
        plain = find_models(options.folder, "fp32", options.size or SIZE, options.batch)
    except CheckpointError:
        plain = {}
    found = plain.get(model.spec.name)
    same = found is not None and found.sizes == model.sizes
    source, how = (found.path, "ort-cpu") if found and same else (model.path, "rounded")
    want = verify.run_onnx(model.spec, source, model.sizes, model.batch, inputs, how=how,
                           threads=options.threads)
    return source.name if same else f"{source.name}, {how}", want


def _plain(options: ExportOptions, name: str, kind: str) -> Model:
    """The file that an engine is made of: of a sparse one the dense twin, whose shapes are static.
    """
    models = find_models(options.folder, kind, options.size or SIZE, options.batch)
    return models[name].dense or models[name]


def require_tensorrt() -> None:
    """Say that it is missing before the export, not after; raises BackendError."""
    trt.package()
