"""Everything that only a GPU can show, in one call, on a machine without a network:

    python -m fuw.bench.gpu_check --weights onnx --json bench/results/gpu-h200.json

Runs `pytest -m gpu`, every engine against ONNX Runtime on the CPU, the whole fit against the CPU's,
the latencies of every backend, and the roofline beside them. A part that could not run says why and
is no success; a test that is skipped, a golden that is missing included, counts as failed. Never
run on a GPU yet.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import numpy as np

import fuw
from fuw.bench import machine
from fuw.bench.gpu_ceilings import copy_gbs, floor_ms, gemm_tflops, work_of
from fuw.bench.measures import psnr
from fuw.bench.scene import example_photos
from fuw.bench.stats import Stats
from fuw.engine import devices, pipeline
from fuw.engine.arrays import F32, U8
from fuw.engine.backend import Model, OpenOptions, Session
from fuw.engine.choose import GPU_BACKENDS, PRECISIONS
from fuw.engine.clock import Clock
from fuw.engine.device_fit import FIT_NETS, Worn
from fuw.engine.errors import ExportError, FuwError
from fuw.engine.files import make_folder, write_json
from fuw.engine.fitter import Fitter
from fuw.engine.folders import cache_folder
from fuw.engine.nets import FitNets
from fuw.engine.ort import OrtCpu
from fuw.engine.overflow import open_guarded
from fuw.engine.records import Garment, Person
from fuw.engine.trt import TrtSession
from fuw.engine.weights import find_models
from fuw.engine.windowed import Windowed
from fuw.kernels.cpu.segment import seg_noise
from fuw.kernels.device import Device, DeviceArray
from fuw.kernels.launch import CudaDevice, parse_device
from fuw.kernels.steps import Steps

ROOT = Path(fuw.__file__).parent
PEAK = 2.0  # of a picture in -1..1
LABELS, PICTURE_DB = 0.995, 40.0  # the gates of a fit: labels that agree, likeness of the picture
TARGETS_MS = {"fit": 5.0, "two photos": 12.0}  # fp16 on an H200
SIZE = (1024, 768)
TRANSFERS = ("a person: the picture up, three downloads that are waited for (key points, hands, "
             "maps), four where it is cut closer; a garment: the photo up, its mask down; a fit: "
             "one download of picture and parts")


@dataclass(frozen=True)
class CheckOptions:
    """What to check; the command line's options carry the same names."""

    weights: str = "starter"
    device: str = "cuda:0"
    cache: Path | None = None
    rounds: int = 50


Part = dict[str, Any]  # "status": "passed", "failed" or "not run", and why


def check(options: CheckOptions, log: Callable[[str], None]) -> dict[str, Any]:
    """All parts; `ok` only where every one of them ran and passed."""
    found, why = devices.gpus()
    result: dict[str, Any] = {"format": 1, "when": time.strftime("%Y-%m-%d %H:%M:%S"),
                              "machine": machine.describe(), "options": asdict(options),
                              "gpus": [asdict(gpu) for gpu in found]}
    missing = "" if found else f"no NVIDIA GPU answers ({why or 'there is none'})"
    parts: dict[str, Part] = {}
    for name, run in (("tests", gpu_tests), ("engines", engines), ("fits", fits),
                      ("roofline", roofline)):
        log(f"{name} ...")
        parts[name] = {"status": "not run", "why": missing} if missing else _guarded(run, options)
        log(f"{name}: {parts[name]['status']} {parts[name].get('why', '')}")
    result["parts"] = parts
    result["ok"] = all(part["status"] == "passed" for part in parts.values())
    return result


def _guarded(run: Callable[[CheckOptions], Part], options: CheckOptions) -> Part:
    """A part that breaks must not hide the others."""
    try:
        return run(options)
    except Exception as error:
        return {"status": "failed", "why": f"{type(error).__name__}: {error}"}


def gpu_tests(options: CheckOptions) -> Part:
    """`pytest -m gpu`, skips counted as failures."""
    if not (ROOT / "tests").is_dir() or find_spec("pytest") is None:
        return {"status": "not run", "why": "no tests or no pytest here; use a checkout"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider",
             f"--junitxml={report}", str(ROOT / "tests")],
            cwd=ROOT, capture_output=True, text=True, check=False)
        if not report.exists():
            return {"status": "failed", "why": done.stdout[-2000:] + done.stderr[-2000:]}
        return judge_tests(report)


