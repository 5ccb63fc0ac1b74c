"""The order of an export: every network for itself, then the reduced chain on photos."""

from __future__ import annotations

from pathlib import Path

from fuw.engine.errors import CheckpointError, FuwError
from fuw.engine.files import sweep
from fuw.engine.networks import NETWORKS, network
from fuw.engine.weights import folder_of
from fuw.export import publish
from fuw.export.agreement import Agreement, judge_chain
from fuw.export.engines import engine_rows, require_tensorrt
from fuw.export.job import Job
from fuw.export.options import ExportOptions, Progress
from fuw.export.report import Report, Row

__all__ = ["ExportOptions", "Progress", "main_export"]


def main_export(options: ExportOptions, progress: Progress | None = None) -> Report:
    """Export and prove; every failure is a row of the report, not an exception.

    Raises:
        UnknownNetwork: a name in `networks` that is not in the table.
        CheckpointError: no folder of weights at all.
        BackendError: engines are wanted and TensorRT is not installed.
    """
    if "trt" in options.backends:
        require_tensorrt()
    names = options.networks or tuple(NETWORKS)
    specs = [network(name) for name in names]
    if options.weights != "starter" and not Path(options.weights).is_dir():
        raise CheckpointError(f"there is no folder {options.weights} with checkpoints; pass "
                              "--weights DIR, or fetch them: fuw-export --download --weights DIR")
    options.folder.mkdir(parents=True, exist_ok=True)
    sweep(options.folder)
    rows: list[Row] = []
    for spec in specs:
        job = Job(spec, options, progress or (lambda name, doing, share: None))
        rows += job.rows(asked=bool(options.networks))
    if options.photos is not None:
        rows += _agreements(options, options.photos, progress)
    if "trt" in options.backends:
        rows += engine_rows(options, rows, progress)
    return Report(tuple(rows))


def _agreements(options: ExportOptions, photos: tuple[Path, Path],
                progress: Progress | None) -> list[Row]:
    """Judge each reduced chain on photos; what disagrees goes to fp32, and again."""
    plain = folder_of("starter") if options.weights == "starter" else options.folder
    rows: list[Row] = []
    for kind in options.precisions:
        if kind == "fp32":
            continue
        if progress:
            progress("chain", f"{kind} on photos", 0.5)
        try:
            judged = _judge(options, plain, kind, photos)
            missed = [one for one in judged if one.network and not one.ok]
            for one in missed:
                publish.keep_fp32(options.folder, plain, one.network, kind)
            words = {one.network: f"{one}, so all of it stays fp32; then " for one in missed}
            for one in _judge(options, plain, kind, photos) if missed else judged:
                rows.append(Row(one.network or "chain", kind, "agrees" if one.ok else "failed",
                                reason=words.get(one.network, "") + str(one)))
        except FuwError as error:
            rows.append(Row("chain", kind, "failed", reason=f"no judgement on photos: {error}"))
    return rows


def _judge(options: ExportOptions, plain: Path, kind: str,
           photos: tuple[Path, Path]) -> list[Agreement]:
    return judge_chain(plain, options.folder, kind, *photos, size=options.size or (1024, 768),
                       threads=options.threads)
