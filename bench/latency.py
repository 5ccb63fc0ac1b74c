"""`fuw-bench`: our chain and the official way, interleaved in one run on one machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fuw.bench import machine
from fuw.bench.chain import TOTAL
from fuw.bench.configurations import EAGER, named
from fuw.bench.options import MADE_UP, BenchOptions
from fuw.bench.starts import process_starts
from fuw.bench.suite import Log, Suite
from fuw.engine.errors import FuwError

__all__ = ["BenchOptions", "measure", "summary"]

FORMAT = 2


def measure(options: BenchOptions, say: Log) -> dict[str, Any]:
    """Run the suite; returns what the JSON report holds.

    Raises:
        BackendError: no such backend or precision, or a process of the run died.
        FuwError: as `Fitter` does, for the photos and the weights; or a package is missing.
    """
    if options.weights == MADE_UP:
        _require_export()
    options = replace(options, threads=options.threads or machine.describe()["cores"])
    pairs = named(options.backends, options.precisions)
    began = time.time()

    def log(line: str) -> None:
        say(f"{time.time() - began:4.0f} s  {line}")

    log("machine and ceilings ...")
    result: dict[str, Any] = {
        "format": FORMAT, "machine": machine.describe(), "threads": options.threads,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ceilings": machine.ceilings(options.threads)}
    with tempfile.TemporaryDirectory() as scratch:
        suite = Suite(options, pairs, Path(scratch), log)
        log("starter weights: the scene ...")
        scene = suite.starter_scene()
        log("starter weights: process starts ...")
        result["starts"] = process_starts(options.person, options.cloth, *pairs[0],
                                          options.threads)
        result["runs"] = [suite.starter_run(scene)]
        if options.weights != "starter":
            result["runs"] += [suite.run(scene.resized(size), size) for size in options.sizes]
    ceilings = result["ceilings"]
    for run in result["runs"]:
        suite.add_shares(run, ceilings)
    result["summary"] = summary(result["runs"][-1 if options.weights == "starter" else 1])
    result["seconds"] = time.time() - began
    return result


def _require_export() -> None:
    """Before minutes are spent: made-up networks are made and run in Torch."""
    if missing := [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]:
        raise FuwError(f"networks of the official sizes need {', '.join(missing)}, missing here; "
                       "install what they need: pip install 'fuw[export]', or measure without "
                       "them: fuw-bench --weights starter")


def summary(run: Mapping[str, Any]) -> dict[str, Any]:
    """The figures to quote, all of one named configuration against eager fp32 in the same run."""
    name = run["configuration"]
    ours = run["configurations"][name]
    rows = ours["rows"]
    figures: dict[str, Any] = {
        "configuration": name, "weights": run["weights"], "size": run["size"],
        "baseline": EAGER if EAGER in run["configurations"] else None,
        "chain_ms": rows[TOTAL]["p50"], "fit_ms": rows["fit"]["p50"],
        "prepost_share": rows["fit pre/post"]["p50"] / rows["fit"]["p50"],
        "psnr_db": ours["psnr_db"]["alias"], "fit_peak_rss_mib": run["fit_memory"]["peak_rss_mib"],
    }
    if run["work"]:
        alias = run["work"]["alias"]
        figures["alias_flops_share"] = alias["gflop"] / alias["dense_gflop"]
    if EAGER in run["configurations"]:
        base = run["configurations"][EAGER]["rows"]
        figures["chain_speedup"] = base[TOTAL]["p50"] / rows[TOTAL]["p50"]
        figures["alias_speedup"] = (base["alias network"]["p50"] / rows["alias network"]["p50"])
        figures["fit_speedup"] = base["fit"]["p50"] / rows["fit"]["p50"]
    return figures