def judge_tests(report: Path) -> Part:
    """A JUnit report in words; what was skipped has not been shown, so it failed."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    wrong: list[str] = []
    for case in cases:
        for kind in ("failure", "error", "skipped"):
            if (found := case.find(kind)) is not None:
                reason = " ".join((found.get("message") or "").split())[:300]
                wrong.append(f"{case.get('classname')}.{case.get('name')}: {kind}: {reason}")
    passed = len(cases) - len(wrong)
    status = "passed" if cases and not wrong else "failed"
    return {"status": status, "tests": len(cases), "passed": passed, "wrong": wrong,
            "why": "" if cases else "no test carries the mark gpu"}


def engines(options: CheckOptions) -> Part:
    """Every network on every GPU backend, in every precision there are files of."""
    if find_spec("onnx") is None:
        return {"status": "not run", "why": "building engines needs the package onnx"}
    from fuw.export.samples import sample_inputs

    plain = find_models(options.weights, "fp32", SIZE)
    rows: list[dict[str, Any]] = []
    for name, reference in plain.items():
        inputs = sample_inputs(reference.spec, reference.sizes)
        want = _answers(OrtCpu().open, reference, inputs, OpenOptions())[0]
        for kind in ("fp16", "bf16", "fp32"):
            model = find_models(options.weights, kind, SIZE).get(name)
            for backend in GPU_BACKENDS:
                if kind not in PRECISIONS[backend]:
                    continue
                for form in ("", "static") if model and model.static else ("",):
                    rows.append({"network": name, "precision": kind, "backend": backend,
                                 "form": form,
                                 **_engine(backend, model, inputs, want, options, form)})
    return {"status": _worst(rows), "rows": rows,
            "why": "" if rows else f"{options.weights} holds no fp32 files to compare with"}


def _engine(backend: str, model: Model | None, inputs: list[F32], want: list[F32],
            options: CheckOptions, form: str = "") -> Part:
    """One network in one backend; `form` "static" takes its static form, windows and all."""
    file = model.static if model and form else model
    if model is None or file is None:
        return {"status": "not run", "why": "no file in this precision: fuw-export writes it"}
    cache, runtime = options.cache or cache_folder(), GPU_BACKENDS[backend]()
    try:
        built = 0.0
        if backend == "trt":
            from fuw.export.to_trt import BuildOptions, build_engine

            built = build_engine(file, BuildOptions(device=options.device, cache=cache)).seconds
        opened = partial(open_guarded, runtime) if form else runtime.open
        got, ms, kind = _answers(opened, model, inputs,
                                 OpenOptions(device=options.device, cache=cache / backend),
                                 options.rounds)
    except FuwError as error:
        return {"status": "failed", "why": str(error)}
    if backend == "trt" and kind != TrtSession.__name__:
        return {"status": "failed", "why": "its engine was not used: see the warnings"}
    gate = model.spec.gates[model.precision]  # type: ignore[index]  # words in a manifest
    far = [distance(a, b) for a, b in zip(got, want, strict=True)]
    rel_l2, psnr = max(d[0] for d in far), min(d[1] for d in far)
    holds = rel_l2 <= gate.rel_l2 and (gate.psnr is None or psnr >= gate.psnr)
    return {"status": "passed" if holds else "failed", "rel_l2": rel_l2, "gate": gate.rel_l2,
            "psnr": psnr if gate.psnr else None, "build_s": built, "ms": asdict(ms),
            "why": "" if holds else "the gate is missed"}


def _answers(opened: Callable[[Model, OpenOptions], Session], model: Model, inputs: list[F32],
             options: OpenOptions, rounds: int = 0) -> tuple[list[F32], Stats, str]:
    """Outputs, milliseconds host to host after three warm runs, and the session's class."""
    feeds = {t.name: x for t, x in zip(model.spec.inputs, inputs, strict=True)}
    session = opened(model, options)
    runs = session.static if isinstance(session, Windowed) else session
    try:
        got = session.run(feeds)
        spent = [_ms(lambda: session.run(feeds)) for _ in range(rounds and rounds + 3)]
        return got, Stats.of(spent[3:] or [0.0]), type(runs).__name__
    finally:
        session.close()


def distance(got: F32, want: F32) -> tuple[float, float]:
    """Relative L2 error, and PSNR in dB against a peak of 2; the worst where not finite."""
    if got.shape != want.shape or not np.isfinite(got).all():
        return float("inf"), float("-inf")
    error = got.astype(np.float64) - want
    rms = float(np.sqrt(np.mean(error**2)))
    scale = max(float(np.sqrt(np.mean(np.square(want, dtype=np.float64)))), 1e-12)
    return rms / scale, psnr(got, want, PEAK)


