"""A reduced network that disagrees with fp32 on photos: its layers go to fp32 until it agrees."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fuw.engine.backend import Model
from fuw.engine.errors import ExportError
from fuw.engine.networks import network
from fuw.engine.spec import NetSpec
from fuw.engine.weights import Entry, read_manifest
from fuw.export import graph, islands, publish, verify
from fuw.export.chain import Reference
from fuw.export.precision import convert
from fuw.export.samples import sample_inputs
from fuw.export.scratch import scratch_file

log = logging.getLogger(__name__)

HEADROOM = 0.7  # of the gate: other photos err more than the one that was measured


@dataclass(frozen=True)
class _Held:
    """An error as a multiple of its gate, held to less than that."""

    excess: float

    @property
    def ok(self) -> bool:
        return self.excess <= HEADROOM


def keep_fp32(reference: Reference, folder: Path, name: str, kind: str, *, whole: bool = False,
              runtimes: Sequence[str] = ("ort-cpu",)) -> float:
    """Publish the reduced file of `name` anew, with more of it in fp32.

    Args:
        reference: photos on which it is to agree; its folder holds the fp32 file.
        folder: with the reduced file.
        kind: its precision.
        whole: all of it, and not only as much as the gate on the photos asks for.
        runtimes: to prove the new file in.

    Returns:
        The share of its nodes that compute in fp32 now, 0..1.

    Raises:
        ExportError: no fp32 file to take the layers from, or the new file misses its own gate.
    """
    spec = network(name)
    entry, plain = _pair(reference, folder, name, kind)
    with scratch_file(folder, ".onnx") as made:
        if whole:
            convert(plain, made, kind, ["*"])
        else:
            _widen(reference, spec, entry, folder / entry.file, plain, made)
        share = graph.fp32_share(made)
        rel_l2 = _prove(spec, entry, plain, made, runtimes, reference.threads)
        publish.publish(folder, entry, made, {"fp32_nodes": share, "rel_l2": rel_l2})
    if "static" in entry.extra:
        log.warning("%s: its static sparse form is taken away, since it has not the layers that "
                    "stay fp32 in %s now", name, entry.file)
    return share


def _pair(reference: Reference, folder: Path, name: str, kind: str) -> tuple[Entry, Path]:
    """The reduced entry, and the fp32 file of the same size."""
    for entry in read_manifest(folder):
        if (entry.network, entry.precision) != (name, kind):
            continue
        for plain in read_manifest(reference.plain):
            if plain.precision == "fp32" and publish.shape(plain) == publish.shape(entry):
                return entry, reference.plain / publish.plain_file(plain)
    raise ExportError(f"{name}: there is no fp32 file of it in {reference.plain} to keep layers "
                      f"of; export it with --fp32 --{kind}")


def _widen(reference: Reference, spec: NetSpec, entry: Entry, reduced: Path, plain: Path,
           made: Path) -> None:
    """Fill `made`, beginning with the islands that the reduced file has already."""
    model = Model(spec, entry.variant, made, "fp32", entry.sizes, entry.batch)

    def judge(patterns: Sequence[str]) -> _Held:
        convert(plain, made, entry.precision, patterns)
        return _Held(reference.worst(model, lambda *inputs: verify.run_onnx(
            spec, made, entry.sizes, entry.batch, inputs, how="rounded",
            threads=reference.threads)).excess)

    known = graph.metadata(graph.load(reduced)).get("fuw.islands", "")
    inputs, _ = reference.asked[spec.name][0]
    islands.widen(plain, spec, entry.precision, inputs, judge, known.split(",") if known else [])


def _prove(spec: NetSpec, entry: Entry, plain: Path, made: Path, runtimes: Sequence[str],
           threads: int) -> float:
    """The new file as every file is proved; returns its worst relative L2 error against fp32."""
    inputs = sample_inputs(spec, entry.sizes, entry.batch)
    want = verify.run_onnx(spec, plain, entry.sizes, entry.batch, inputs, threads=threads)
    gate = spec.gates[entry.precision]  # type: ignore[index]  # words in a manifest
    verdicts = [
        verify.compare(spec, f"{entry.precision} in {how}", gate, want, verify.run_onnx(
            spec, made, entry.sizes, entry.batch, inputs, how=how, threads=threads))
        for how in ("rounded", *verify.runtimes(entry.precision, runtimes))]
    missed = [str(verdict) for verdict in verdicts if not verdict.ok]
    if missed:
        raise ExportError("; ".join(missed) + "; the file stays as it was")
    return max(verdict.worst.rel_l2 for verdict in verdicts)
