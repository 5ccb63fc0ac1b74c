"""The steps between the networks, one by one: check first, then time, GB/s against a copy's.

    python -m fuw.bench.kernels
    python -m fuw.bench.kernels --device cuda:0 --json kernels.json

On a GPU a step is checked against its CPU twin. On a CPU, which is the definition, it is checked
that the answer depends neither on the number of threads nor on the run, and that no input changes.
A step that fails is not timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt

from fuw.bench import gpu_ceilings, machine
from fuw.bench.scene import Scene, example_photos, scene_of
from fuw.bench.stats import Stats
from fuw.engine.files import write_json
from fuw.engine.fitter import Fitter
from fuw.engine.ops import Ops, cpu_ops

Array = npt.NDArray[Any]
TOLERANCE = 2e-3  # of float answers; label maps and pictures: share of elements off by more than 1


@dataclass(frozen=True)
class Case:
    """One call of one step: `ops.<step>(*arguments)`; arrays go to the device first."""

    step: str
    arguments: tuple[Any, ...]

    def named(self) -> str:
        """The step, with the network's name where it takes one."""
        first = self.arguments[0]
        return f"{self.step} {first}" if isinstance(first, str) else self.step


@dataclass(frozen=True)
class Timing:
    """What is said of one step.

    Attributes:
        problem: why it was not timed, "" where it was.
        ms: milliseconds.
        mbytes: of array arguments and answers, the least that must be moved.
        gbs: mbytes over the median. share: of the copy's GB/s.
    """

    step: str
    problem: str
    ms: Stats | None = None
    mbytes: float = 0.0
    gbs: float = 0.0
    share: float = 0.0


def cases(scene: Scene) -> list[Case]:
    """Every step with an array in it, on the scene's own maps at the official sizes."""
    ops, who = cpu_ops(), scene.person
    height, width = who.image.shape[:2]
    rng = np.random.default_rng(0)

    def soft(*shape: int) -> Array:
        return rng.random(shape, np.float32)

    seg7 = ops.group7(scene.groups)
    seg = ops.one_hot(seg7, 7)
    warped, warped_mask = ops.warp_garment(scene.cloth, scene.mask, scene.theta, height, width)
    misalign = ops.misalignment(seg, warped_mask)
    assert who.iuv is not None
    return [
        Case("openpose_input", (who.image, 368)), Case("schp_input", (who.image, 473)),
        Case("densepose_input", (who.image, 800)),
        Case("schp_labels", (soft(1, 20, 119, 119), height, width, 473)),
        Case("lip_to_viton", (who.parse, who.body, who.iuv)),
        Case("draw_skeleton", (who.body, who.hands, height, width)),
        Case("parse_agnostic", (who.parse, who.body)),
        Case("image_agnostic", (who.image, who.parse, who.body)),
        Case("group13", (who.parse_agnostic,)), Case("mask_input", ("u2net", scene.cloth, 320)),
        Case("mask_labels", ("u2net", soft(1, 1, 320, 320), height, width)),
        Case("seg_input", (scene.mask, scene.cloth, who.groups_agnostic, who.skeleton,
                           scene.noise)),
        Case("seg_labels", (soft(1, 13, 256, 192), height, width)),
        Case("group7", (scene.groups,)), Case("one_hot", (seg7, 7)),
        Case("gmm_input", (seg7, who.skeleton, who.agnostic, scene.cloth)),
        Case("warp_garment", (scene.cloth, scene.mask, scene.theta, height, width)),
        Case("misalignment", (seg[:, 2:3], warped_mask)), Case("split_seg", (seg, misalign)),
        Case("alias_input", (who.agnostic, who.skeleton, warped)), Case("to_image", (warped,)),
        Case("to_mask", (warped_mask,)),
    ]


