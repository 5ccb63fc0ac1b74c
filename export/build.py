"""The order of an export, for each network: weights, ONNX, proof, reduction, proof, publish.

A file gets its final name only after it was proved, and its entry in the manifest only after that.
What is killed in between leaves a file that no manifest names, and nothing reads such a file.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.errors import CheckpointError, ExportError, FuwError
from fuw.engine.files import sweep
from fuw.engine.networks import NETWORKS, network
from fuw.engine.ov import has_bf16
from fuw.engine.spec import NetSpec, Precision
from fuw.engine.weights import Entry, file_name, folder_of
from fuw.export import graph, islands, precision, publish, verify
from fuw.export.agreement import judge_chain
from fuw.export.report import Report, Row, row_of
from fuw.export.samples import sample_inputs
from fuw.export.scratch import scratch_file
from fuw.export.sources import Source, find_source
from fuw.export.to_onnx import checked_sizes
from fuw.export.verify import Verdict

RUNTIMES = {"ort-cpu": "onnxruntime", "openvino": "openvino"}  # and the package of each
NO_KERNELS = {"bf16": ("ort-cpu",)}  # ONNX Runtime cannot open a bf16 file on a CPU
Progress = Callable[[str, str, float], None]
"""Called with (network, what is being done, share done 0..1)."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export; the command line's options carry the same names.

    Attributes:
        weights: "starter", or a folder with checkpoints.
        out: folder for the files; None means "onnx" in the weights' folder (or here, for starter).
        networks: names; empty means every network whose weights are there.
        precisions: of the files that are wanted.
        batch: samples per run.
        size: (height, width) of the picture, for the networks that follow it.
        force: export again what is up to date.
        backends: runtimes to prove in; empty means every one that is installed.
        photos: a person and a garment: the reduced chain is then judged by its labels, masks, key
            points and picture as well.
        threads: of the runtimes; 0 means all cores.
    """

    weights: str = "starter"
    out: Path | None = None
    networks: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ("fp32",)
    batch: int = 1
    size: tuple[int, int] | None = None
    force: bool = False
    backends: tuple[str, ...] = ()
    photos: tuple[Path, Path] | None = None
    threads: int = 0


def main_export(options: ExportOptions, progress: Progress | None = None) -> Report:
    """Export and prove; every failure is a row of the report, not an exception.

    Raises:
        UnknownNetwork: a name in `networks` that is not in the table.
        CheckpointError: no folder of weights at all.
    """
    names = options.networks or tuple(NETWORKS)
    specs = [network(name) for name in names]
    out = out_folder(options)
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    backends = options.backends or tuple(n for n, p in RUNTIMES.items() if find_spec(p))
    rows: list[Row] = []
    for spec in specs:
        job = _Job(spec, options, out, backends, progress or (lambda name, doing, share: None))
        rows += job.rows(asked=bool(options.networks))
    if options.photos is not None:
        rows += _agreements(options, out, options.photos, progress)
    return Report(tuple(rows))


def _agreements(options: ExportOptions, out: Path, photos: tuple[Path, Path],
                progress: Progress | None) -> list[Row]:
    """Judge each reduced chain on photos; a network that disagrees loses its file."""
    plain = folder_of("starter") if options.weights == "starter" else out
    rows: list[Row] = []
    for kind in options.precisions:
        if kind == "fp32":
            continue
        if progress:
            progress("chain", f"{kind} on photos", 0.5)
        try:
            for one in judge_chain(plain, out, kind, *photos, size=options.size or (1024, 768),
                                   threads=options.threads):
                if not one.ok and one.network:
                    publish.withdraw(out, one.network, kind)
                rows.append(Row(one.network or "chain", kind, "agrees" if one.ok else "failed",
                                reason=str(one)))
        except FuwError as error:
            rows.append(Row("chain", kind, "failed", reason=f"no judgement on photos: {error}"))
    return rows


def out_folder(options: ExportOptions) -> Path:
    """Where the files go."""
    if options.out is not None:
        return options.out
    return Path("onnx") if options.weights == "starter" else Path(options.weights) / "onnx"


class _Job:
    """One network's export."""

    def __init__(self, spec: NetSpec, options: ExportOptions, out: Path,
                 backends: tuple[str, ...], progress: Progress) -> None:
        self.spec, self.options, self.out, self.backends = spec, options, out, backends
        self._progress = progress
        self.steps = 2 + 2 * len(options.precisions)
        self.done = 0

    def rows(self, asked: bool) -> list[Row]:
        """A row for each precision; `asked` by name: then missing weights are a failure."""
        spec = self.spec
        try:
            self._step("weights")
            source = find_source(self.options.weights, spec)
        except CheckpointError as error:
            return [Row(spec.name, "", "failed" if asked else "skipped", reason=str(error))]
        try:
            sizes = checked_sizes(spec, source.variant, self.options.size)
            wanted = {p: self._entry(source, sizes, p) for p in self.options.precisions}
            stale = {p: publish.stale(self.out, entry) for p, entry in wanted.items()}
            todo = [p for p in wanted if self.options.force or stale[p]]
            rows = [self._up_to_date(wanted[p]) for p in wanted if p not in todo]
            if todo:
                why = {p: stale[p] or "--force" for p in todo}
                rows += self._export(source, sizes, {p: wanted[p] for p in todo}, why)
            return rows
        except FuwError as error:
            return [Row(spec.name, p, "failed", reason=str(error))
                    for p in self.options.precisions]

    def _export(self, source: Source, sizes: dict[str, int], wanted: dict[Precision, Entry],
                why: dict[Precision, str]) -> list[Row]:
        spec, options = self.spec, self.options
        inputs = sample_inputs(spec, sizes, options.batch)
        with scratch_file(self.out, ".onnx") as plain:
            self._step("to ONNX")
            want = source.write_onnx(plain, inputs, options.batch, options.size)
            if not all(np.isfinite(w).all() for w in want):
                raise ExportError(
                    f"{spec.name}: the network itself answers NaN or infinity in fp32; its weights "
                    f"({source.origin}) are of no use"
                )
            self._check_plain(plain, next(iter(wanted.values())), inputs, want)
            rows: list[Row] = []
            for kind, entry in wanted.items():
                with self._timed(rows):
                    rows.append(self._one(source, entry, plain, inputs, want, why[kind]))
            return rows

    def _check_plain(self, plain: Path, entry: Entry, inputs: Sequence[F32],
                     want: Sequence[F32]) -> None:
        """ONNX fp32 against Torch, before anything is derived from it."""
        verdict = self._compare(plain, replace(entry, precision="fp32"), inputs, want,
                                self.backends[0])
        if not verdict.ok:
            raise ExportError(f"{verdict}; nothing was written")

    def _one(self, source: Source, entry: Entry, plain: Path, inputs: Sequence[F32],
             want: Sequence[F32], why: str) -> Row:
        """Make, prove and publish one file."""
        spec, kind = self.spec, entry.precision
        with scratch_file(self.out, ".onnx") as made:
            self._step(kind)
            patterns: list[str] = list(spec.fp32_islands)
            extra: dict[str, Any] = {}
            if kind == "fp32":
                form = source.write_form(made, self.options.batch, self.options.size)
                if not form:
                    shutil.copyfile(plain, made)
                verdicts = self._prove(made, entry, inputs, want)
                extra = self._lowered(made, entry, inputs, want) | ({"form": form} if form else {})
            else:
                verdicts, patterns = self._reduced(plain, made, entry, inputs, want, patterns)
            self._step(f"{kind} proof")
            failed = [str(v) for v in verdicts if not v.ok]
            share = None if kind == "fp32" else _fp32_share(made)
            if failed:
                return row_of(verdicts, precision=kind, status="failed", islands=share,
                              reason="; ".join(failed) + "; nothing was written")
            size = made.stat().st_size
            extra["rel_l2"] = max(v.worst.rel_l2 for v in verdicts)
            if share is not None:
                extra["fp32_nodes"] = share
            publish.publish(self.out, entry, made, extra)
        return row_of(verdicts, precision=kind, status="proved", file=entry.file, bytes=size,
                      islands=share, reason=self._remark(patterns, why))

    def _remark(self, patterns: list[str], why: str) -> str:
        more = len(patterns) - len(self.spec.fp32_islands)
        widened = f"{more} nodes more than the spec's stay fp32, for the gate to hold"
        return "; ".join([why] * (why != publish.NEW) + [widened] * (more > 0))

    def _reduced(self, plain: Path, made: Path, entry: Entry, inputs: Sequence[F32],
                 want: Sequence[F32], patterns: list[str]) -> tuple[list[Verdict], list[str]]:
        kind = entry.precision

        def judge(chosen: Sequence[str]) -> Verdict:
            precision.convert(plain, made, kind, chosen)
            return self._compare(made, entry, inputs, want, "rounded")

        verdict = judge(patterns)
        if not verdict.ok:
            patterns, verdict = islands.widen(plain, self.spec, kind, inputs, judge, patterns)
        return [verdict, *self._prove(made, entry, inputs, want)], patterns

    def _prove(self, path: Path, entry: Entry, inputs: Sequence[F32],
               want: Sequence[F32]) -> list[Verdict]:
        return [self._compare(path, entry, inputs, want, how) for how in self.backends
                if how not in NO_KERNELS.get(entry.precision, ())]

    def _compare(self, path: Path, entry: Entry, inputs: Sequence[F32], want: Sequence[F32],
                 how: str, kind: Precision | None = None) -> Verdict:
        """Run a file one way and hold it to the gate of `kind`, by default the file's own."""
        gate = self.spec.gates[kind or entry.precision]  # type: ignore[index]  # words in a manifest
        got = verify.run_onnx(self.spec, path, entry.sizes, entry.batch, inputs, how=how,
                              threads=self.options.threads)
        return verify.compare(self.spec, f"{entry.precision} in {how}", gate, want, got)

    def _lowered(self, path: Path, entry: Entry, inputs: Sequence[F32],
                 want: Sequence[F32]) -> dict[str, Any]:
        """What a CPU's own bf16 makes of the fp32 file: a figure for the manifest, not a gate."""
        if "openvino" not in self.backends or not has_bf16():
            return {}
        verdict = self._compare(path, entry, inputs, want, "openvino-bf16", "bf16")
        worst = verdict.worst
        return {"cpu_bf16": {"rel_l2": worst.rel_l2, "psnr": worst.psnr, "holds": verdict.ok}}

    def _entry(self, source: Source, sizes: dict[str, int], kind: Precision) -> Entry:
        spec = self.spec
        return Entry(file_name(spec, kind, sizes, self.options.batch), spec.name, source.variant,
                     kind, sizes, spec.hash(source.variant), source.origin, "",
                     self.options.batch, source.checkpoint)

    def _up_to_date(self, entry: Entry) -> Row:
        return Row(entry.network, entry.precision, "up to date", entry.file,
                   bytes=(self.out / entry.file).stat().st_size)

    def _step(self, doing: str) -> None:
        self._progress(self.spec.name, doing, min(self.done / self.steps, 1.0))
        self.done += 1

    @contextmanager
    def _timed(self, rows: list[Row]) -> Iterator[None]:
        start = time.perf_counter()
        yield
        rows[-1] = Row(**{**vars(rows[-1]), "seconds": time.perf_counter() - start})


def _fp32_share(path: Path) -> float:
    """Share of the nodes of a reduced file that compute in fp32 (casts not counted)."""
    model = graph.load(path)
    nodes = [n for n in model.graph.node if n.op_type != "Cast"]
    types = graph.tensor_types(model)
    float_type = 1  # TensorProto.FLOAT
    return sum(types.get(n.output[0]) == float_type for n in nodes) / max(len(nodes), 1)
