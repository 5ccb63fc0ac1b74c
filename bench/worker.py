"""One configuration in a process of its own: `python -m fuw.bench.worker JOB.json`.

Commands come in as JSON lines on stdin, answers go out as JSON lines on stdout:
    {"do": "chain"}                      -> milliseconds by row
    {"do": "many", "garments": 8}        -> {"ms": ...}
    {"do": "outputs", "to": "x.npz"}     -> networks' answers and the picture, written there
    {"do": "fits", "n": 3}               -> milliseconds of fits alone
    {"do": "picture", "to": "x.npy"}     -> the picture of a fit alone, written there
    {"do": "facts"}                      -> memory, what is resident, opening times, traffic
The first line out says how long the first picture took once the networks were open; the end of
the input ends the process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fuw.bench import chain, machine
from fuw.bench.chain import Timed
from fuw.bench.configurations import Configuration, on_cpu, opened
from fuw.bench.scene import Scene
from fuw.engine.clock import Clock


@dataclass
class Worker:
    """The networks of one configuration and what was learnt about them.

    Attributes:
        hand_down: whether the scene's theta takes the place of the GMM's answer.
        open_s: seconds that opening each network took.
    """

    configuration: Configuration
    scene: Scene
    hand_down: bool
    open_s: dict[str, float] = field(default_factory=dict)
    timed: Timed | None = None
    answers: dict[str, Any] = field(default_factory=dict)

    def open(self, names: Sequence[str]) -> None:
        """Open networks, timing each."""
        start, self.resident = time.perf_counter(), sorted(names)
        self.nets, self.ops = opened(self.configuration, names)
        if self.configuration.backend == "eager":
            self.open_s["all"] = time.perf_counter() - start
            return
        for name in names:
            start = time.perf_counter()
            self.nets[name].open()
            self.open_s[name] = time.perf_counter() - start

    def _timed(self, keep: bool = False) -> Timed:
        handed = {"gmm": [self.scene.theta]} if self.hand_down else {}
        self.timed = Timed(self.nets, handed, keep)
        return self.timed

    def chain(self) -> dict[str, float]:
        """One chain."""
        gc.collect()
        rows, _ = chain.once(self._timed(), self.ops, self.scene)
        return rows

    def many(self, garments: int) -> dict[str, float]:
        """One person in so many garments."""
        return {"ms": chain.many(self._timed(), self.ops, self.scene, garments)}

    def fits(self, n: int) -> dict[str, Any]:
        """Fits alone."""
        spent = []
        for _ in range(n):
            start = time.perf_counter()
            chain.run_fit(self._timed(), self.ops, self.scene, Clock())
            spent.append((time.perf_counter() - start) * 1000)
        return {"ms": spent}

    def picture(self, to: str) -> dict[str, Any]:
        """Write a fit's picture as .npy."""
        image, _ = chain.run_fit(self._timed(), self.ops, self.scene, Clock())
        np.save(Path(to), image)
        return {}

    def first(self) -> None:
        """The chain that warms up; what it answered is kept for `outputs`."""
        timed = self._timed(keep=True)
        _, image = chain.once(timed, self.ops, self.scene)
        self.answers = {"picture": image, **{f"{name} {k}": array for name, found
                                             in timed.outputs.items()
                                             for k, array in enumerate(found)}}

    def outputs(self, to: str) -> dict[str, Any]:
        """Write every network's answer and the picture, for the parent to compare."""
        np.savez(Path(to), **self.answers)
        return {}

    def facts(self) -> dict[str, Any]:
        """Memory and what is resident in it."""
        on_device = 0 if on_cpu(self.configuration) else machine.device_memory_mib(os.getpid())
        return {"peak_rss_mib": machine.peak_rss_mib(), "device_mib": on_device,
                "open_s": self.open_s, "resident": self.resident,
                "traffic": asdict(self.timed.traffic) if self.timed else {}}


def serve(worker: Worker, first: dict[str, Any], commands: TextIO, answers: TextIO) -> None:
    """Say `first`, then answer commands until there are no more."""
    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say(first)
    for line in commands:
        command = json.loads(line)
        say(getattr(worker, command.pop("do"))(**command))


def main() -> None:
    """Open the configuration of the job file, run it once, then serve."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints must not pass for an answer
    job = json.loads(Path(sys.argv[1]).read_text())
    told = job["configuration"]
    configuration = Configuration(**{**told, "size": tuple(told["size"])})
    worker = Worker(configuration, Scene.load(Path(job["scene"])), job["hand_down"])
    worker.open(job["networks"])
    start = time.perf_counter()
    worker.fits(1) if job["only_fits"] else worker.first()
    serve(worker, {"ms": (time.perf_counter() - start) * 1000}, sys.stdin, answers)


if __name__ == "__main__":
    main()
