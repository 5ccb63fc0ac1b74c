"""The order of an export: every network for itself, then the reduced chain on photos."""

from __future__ import annotations

from pathlib import Path

from fuw.engine.errors import BackendError, CheckpointError, FuwError
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
        BackendError: no runtime to prove in, or engines are wanted and TensorRT is missing.
    """
    if "trt" in options.backends:
        require_tensorrt()
    if not options.runtimes:
        raise BackendError("no runtime is installed to prove a file in; install what the export "
                           "needs: pip install 'fuw[export]'")
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
    """Judge each reduced chain on photos, until all of it agrees."""
    rows: list[Row] = []
    for kind in options.precisions:
        if kind == "fp32":
            continue
        if progress:
            progress("chain", f"{kind} on photos", 0.5)
        try:
            rows += _until_it_agrees(options, kind, photos)
        except FuwError as error:
            rows.append(Row("chain", kind, "failed", reason=f"no judgement on photos: {error}"))
    return rows


def _until_it_agrees(options: ExportOptions, kind: str, photos: tuple[Path, Path]) -> list[Row]:
    """What disagrees goes to fp32; where only the chain's picture does, what lies nearest to its
    gate. In the end all is fp32, so that it ends."""
    plain = folder_of("starter") if options.weights == "starter" else options.folder
    kept: dict[str, str] = {}
    while True:
        judged = _judge(options, plain, kind, photos)
        alone = [one for one in judged if one.network and one.network not in kept]
        missed = [one for one in alone if not one.ok]
        if not missed and not all(one.ok for one in judged):
            missed = sorted(alone, key=lambda one: one.measured.margin)[:1]
        if not missed:
            return [Row(one.network or "chain", kind, "agrees" if one.ok else "failed",
                        reason=kept.get(one.network, "") + str(one)) for one in judged]
        for one in missed:
            publish.keep_fp32(options.folder, plain, one.network, kind)
            why = ", but the chain misses its gate" if one.ok else ""
            kept[one.network] = f"{one}{why}, so all of it stays fp32; then "


def _judge(options: ExportOptions, plain: Path, kind: str,
           photos: tuple[Path, Path]) -> list[Agreement]:
    return judge_chain(plain, options.folder, kind, *photos, size=options.size or (1024, 768),
                       threads=options.threads)
