"""`fuw-bench`: our chain and the official way, interleaved in one run on one machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fuw.bench import chain, machine
from fuw.bench.chain import Scene, Timed
from fuw.bench.stats import Stats, interleave
from fuw.engine.arrays import F32
from fuw.engine.clock import Clock
from fuw.engine.files import write_whole
from fuw.engine.fitter import Fitter
from fuw.engine.folders import cache_folder
from fuw.engine.nets import Nets
from fuw.engine.ops import Ops, cpu_ops

Log = Callable[[str], None]
CHAIN = ("openpose_body", "openpose_hand", "densepose", "schp", "u2net", "seg", "gmm", "alias")
BASELINES = ("eager fp32", "eager bf16 channels-last")


@dataclass(frozen=True)
class BenchOptions:
    """What to measure; the command line's options carry the same names.

    Attributes:
        person, cloth: the photos; by default the example pictures.
        configurations: "backend precision" pairs; the first is the one the summary speaks of.
        rounds: counted rounds of our configurations; baselines take part in `baseline_rounds`.
        threads: CPU threads of everything; 0 means all cores.
        baseline: also run the official way, eager fp32.
        eager_bf16: beside it in bf16 autocast and channels last. Everything that takes part is
            resident at once: five configurations of the official size took more than 19 GB.
        folder: where exported made-up networks are kept between runs.
    """

    person: Path
    cloth: Path
    configurations: tuple[str, ...] = ("openvino bf16", "ort-cpu fp32")
    rounds: int = 5
    baseline_rounds: int = 2
    threads: int = 0
    baseline: bool = True
    eager_bf16: bool = False
    folder: Path | None = None


def measure(options: BenchOptions, log: Log) -> dict[str, Any]:
    """Run the suite; returns what the JSON report holds."""
    threads = options.threads or machine.describe()["cores"]
    log("machine and ceilings ...")
    result: dict[str, Any] = {"format": 1, "machine": machine.describe(), "threads": threads,
                              "ceilings": machine.ceilings(threads)}
    log("starter weights: the scene, then process starts ...")
    scene, result["starter"] = _starter(options, threads)
    log("networks of the official size: export (once), open ...")
    runs, nets, result["open"] = _official(options, threads)
    log(f"{options.rounds} rounds of {', '.join(runs)} ...")
    few = {name: options.baseline_rounds for name in BASELINES}
    times = interleave({name: partial(_once, nets[name], ops, scene)
                        for name, ops in runs.items()}, options.rounds, 1, few)
    result["stages"] = {name: {stage: asdict(Stats.of(ms)) for stage, ms in stages.items()}
                        for name, stages in times.items()}
    log("accuracy beside speed ...")
    result["accuracy"] = _accuracy(nets, scene)
    result["peak_rss_mib"] = machine.peak_rss_mib()
    result["summary"] = summary(result, options.configurations[0])
    return result


def _once(nets: Nets, ops: Ops, scene: Scene) -> dict[str, float]:
    """The whole chain once: milliseconds by stage, networks and pre/post apart."""
    timed, clock = Timed(nets), Clock()
    marks = [time.perf_counter()]
    for part in (chain.run_person, chain.run_garment, chain.run_fit):
        part(timed, ops, scene, clock)
        marks.append(time.perf_counter())
    person, garment, fit = np.diff(marks) * 1000
    in_fit = sum(timed.ms[name] for name in ("seg", "gmm", "alias"))
    return {**clock.ms, **{f"net {name}": ms for name, ms in timed.ms.items()},
            "prepare person": person, "prepare garment": garment, "whole fit": fit,
            "fit pre/post": fit - in_fit}


def _starter(options: BenchOptions, threads: int) -> tuple[Scene, dict[str, Any]]:
    """What the starter weights find in the photos, and how fast `fuw-run` is with them."""
    with Fitter.open(threads=threads) as fitter:
        person, garment = fitter.person(options.person), fitter.garment(options.cloth)
        fits = [fitter.fit(person, garment) for _ in range(8)]
        noise = fitter.ops.seg_noise(0)
    warm = Stats.of([sum(f.timings.values()) for f in fits[1:]])
    scene = Scene(person, garment.image, garment.mask, fits[0].parts.groups, noise)
    return scene, {"warm fit": asdict(warm), **_process_starts(options, threads)}


def _process_starts(options: BenchOptions, threads: int) -> dict[str, float]:
    """Seconds from process start to file on disk: first start ever, then with a warm cache."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jpg"
        command = [sys.executable, "-P", "-c", "from fuw.cli import run; run()",
                   str(options.person), str(options.cloth), "-o", str(out), "-q",
                   "--threads", str(threads), "--cache", f"{folder}/cache"]
        spent = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            spent.append(time.perf_counter() - start)
    return {"first start s": spent[0], "warm start s": min(spent[1:])}