def fits(options: CheckOptions) -> Part:
    """The example pair dressed by every GPU backend against the CPU's fp32, and the times."""
    person, cloth = example_photos()
    with Fitter.open(weights=options.weights, device="cpu", backend="ort-cpu") as cpu:
        maps, garment = cpu.person(person), cpu.garment(cloth)
        want = cpu.fit(maps, garment)
    rows = []
    for backend in GPU_BACKENDS:
        row: dict[str, Any] = {"backend": backend}
        rows.append(row)
        try:
            with Fitter.open(weights=options.weights, device=options.device, backend=backend,
                             cache=options.cache) as fitter:
                got = fitter.fit(maps, garment)
                row["graph"] = fitter.recorded
                row["stages_ms"] = _stages(fitter, maps, garment)
                made = fitter.person(person), fitter.garment(cloth)
                row["prepared"] = {"parse": _same(made[0].parse, maps.parse),
                                   "mask": _same(made[1].mask, garment.mask)}
                labels = _same(got.parts.seg, want.parts.seg)
                db = psnr(got.image, want.image, 255)
                spent = {"fit": lambda f=fitter: f.fit(maps, garment),
                         "two photos": lambda f=fitter: f.fit(f.person(person), f.garment(cloth))}
                row["ms"] = {name: asdict(_timed(run, options.rounds))
                             for name, run in spent.items()}
                row["networks"] = {name: type(net.open()).__name__
                                   for name, net in fitter.nets.items()}
        except FuwError as error:
            row.update(status="failed", why=str(error))
            continue
        holds = min(labels, *row["prepared"].values()) >= LABELS and db >= PICTURE_DB
        row["transfers"] = TRANSFERS
        row.update(status="passed" if holds else "failed", summary=fitter.summary, labels=labels,
                   psnr_db=db, targets_ms=TARGETS_MS, why="" if holds else "the gate is missed")
    return {"status": _worst(rows), "rows": rows}


class Waiting(Clock):
    """A clock whose stages end when the device has done them."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device, self._token = device, device.upload(np.zeros(1, np.int32))

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body and what it queued."""
        with super().__call__(stage):
            yield
            self._device.download(self._token)


def _stages(fitter: Fitter, person: Person, garment: Garment) -> dict[str, float]:
    """Milliseconds of a fit's stages, each waited for, queued step by step; the best of ten."""
    device = fitter.gpu
    if device is None:
        return {}
    steps = Steps(device)
    worn = Worn(*(device.upload(a) for a in (person.skeleton, person.agnostic,
                                             person.groups_agnostic)))
    c, M_c, noise = (device.upload(a) for a in (garment.image, garment.mask, seg_noise(0)))
    nets: FitNets[DeviceArray] = fitter.nets
    best: dict[str, float] = {}
    for _ in range(10):
        clock = Waiting(device)
        pipeline.fit(nets, steps, worn, c, M_c, clock, noise)
        best = {stage: min(ms, best.get(stage, ms)) for stage, ms in clock.ms.items()}
    return best


def roofline(options: CheckOptions) -> Part:
    """The ceilings of this GPU, and the least time of a fit's networks under them."""
    device = CudaDevice(options.device)
    try:
        copy = copy_gbs(device)
    finally:
        device.close()
    missing = [name for name in ("torch", "onnx") if find_spec(name) is None]
    if missing:
        return {"status": "not run", "copy_gbs": copy,
                "why": f"the matrix products and the count need {' and '.join(missing)}"}
    tflops = gemm_tflops(parse_device(options.device))
    rows = {}
    for kind, width in (("fp16", 2), ("fp32", 4)):
        models = find_models(options.weights, kind, SIZE)
        work = {name: work_of((models[name].dense or models[name]).path)
                for name in FIT_NETS if name in models}
        if len(work) == len(FIT_NETS):
            rows[kind] = {"gflop": {name: gflop for name, (gflop, _) in work.items()},
                          "floor_ms": floor_ms(work, tflops[kind], copy, width)}
    return {"status": "passed" if rows else "not run", "copy_gbs": copy, "gemm_tflops": tflops,
            "fit": rows, "why": "" if rows else f"{options.weights} lacks networks of a fit"}


def _timed(run: Callable[[], object], rounds: int) -> Stats:
    run()
    return Stats.of([_ms(run) for _ in range(rounds)])


def _ms(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1000


def _same(got: U8, want: U8) -> float:
    """Share of the pixels that are equal."""
    return float((got == want).mean())


def _worst(rows: list[dict[str, Any]]) -> str:
    kinds = {row["status"] for row in rows}
    return next((kind for kind in ("failed", "not run") if kind in kinds),
                "passed" if rows else "not run")


@click.command()
@click.option("--weights", default="starter", show_default=True,
              help="'starter', or a folder written by fuw-export --fp16 --fp32.")
@click.option("--device", default="cuda:0", show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Folder for engines.")
@click.option("--rounds", default=50, show_default=True, help="Timed runs of each.")
@click.option("--json", "report", type=click.Path(path_type=Path), required=True,
              help="Where to write the report, for example bench/results/gpu-h200.json.")
def main(report: Path, **values: Any) -> None:
    """Check on a GPU what cannot be checked without one; exit code 7 unless all of it passed."""
    result = check(CheckOptions(**values), lambda line: click.echo(line, err=True))
    make_folder(report.parent)
    write_json(report, result)
    for name, part in result["parts"].items():
        click.echo(f"{name:<10} {part['status']:<8} {part.get('why', '')}")
    click.echo(f"written to {report}")
    sys.exit(0 if result["ok"] else ExportError.exit_code)


if __name__ == "__main__":
    main()