def arrays_of(answer: Any) -> list[Array]:
    """The arrays in a step's answer, which may be one, or a tuple with numbers among them."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    return [part for part in parts if isinstance(part, np.ndarray)]


def check_cpu(case: Case, ops: Ops) -> str:
    """What is wrong with a step of the CPU, "" where nothing is."""
    before = [a.copy() for a in arrays_of(case.arguments)]
    run = getattr(ops, case.step)
    threads = cv2.getNumThreads()
    first = [a.copy() for a in arrays_of(run(*case.arguments))]
    try:
        cv2.setNumThreads(1)
        again = arrays_of(run(*case.arguments))
    finally:
        cv2.setNumThreads(threads)
    if any(not np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
        return "another answer with one thread than with all"
    after = arrays_of(case.arguments)
    if any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True)):
        return "an input was changed"
    return ""


def differs(ours: Sequence[Array], twin: Sequence[Array]) -> str:
    """How a device's answer differs from the twin's, "" where it agrees."""
    for got, want in zip(ours, twin, strict=True):
        if got.shape != want.shape:
            return f"{got.shape} where the twin has {want.shape}"
        far = np.abs(got.astype(np.float64) - want.astype(np.float64))
        if want.dtype == np.uint8:
            if (share := float((far > 1).mean())) > TOLERANCE:
                return f"{share:.2%} of the elements differ from the twin's"
        elif float(far.max()) > TOLERANCE * max(1.0, float(np.abs(want).max())):
            return f"off by {far.max():.1e} from the twin's"
    return ""


def timed(case: Case, run: Callable[[], Any], nbytes: int, copy_gbs: float,
          seconds: float) -> Timing:
    """Time a call that was checked: at least 5 runs, then as many as `seconds` hold."""
    spent: list[float] = []
    end = time.perf_counter() + seconds
    while len(spent) < 5 or (time.perf_counter() < end and len(spent) < 200):
        start = time.perf_counter()
        run()
        spent.append((time.perf_counter() - start) * 1000)
    ms = Stats.of(spent)
    gbs = nbytes / ms.p50 / 1e6
    return Timing(case.named(), "", ms, nbytes / 1e6, gbs, gbs / copy_gbs)


def measure_cpu(scene: Scene, seconds: float, threads: int) -> list[Timing]:
    """Every step on the CPU."""
    ops, copy = cpu_ops(), machine.copy_gbs(threads)
    cv2.setNumThreads(threads)
    done = []
    for case in cases(scene):
        run = getattr(ops, case.step)
        if problem := check_cpu(case, ops):
            done.append(Timing(case.named(), problem))
            continue
        moved = [*arrays_of(case.arguments), *arrays_of(run(*case.arguments))]
        done.append(timed(case, lambda r=run, c=case: r(*c.arguments),  # type: ignore[misc]
                          sum(a.nbytes for a in moved), copy, seconds))
    return done


def measure_gpu(scene: Scene, seconds: float, name: str) -> list[Timing]:
    """Every step that a GPU has, checked against its twin; a copy on the device is the ceiling."""
    from fuw.kernels.device import DeviceArray
    from fuw.kernels.launch import CudaDevice
    from fuw.kernels.steps import Steps

    device = CudaDevice(name)
    steps, ops, done = Steps(device), cpu_ops(), []
    copy = gpu_ceilings.copy_gbs(device)
    for case in cases(scene):
        twin = arrays_of(getattr(ops, case.step)(*case.arguments))
        there = tuple(a if a is scene.person.body or a is scene.person.hands
                      or not isinstance(a, np.ndarray) else device.upload(a)
                      for a in case.arguments)
        run = getattr(steps, case.step)
        answer = run(*there)
        parts = answer if isinstance(answer, tuple) else (answer,)
        back = [device.download(a) for a in parts if isinstance(a, DeviceArray)]
        if problem := differs(back, twin):
            done.append(Timing(case.named(), problem))
            continue
        token = device.upload(np.zeros(1, np.float32))

        def once(run: Any = run, there: Any = there, token: DeviceArray = token) -> None:
            run(*there)
            device.download(token)  # waits for what is under way

        moved = sum(a.nbytes for a in (*arrays_of(case.arguments), *back))
        done.append(timed(case, once, moved, copy, seconds))
    return done


def table(done: Sequence[Timing]) -> str:
    """A line a step."""
    lines = [f"{'step':<22}{'p50 ms':>9}{'p90':>8}{'n':>5}{'MB':>8}{'GB/s':>8}{'of copy':>9}"]
    for t in done:
        lines.append(f"{t.step:<22}FAILED: {t.problem}" if t.ms is None else
                     f"{t.step:<22}{t.ms.p50:>9.2f}{t.ms.p90:>8.2f}{t.ms.n:>5}{t.mbytes:>8.1f}"
                     f"{t.gbs:>8.2f}{t.share:>9.1%}")
    return "\n".join(lines)


@click.command()
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda:N.")
@click.option("--person", type=click.Path(path_type=Path), help="Default: an example photo.")
@click.option("--cloth", type=click.Path(path_type=Path), help="Default: an example photo.")
@click.option("--seconds", default=0.3, show_default=True, help="For every step.")
@click.option("--threads", default=0, help="0 means all cores.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
def main(device: str, person: Path | None, cloth: Path | None, seconds: float, threads: int,
         out: Path | None) -> None:
    """Check and time every step between the networks; fails where a check does."""
    with Fitter.open(device="cpu", precision="fp32", threads=threads) as fitter:
        scene = scene_of(fitter, person or example_photos()[0], cloth or example_photos()[1])
    threads = threads or machine.describe()["cores"]
    done = (measure_cpu(scene, seconds, threads) if device == "cpu"
            else measure_gpu(scene, seconds, device))
    click.echo(table(done))
    if out:
        told = {"machine": machine.describe(), "device": device, "threads": threads,
                "steps": [asdict(t) for t in done]}
        write_json(out, told)
    sys.exit(any(t.problem for t in done))


if __name__ == "__main__":
    main()