def _official(options: BenchOptions, threads: int) -> tuple[dict[str, Ops], dict[str, Nets],
                                                              dict[str, Any]]:
    """Everything that takes part: ops and networks by configuration, and what opening cost."""
    from fuw.bench.made_up import exported, made_up

    opened: dict[str, Any] = {}
    start = time.perf_counter()
    folder = exported(CHAIN, options.folder or cache_folder() / "bench")
    opened["export s"] = time.perf_counter() - start
    runs: dict[str, Ops] = {}
    nets: dict[str, Nets] = {}
    for name in options.configurations:
        backend, precision = name.split()
        start = time.perf_counter()
        fitter = Fitter.open(weights=str(folder), backend=backend, precision=precision,
                             threads=threads, mask_net="u2net")
        for network in CHAIN:
            fitter.nets[network].open()
        opened[f"{name} s"] = time.perf_counter() - start
        runs[name], nets[name] = fitter.ops, fitter.nets
    if options.baseline:
        import torch

        from fuw.bench.eager import EagerNetworks, EagerOps

        torch.set_num_threads(threads)
        for name in BASELINES if options.eager_bf16 else BASELINES[:1]:
            modules = {network: made_up(network) for network in CHAIN}
            runs[name] = EagerOps()
            nets[name] = EagerNetworks(modules, "u2net", bf16="bf16" in name)
    return runs, nets, opened


def _accuracy(nets: Mapping[str, Nets], scene: Scene) -> dict[str, dict[str, float]]:
    """Every configuration's ALIAS picture against an fp32 one, same inputs: PSNR (dB) and rel. L2.

    The reference is the eager fp32 baseline where it took part, else the first fp32 configuration.
    """
    reference = next(n for n in ("eager fp32", "openvino fp32", "ort-cpu fp32") if n in nets)
    inputs = _alias_inputs(scene)
    (want,) = nets[reference]["alias"](*inputs)
    found = {}
    for name, chosen in nets.items():
        (got,) = chosen["alias"](*inputs)
        error = got.astype(np.float64) - want
        mse = float(np.mean(error**2))
        found[name] = {
            "psnr_db": float("inf") if mse == 0 else float(10 * np.log10(4 / mse)),
            "rel_l2": float(np.linalg.norm(error) / np.linalg.norm(want)),
        }
    return {"reference": {"name": reference}, **found}  # type: ignore[dict-item]


def _alias_inputs(scene: Scene) -> tuple[F32, F32, F32, F32]:
    ops, person = cpu_ops(), scene.person
    height, width = person.agnostic.shape[:2]
    seg = ops.one_hot(ops.group7(scene.groups), 7)
    warped, mask = ops.warp_garment(scene.cloth, scene.mask, np.zeros((1, 50), np.float32),
                                    height, width)
    misalign = ops.misalignment(seg[:, 2:3], mask)
    return (ops.alias_input(person.agnostic, person.skeleton, warped), seg,
            ops.split_seg(seg, misalign), misalign)


def summary(result: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The figures to quote, all of one named configuration against eager fp32 in the same run."""
    stages, ours = result["stages"], result["stages"][name]
    figures: dict[str, Any] = {
        "configuration": name, "baseline": BASELINES[0],
        "chain_ms": ours["total"]["p50"], "fit_ms": ours["whole fit"]["p50"],
        "prepost_share": ours["fit pre/post"]["p50"] / ours["whole fit"]["p50"],
        "psnr_db": result["accuracy"][name]["psnr_db"],
    }
    if BASELINES[0] in stages:
        base = stages[BASELINES[0]]
        figures["chain_speedup"] = base["total"]["p50"] / ours["total"]["p50"]
        figures["alias_speedup"] = base["net alias"]["p50"] / ours["net alias"]["p50"]
    return figures


def write_json(result: Mapping[str, Any], path: Path) -> None:
    """Write the report, whole or not at all."""
    text = json.dumps(result, indent=1) + "\n"
    write_whole(path, lambda handle: handle.write(text.encode()))
