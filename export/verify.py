"""Proof of an export: the same inputs through Torch and every file made from it, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fuw.engine.arrays import F32
from fuw.engine.backend import Backend, Model, OpenOptions
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino
from fuw.engine.spec import Gate, NetSpec
from fuw.export import graph, precision
from fuw.export.scratch import scratch_file

PEAK = 2.0  # of a picture in -1..1
NO_KERNELS = {"bf16": ("ort-cpu",)}  # ONNX Runtime cannot open a bf16 file on a CPU


@dataclass(frozen=True)
class Measure:
    """How far an output is from its reference.

    Attributes:
        rel_l2: |got - want| / |want|, Euclidean; infinite where `got` is not finite.
        worst: greatest absolute difference, `at` this index.
        psnr: dB against a peak of 2, for a picture in -1..1; else None.
    """

    tensor: str
    rel_l2: float
    worst: float
    at: tuple[int, ...]
    psnr: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of one comparison, against the spec's gate for the precision."""

    network: str
    step: str
    gate: Gate
    measures: tuple[Measure, ...]

    @property
    def worst(self) -> Measure:
        """The output with the greatest relative error."""
        return max(self.measures, key=lambda m: m.rel_l2)

    @property
    def excess(self) -> float:
        """The worst error as a multiple of what the gate allows; infinite where not finite."""
        ratios = [m.rel_l2 / self.gate.rel_l2 for m in self.measures]
        if self.gate.psnr is not None:
            ratios += [10 ** ((self.gate.psnr - m.psnr) / 20) for m in self.measures
                       if m.psnr is not None]
        return max(ratios)

    @property
    def ok(self) -> bool:
        """Whether every output holds the gate."""
        return self.excess <= 1

    def __str__(self) -> str:
        m = self.worst
        psnr = "" if m.psnr is None else f", {m.psnr:.1f} dB"
        return (f"{self.network} {self.step}: {m.tensor} {m.rel_l2:.2e} relative L2 "
                f"(gate {self.gate.rel_l2:.0e}{psnr}), worst {m.worst:.2e} at {m.at}: "
                f"{'holds' if self.ok else 'MISSED'}")


def compare(spec: NetSpec, step: str, gate: Gate, want: Sequence[F32],
            got: Sequence[F32]) -> Verdict:
    """Measure every output of `got` against `want`, both in the order of the spec."""
    measures = tuple(
        _measure(t.name, w, g, psnr=gate.psnr is not None)
        for t, w, g in zip(spec.outputs, want, got, strict=True)
    )
    return Verdict(spec.name, step, gate, measures)


def _measure(name: str, want: F32, got: F32, psnr: bool) -> Measure:
    if want.shape != got.shape:
        return Measure(name, float("inf"), float("inf"), (), -np.inf if psnr else None)
    finite = np.isfinite(got)
    if not finite.all():
        at = np.unravel_index(int(finite.argmin()), got.shape)
        return Measure(name, float("inf"), float("inf"), tuple(int(i) for i in at),
                       -np.inf if psnr else None)
    difference = got.astype(np.float64) - want
    norm = float(np.sqrt(np.mean(np.square(want, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(difference))))
    flat = np.abs(difference)
    at = np.unravel_index(int(flat.argmax()), got.shape)
    decibel = None
    if psnr:
        decibel = float("inf") if error == 0 else float(20 * np.log10(PEAK / error))
    return Measure(name, error / max(norm, 1e-12), float(flat.max()),
                   tuple(int(i) for i in at), decibel)


def runtimes(kind: str, installed: Sequence[str]) -> list[str]:
    """Those of the installed runtimes that open a file of precision `kind`."""
    return [name for name in installed if name not in NO_KERNELS.get(kind, ())]


def run_torch(module: nn.Module, inputs: Sequence[F32]) -> list[F32]:
    """Outputs of the Torch module, fp32, in the order it returns them."""
    with torch.inference_mode():
        got = module.eval()(*(torch.from_numpy(x) for x in inputs))
    tensors = got if isinstance(got, (tuple, list)) else (got,)
    return [t.numpy() for t in tensors]


def run_onnx(spec: NetSpec, path: Path, sizes: Mapping[str, int], batch: int,
             inputs: Sequence[F32], *, how: str = "ort-cpu", threads: int = 0) -> list[F32]:
    """Outputs of an exported file, through the runtime's own code.

    Args:
        how: "ort-cpu" or "openvino" run the file in fp32 arithmetic; "openvino-bf16" lets OpenVINO
            lower an fp32 file itself, as a fit on the CPU does; "rounded" runs what the file says,
            every low result rounded to its type (`precision.simulate`).
    """
    if how == "rounded":
        with scratch_file(path.parent, ".onnx") as simulated:
            graph.save(precision.simulate(graph.load(path)), simulated)
            return run_onnx(spec, simulated, sizes, batch, inputs, threads=threads)
    runtime: Backend = OpenVino() if how.startswith("openvino") else OrtCpu()
    arithmetic = "bf16" if how == "openvino-bf16" else "fp32"
    model = Model(spec, "official", path, arithmetic, sizes, batch)
    session = runtime.open(model, OpenOptions(threads=threads))
    try:
        return session.run({t.name: x for t, x in zip(spec.inputs, inputs, strict=True)})
    finally:
        session.close()
