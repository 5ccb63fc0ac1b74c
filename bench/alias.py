"""The ALIAS generator's two forms side by side: dense and label-sparse, by backend and precision.

    python -m fuw.bench.alias --eager --rounds 5 --parse PNG --out bench/results/alias.json

One interleaved run on made-up weights of the official size (or a narrower width), on a real parse
map (`--parse`, a PNG of group ids 0..6) or a made-up person. Beside the wall time stands the
processor time: on a machine that others use too, only that compares. The machine's own ceilings
(a GEMM, a copy) and OpenVINO's counters say what is left to gain.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

from fuw.bench import machine
from fuw.bench.alias_profile import profile
from fuw.bench.made_up import made_up
from fuw.bench.stats import Stats, interleave
from fuw.engine.arrays import F32
from fuw.engine.backend import Backend, Model, OpenOptions
from fuw.engine.files import write_json
from fuw.engine.networks import network
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino
from fuw.export.alias_case import alias_inputs, person_map
from fuw.export.alias_flops import Flops, executed_flops
from fuw.export.nets import build
from fuw.export.nets.alias_sparse import sparse_module
from fuw.export.to_onnx import export_onnx

FORMS = ("dense", "sparse")
RUNTIMES: dict[str, tuple[Callable[[], Backend], str]] = {
    "ort fp32": (OrtCpu, "fp32"),
    "openvino fp32": (OpenVino, "fp32"),
    "openvino bf16": (OpenVino, "bf16"),
}
EAGER = "eager fp32"


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        runtimes: keys of RUNTIMES.
        height, width: of the picture.
        factor: channel width; below 1 the starter's options apply.
        rounds: counted rounds, after one that is not.
        threads: 0 is all cores.
        parse: PNG of ids 0..6, or None for a made-up person.
        eager: PyTorch fp32 as well.
        folder: keeps the ONNX files.
    """

    runtimes: tuple[str, ...] = tuple(RUNTIMES)
    height: int = 1024
    width: int = 768
    factor: float = 1.0
    rounds: int = 5
    threads: int = 0
    parse: Path | None = None
    eager: bool = False
    folder: Path | None = None


def case(options: Options) -> list[F32]:
    """x, seg, seg_div, misalign for the map: the garment's lower edge misaligned, softly."""
    size = options.height, options.width
    if options.parse:
        picture = Image.open(options.parse).resize(size[::-1], Image.Resampling.NEAREST)
        return alias_inputs(np.asarray(picture).astype(np.int64))
    return alias_inputs(person_map(*size))


def _module(options: Options) -> torch.nn.Module:
    torch.manual_seed(0)  # the vectors of the spectral norm, which made_up leaves as they are
    if options.factor == 1:
        return made_up("alias")
    return build("alias", options.factor, **network("alias").variant("starter").options)


def _exported(options: Options, folder: Path) -> dict[str, Path]:
    """The two files of this width and size in `folder`; those there are kept."""
    tag = f"{options.factor:g}_{options.height}x{options.width}"
    paths = {form: folder / f"alias_{form}_{tag}.onnx" for form in FORMS}
    variant = "official" if options.factor == 1 else "starter"
    for form, path in paths.items():
        if not path.exists():
            module = _module(options)
            if form == "sparse":
                module = sparse_module(module)  # type: ignore[arg-type]
            export_onnx(network("alias"), module, path, variant=variant,
                        size=(options.height, options.width))
    return paths


def _timed(run: Callable[[], object]) -> Callable[[], Mapping[str, float]]:
    def once() -> Mapping[str, float]:
        start = time.process_time()
        run()
        return {"processor": (time.process_time() - start) * 1000}
    return once


def _runs(options: Options, paths: Mapping[str, Path], feeds: Mapping[str, F32]
          ) -> dict[str, Callable[[], list[F32]]]:
    spec = network("alias")
    sizes = {"height": options.height, "width": options.width}
    runs: dict[str, Callable[[], list[F32]]] = {}
    for runtime in options.runtimes:
        backend, precision = RUNTIMES[runtime]
        for form in FORMS:
            model = Model(spec, "official", paths[form], precision, sizes)
            session = backend().open(model, OpenOptions(threads=options.threads))
            runs[f"{runtime} {form}"] = lambda s=session: s.run(feeds)  # type: ignore[misc]
    if options.eager:
        module = _module(options)

        @torch.inference_mode()
        def eager() -> list[F32]:
            out = module(*(torch.from_numpy(feeds[t.name]) for t in spec.inputs))
            return [out.numpy()]
        runs[EAGER] = eager
    return runs


