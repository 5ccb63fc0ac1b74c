"""One network's export: weights, ONNX, proof, reduction, proof, publication.

A file gets its final name only after it was proved, and its entry in the manifest only after that.
What is killed in between leaves a file that no manifest names, and nothing reads such a file.
"""

from __future__ import annotations

import logging
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine.arrays import F32
from fuw.engine.choose import choose
from fuw.engine.errors import CheckpointError, ExportError, FuwError
from fuw.engine.ov import has_bf16
from fuw.engine.spec import NetSpec, Precision
from fuw.engine.weights import Entry, file_name
from fuw.engine.windows import host_windows
from fuw.export import alias_choice, graph, islands, precision, publish, verify
from fuw.export.options import ExportOptions, Progress
from fuw.export.report import Row, row_of
from fuw.export.samples import sample_inputs
from fuw.export.scratch import scratch_file
from fuw.export.sources import Source, find_source
from fuw.export.to_onnx import checked_sizes
from fuw.export.verify import Verdict

log = logging.getLogger(__name__)


class Job:
    """One network's export."""

    def __init__(self, spec: NetSpec, options: ExportOptions, progress: Progress,
                 form: str = "") -> None:
        """`form`: a word for another form of the network, in its verdicts."""
        self.spec, self.options, self._progress = spec, options, progress
        self._words = f" {form}" if form else ""
        self.out, self.backends = options.folder, options.runtimes
        self.steps = 2 + 2 * len(options.precisions)
        self.done = 0

    def rows(self, asked: bool) -> list[Row]:
        """A row for each precision; `asked` by name: then missing weights are a failure."""
        spec = self.spec
        try:
            self._step("weights")
            source = find_source(self.options.weights, spec, self.options.mask_size)
        except CheckpointError as error:
            return [Row(spec.name, "", "failed" if asked else "skipped", reason=str(error))]
        try:
            weights = f"{source.origin}: {source.standing}"
            return [replace(row, weights=weights) for row in self._rows(source)]
        except Exception as error:  # Torch's exporter, a full disk, no memory: the others go on
            return [self._failed(kind, error) for kind in self.options.precisions]

    def _rows(self, source: Source) -> list[Row]:
        sizes = checked_sizes(self.spec, source.variant, self.options.size)
        wanted = {p: self._entry(source, sizes, p) for p in self.options.precisions}
        stale = {p: publish.stale(self.out, entry, self._form(p) if source.forms else "")
                 for p, entry in wanted.items()}
        why = {p: stale[p] or "--force" for p in wanted if self.options.force or stale[p]}
        rows = [self._up_to_date(wanted[p]) for p in wanted if p not in why]
        if why:
            try:
                rows += self._export(source, sizes, {p: wanted[p] for p in why}, why)
            except Exception as error:
                rows += [self._failed(kind, error) for kind in why]
        return rows

    def _form(self, kind: str) -> str:
        """What is asked of a network that has forms. Reduced files are for engines: dense, and
        where the sparse form is asked for by name, its static kind beside."""
        if kind == "fp32":
            return self.options.alias
        return "static" if self.options.alias == "sparse" else "dense"

    def _failed(self, kind: Precision, error: Exception) -> Row:
        """A row for whatever went wrong; of a foreign error the first line, the rest with -v."""
        reason = str(error)
        if not isinstance(error, FuwError):
            log.debug("%s: %s", self.spec.name, "".join(traceback.format_exception(error)))
            first = reason.partition("\n")[0][:300]
            reason = f"{self.spec.name}: {type(error).__name__}: {first}"
        return Row(self.spec.name, kind, "failed", reason=reason)

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
            proof = str(self._checked_plain(plain, next(iter(wanted.values())), inputs, want))
            rows: list[Row] = []
            for kind, entry in wanted.items():
                start = time.perf_counter()
                try:
                    row = self._one(source, entry, plain, inputs, want, why[kind])
                except Exception as error:
                    row = self._failed(kind, error)
                verdicts = row.verdicts if kind == "fp32" else (proof, *row.verdicts)
                rows.append(replace(row, seconds=time.perf_counter() - start, verdicts=verdicts))
            return rows

    def _checked_plain(self, plain: Path, entry: Entry, inputs: Sequence[F32],
                       want: Sequence[F32]) -> Verdict:
        """ONNX fp32 against Torch, before anything is derived from it."""
        verdict = self._compare(plain, replace(entry, precision="fp32"), inputs, want,
                                self.backends[0])
        if not verdict.ok:
            raise ExportError(f"{verdict}; nothing was written")
        return verdict

    def _one(self, source: Source, entry: Entry, plain: Path, inputs: Sequence[F32],
             want: Sequence[F32], why: str) -> Row:
        """Make, prove and publish one file."""
        spec, kind = self.spec, entry.precision
        with scratch_file(self.out, ".onnx") as made, scratch_file(self.out, ".onnx") as static:
            self._step(kind)
            patterns: list[str] = list(spec.fp32_islands)
            extra: dict[str, Any] = {}
            if kind == "fp32":
                verdicts, extra = self._fp32(source, plain, made, entry, inputs, want)
            else:
                verdicts, patterns = self._reduced(plain, made, entry, inputs, want, patterns)
            forms: dict[str, Path] = {"dense": plain} if extra.get("form") == "sparse" else {}
            if source.forms and self._form(kind) == "static":
                proofs, extra["windows"] = self._static(source, static, entry, inputs, want)
                verdicts, forms = [*verdicts, *proofs], {"static": static}
            self._step(f"{kind} proof")
            failed = [str(v) for v in verdicts if not v.ok]
            share = None if kind == "fp32" else graph.fp32_share(made)
            if failed:
                return row_of(verdicts, precision=kind, status="failed", islands=share,
                              reason="; ".join(failed) + "; nothing was written")
            size = made.stat().st_size
            extra["rel_l2"] = max(v.worst.rel_l2 for v in verdicts)
            extra["standing"] = source.standing
            if share is not None:
                extra["fp32_nodes"] = share
            publish.publish(self.out, entry, made, extra, forms)
        return row_of(verdicts, precision=kind, status="proved", file=entry.file, bytes=size,
                      islands=share, reason=self._remark(patterns, why))

    def _remark(self, patterns: list[str], why: str) -> str:
        more = len(patterns) - len(self.spec.fp32_islands)
        widened = f"{more} nodes more than the spec's stay fp32, for the gate to hold"
        return "; ".join([why] * (why != publish.NEW) + [widened] * (more > 0))

    def _fp32(self, source: Source, plain: Path, made: Path, entry: Entry, inputs: Sequence[F32],
              want: Sequence[F32]) -> tuple[list[Verdict], dict[str, Any]]:
        """Fill `made` with the form of the fp32 file that this machine runs faster."""
        spec, options, extra = self.spec, self.options, dict[str, Any]()
        form = "" if options.alias == "dense" else (
            source.write_form(made, options.batch, options.size))
        verdicts = self._prove(made, entry, inputs, want) if form else []
        if form and options.alias == "auto" and all(v.ok for v in verdicts):
            self._step("timing")
            choice = choose("cpu")
            timed = alias_choice.timed(spec, plain, made, entry, choice.name, choice.precision,
                                       options.threads)
            form, extra["timed"] = timed.form, asdict(timed)
        if form != "sparse":
            shutil.copyfile(plain, made)
            verdicts = self._prove(made, entry, inputs, want)
        if source.forms:
            extra["form"] = form or "dense"
        return verdicts, extra | self._lowered(made, entry, inputs, want)

    def _reduced(self, plain: Path, made: Path, entry: Entry, inputs: Sequence[F32],
                 want: Sequence[F32], patterns: list[str]) -> tuple[list[Verdict], list[str]]:
        kind = entry.precision
        every = ("rounded", *verify.runtimes(kind, self.backends))

        def judge(chosen: Sequence[str], ways: Sequence[str] = every[:1]) -> Verdict:
            precision.convert(plain, made, kind, chosen)
            return max((self._compare(made, entry, inputs, want, how) for how in ways),
                       key=lambda verdict: verdict.excess)

        verdict = judge(patterns)
        if not verdict.ok:
            patterns, verdict = islands.widen(plain, self.spec, kind, inputs, judge, patterns)
        verdicts = [verdict, *self._prove(made, entry, inputs, want)]
        if verdict.ok and not all(one.ok for one in verdicts):
            # A CPU with bf16 may sum in it too, where the simulation and tensor cores sum in fp32.
            patterns, _ = islands.widen(plain, self.spec, kind, inputs,
                                        lambda chosen: judge(chosen, every), patterns)
            verdicts = [self._compare(made, entry, inputs, want, how) for how in every]
        return verdicts, patterns

    def _static(self, source: Source, made: Path, entry: Entry, inputs: Sequence[F32],
                want: Sequence[F32]) -> tuple[list[Verdict], list[tuple[object, ...]]]:
        """Fill `made` with the static sparse form, reduced, proved as every file is; with its
        levels, for the manifest."""
        with scratch_file(self.out, ".onnx") as exact:
            self._step("static form")
            levels = source.write_static(exact, entry.batch, self.options.size)
            feeds = {t.name: x for t, x in zip(self.spec.inputs, inputs, strict=True)}
            windows, overflow = host_windows(levels, feeds)
            if overflow:
                raise ExportError(f"{self.spec.name}: the static sparse form cannot be proved in "
                                  "this size, its tables do not hold the proof's windows; export "
                                  "with --alias dense")
            size = entry.sizes["height"], entry.sizes["width"]
            more = [t for level in levels for t in level.tensors(entry.batch, *size)]
            spec = replace(self.spec, inputs=(*self.spec.inputs, *more))
            job = Job(spec, self.options, self._progress, "static")
            fed = [*inputs, *windows.values()]
            job._checked_plain(exact, entry, fed, want)
            verdicts, _ = job._reduced(exact, made, entry, fed, want, list(spec.fp32_islands))
        return verdicts, [astuple(level) for level in levels]

    def _prove(self, path: Path, entry: Entry, inputs: Sequence[F32],
               want: Sequence[F32]) -> list[Verdict]:
        return [self._compare(path, entry, inputs, want, how)
                for how in verify.runtimes(entry.precision, self.backends)]

    def _compare(self, path: Path, entry: Entry, inputs: Sequence[F32], want: Sequence[F32],
                 how: str, kind: Precision | None = None) -> Verdict:
        """Run a file one way and hold it to the gate of `kind`, by default the file's own."""
        gate = self.spec.gates[kind or entry.precision]  # type: ignore[index]  # words in a manifest
        got = verify.run_onnx(self.spec, path, entry.sizes, entry.batch, inputs, how=how,
                              threads=self.options.threads)
        step = f"{entry.precision}{self._words} in {how}"
        return verify.compare(self.spec, step, gate, want, got)

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
