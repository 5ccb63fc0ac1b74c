"""The order of an export: every network for itself, then the reduced chain on photos."""

from __future__ import annotations

from pathlib import Path

from fuw.engine.errors import BackendError, CheckpointError, FuwError
from fuw.engine.files import sweep
from fuw.engine.networks import NETWORKS, network
from fuw.engine.weights import folder_of
from fuw.export.chain import Reference, ask_plain, judge_chain
from fuw.export.engines import engine_rows, require_tensorrt
from fuw.export.job import Job
from fuw.export.options import ExportOptions, Progress
from fuw.export.report import Report, Row
from fuw.export.widening import keep_fp32

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
    plain = folder_of("starter") if options.weights == "starter" else options.folder
    rows: list[Row] = []
    reference: Reference | None = None
    for kind in options.precisions:
        if kind == "fp32":
            continue
        if progress:
            progress("chain", f"{kind} on photos", 0.5)
        try:
            reference = reference or ask_plain(plain, photos, options.size or (1024, 768),
                                               options.threads)
            rows += _until_it_agrees(options, kind, reference)
        except FuwError as error:
            rows.append(Row("chain", kind, "failed", reason=f"no judgement on photos: {error}"))
    return rows


def _until_it_agrees(options: ExportOptions, kind: str, reference: Reference) -> list[Row]:
    """Of what disagrees, layers go to fp32 until it agrees; where only the chain's picture does,
    all of the network that lies nearest to its gate. In the end all is fp32, so that it ends."""
    kept: dict[str, str] = {}
    exact: set[str] = set()
    while True:
        judged = judge_chain(reference, options.folder, kind)
        open_ = [one for one in judged if one.network and one.network not in exact]
        missed = [one for one in open_ if not one.ok]
        chain = not missed and not all(one.ok for one in judged)
        if chain:
            missed = sorted(open_, key=lambda one: -one.measured.excess)[:1]
        if not missed:
            return [Row(one.network or "chain", kind, "agrees" if one.ok else "failed",
                        reason=kept.get(one.network, "") + str(one)) for one in judged]
        for one in missed:
            whole = chain or one.network in kept
            exact |= {one.network} if whole else set()
            share = keep_fp32(reference, options.folder, one.network, kind, whole=whole,
                              runtimes=options.runtimes)
            why = ", but the chain misses its gate" if chain else ""
            kept[one.network] = f"{one}{why}, so {share:.0%} of its nodes stay fp32; then "