def measure(options: Options) -> dict[str, Any]:
    """Export both forms, open them, time them in turn; what the JSON holds.

    The pictures compared are also the warm-up.
    """
    threads = options.threads or machine.describe()["cores"]
    torch.set_num_threads(threads)
    x, seg, split, misalign = case(options)
    feeds = {"x": x, "seg": seg, "seg_div": split, "misalign": misalign}
    starter = {} if options.factor == 1 else dict(network("alias").variant("starter").options)
    flops = executed_flops(torch.from_numpy(seg), torch.from_numpy(split), options.factor,
                           **starter)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        runs = _runs(options, _exported(options, folder), feeds)
        pictures = {name: run()[0].astype(np.float64) for name, run in runs.items()}
        gc.collect()
        times = interleave({name: _timed(run) for name, run in runs.items()}, options.rounds, 0,
                           {EAGER: min(3, options.rounds)})
        runs.clear()  # the sessions' memory, before the profiles' own
        profiles = _profiles(options, folder, threads, feeds)
    first = next(iter(pictures.values()))
    return {
        "machine": machine.describe(), "threads": threads, "width": options.factor,
        "size": [options.height, options.width], "map": _map_facts(options, flops),
        "ms": {name: {"wall": asdict(Stats.of(t["total"])),
                      "processor": asdict(Stats.of(t["processor"]))} for name, t in times.items()},
        "rel_l2": {name: float(np.linalg.norm(p - first) / np.linalg.norm(first))
                   for name, p in pictures.items()},
        "ceilings": machine.ceilings(threads), "profile": profiles,
    }


def _profiles(options: Options, folder: Path, threads: int,
              feeds: Mapping[str, F32]) -> dict[str, Any]:
    """Of the sparse form in every precision of OpenVINO that was measured."""
    path = _exported(options, folder)["sparse"]
    kinds = [RUNTIMES[r][1] for r in options.runtimes if RUNTIMES[r][0] is OpenVino]
    return {f"openvino {kind} sparse": profile(path, kind, threads, feeds) for kind in kinds}


def _map_facts(options: Options, flops: Flops) -> dict[str, Any]:
    return {"from": options.parse.name if options.parse else "made-up person",
            "dense_gflop": flops.dense / 1e9, "executed_gflop": flops.executed / 1e9,
            "executed_share": flops.share, "windows_by_level": list(flops.windows)}


def table(result: Mapping[str, Any]) -> str:
    """Wall and processor milliseconds of every form, and how many times faster sparse is."""
    facts = result["map"]
    lines = [f"{result['machine']['processor']}, {result['threads']} threads, width "
             f"{result['width']:g}, {result['size'][0]}x{result['size'][1]}, {facts['from']}",
             f"executed {facts['executed_gflop']:.1f} of {facts['dense_gflop']:.1f} GFLOP "
             f"({facts['executed_share']:.1%}); windows by level {facts['windows_by_level']}",
             f"{'':24}{'wall p50 / p90 / p99 ms':>30}{'processor p50 ms':>20}{'rel. L2':>10}"]
    for name, ms in result["ms"].items():
        wall = ms["wall"]
        times = f"{wall['p50']:.0f} / {wall['p90']:.0f} / {wall['p99']:.0f}"
        lines.append(f"{name:24}{times:>30}{ms['processor']['p50']:>20.0f}"
                     f"{result['rel_l2'][name]:>10.1e}")
    return "\n".join([*lines, *_ratios(result["ms"]), *_left(result)])


def _ratios(ms: Mapping[str, Any]) -> list[str]:
    lines = []
    for runtime in RUNTIMES:
        if f"{runtime} dense" not in ms:
            continue
        dense, sparse = (ms[f"{runtime} {form}"] for form in FORMS)
        lines.append(f"{runtime}: sparse is {_times(dense, sparse, 'wall')} faster than dense "
                     f"(processor time {_times(dense, sparse, 'processor')})")
        if EAGER in ms:
            lines[-1] += (f", {_times(ms[EAGER], sparse, 'wall')} than eager PyTorch fp32 "
                          f"({_times(ms[EAGER], sparse, 'processor')})")
    return lines


def _times(slow: Mapping[str, Any], fast: Mapping[str, Any], clock: str) -> str:
    return f"{slow[clock]['p50'] / fast[clock]['p50']:.2f}x"


def _left(result: Mapping[str, Any]) -> list[str]:
    """What the machine allows, and what the time went into."""
    ceilings, gflop = result["ceilings"], result["map"]["executed_gflop"]
    lines = [f"a copy moves {ceilings['copy_gbs']:.0f} GB/s; the executed GFLOP at the rate of a "
             f"GEMM take {gflop / ceilings['gemm_f32_gflops'] * 1000:.0f} ms in fp32, "
             f"{gflop / ceilings['gemm_bf16_gflops'] * 1000:.0f} ms in bf16"]
    for name, found in result["profile"].items():
        parts = ", ".join(f"{purpose} {ms:.0f}" for purpose, ms in found["by"].items())
        lines.append(f"{name}, {found['wall']:.0f} ms: {parts}")
    return lines


@click.command()
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(list(RUNTIMES)),
              default=tuple(RUNTIMES), show_default=True)
@click.option("--height", default=1024, show_default=True)
@click.option("--columns", "width", default=768, show_default=True)
@click.option("--width", "factor", default=1.0, show_default=True, help="Channel width.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--threads", default=0, help="0: all cores.")
@click.option("--parse", type=click.Path(path_type=Path), help="PNG of group ids 0..6.")
@click.option("--eager", is_flag=True, help="PyTorch fp32 too.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the ONNX files here.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON here.")
def main(out: Path | None, **values: Any) -> None:
    """Time the dense and the label-sparse ALIAS generator in turn."""
    result = measure(Options(**values))
    click.echo(table(result))
    if out:
        write_json(out, result)


if __name__ == "__main__":
    main()
