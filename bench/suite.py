"""The parts of one run: who takes part, their counted chains, what is said of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fuw.bench import accuracy, machine, work
from fuw.bench.chain import TOTAL
from fuw.bench.configurations import (
    BASELINES,
    CHAIN,
    EAGER,
    TRY_ON,
    Configuration,
    configurations,
)
from fuw.bench.crew import Member
from fuw.bench.options import MADE_UP, BenchOptions
from fuw.bench.scene import Scene, scene_of
from fuw.bench.stats import Stats, schedule, shares
from fuw.engine.files import write_json
from fuw.engine.fitter import Fitter
from fuw.engine.folders import cache_folder
from fuw.engine.networks import network
from fuw.engine.weights import MANIFEST, find_models, folder_of

LEAST = {EAGER: 2, **dict.fromkeys(set(BASELINES) - {EAGER}, 1)}  # counted chains; ours 4
ROOM_GIB = 6  # that a further baseline of the official sizes may take
MANY = "one person x {} garments"

Log = Callable[[str], None]
Times = dict[str, list[float]]  # milliseconds of every counted run, by row


@dataclass(frozen=True)
class Suite:
    """One run of the bench."""

    options: BenchOptions
    pairs: Sequence[tuple[str, str]]
    scratch: Path
    log: Log

    @property
    def folder(self) -> Path:
        """Where exports and engines are kept between runs."""
        return self.options.folder or cache_folder() / "bench"

    def starter_scene(self) -> Scene:
        """The photos as the starter weights see them in fp32."""
        with Fitter.open(threads=self.options.threads, precision="fp32",
                         cache=self.folder / "engines" / "scene") as fitter:
            return scene_of(fitter, self.options.person, self.options.cloth)

    def starter_run(self, scene: Scene) -> dict[str, Any]:
        """The starter weights, all answers their own."""
        found = configurations(self.pairs, "starter", self.options.threads, (1024, 768),
                               self.scratch, baseline=False)
        return self._run(found, scene, "starter", self.options.seconds / 12)

    def run(self, scene: Scene, size: tuple[int, int]) -> dict[str, Any]:
        """The weights asked for in pictures of `size`."""
        weights, made_up = self.options.weights, self.options.weights == MADE_UP
        start = time.perf_counter()
        if made_up:
            from fuw.bench.made_up import exported

            self.log(f"networks of the official sizes for {size[0]}x{size[1]}: export (once) ...")
            weights = str(exported(CHAIN, self.folder, size, self.options.width))
        export_s = time.perf_counter() - start
        found = configurations(self.pairs, weights, self.options.threads, size, self.scratch,
                               self.options.baseline and made_up, self.options.width)
        run = self._run(found, scene, self.options.weights, self.options.seconds)
        return {**run, "export_s": export_s}

    def _run(self, found: Sequence[Configuration], scene: Scene, weights: str,
             seconds: float) -> dict[str, Any]:
        path = scene.save(self.scratch / f"scene-{weights.replace('/', '_')}.npz")
        hand_down = weights == MADE_UP
        found = [replace(one, cache=str(self._engines(one))) if one.ours else one for one in found]
        built = {one.name: self._built(one, path, hand_down) for one in found if one.ours}
        main, reference = found[0], _reference(found)
        to_do = self._work(main, scene)
        with ExitStack() as stack:
            crew: dict[str, Member] = {}
            for one in [*found, *([reference] if reference not in found else [])]:
                if self._has_room(one):
                    self.log(f"{weights}: {one.name}: open, first picture ...")
                    crew[one.name] = stack.enter_context(Member(one, path, hand_down=hand_down))
            counted = {one.name: crew[one.name] for one in found if one.name in crew}
            rows = self._timed(counted, seconds)
            self.log(f"{weights}: accuracy ...")
            answers = {name: accuracy.read_answers(member.outputs(self.scratch / "answers.npz"))
                       for name, member in crew.items()}
            told = {name: self._told(member, rows[name], answers[name], answers[reference.name])
                    for name, member in counted.items()}
        self.log(f"{weights}: memory of a fit ...")
        with Member(main, path, hand_down=hand_down, networks=TRY_ON, only_fits=True) as member:
            member.ask("fits", n=2)
            fit_memory = member.ask("facts")
        return {"weights": weights, "size": list(main.size), "configuration": main.name,
                "reference": reference.name, "warm_up": "one chain each, not counted",
                "handed_down": hand_down, "work": to_do, "fit_memory": fit_memory,
                "configurations": {name: {**one, "built": built.get(name)}
                                   for name, one in told.items()}}

    def _has_room(self, one: Configuration) -> bool:
        """Whether a process of it would push nothing out; ours and eager fp32 come in any case."""
        if one.ours or one.name == EAGER or machine.available_gib() >= ROOM_GIB:
            return True
        self.log(f"{one.name} is left out: less than {ROOM_GIB} GiB of memory are free")
        return False

    def _told(self, member: Member, rows: Times, answers: accuracy.Answers,
              reference: accuracy.Answers) -> dict[str, Any]:
        """What the report says of one configuration."""
        one, error = member.configuration, accuracy.errors(answers, reference)
        stats = {row: {**asdict(Stats.of(ms)), "error": error.get(row, 0.0)}
                 for row, ms in rows.items()}
        _add_sum(stats, self.options.batch)
        return {"backend": one.backend, "precision": one.precision, "ours": one.ours,
                **member.ask("facts"), "first_picture_s": member.first_s,
                "psnr_db": accuracy.psnr(answers, reference), "rows": stats}

    def _timed(self, crew: Mapping[str, Member], seconds: float) -> dict[str, Times]:
        """The counted chains, interleaved; then one person in many garments where there is time."""
        least = {name: LEAST.get(name, 4) for name in crew}
        counts = shares({name: member.first["ms"] / 1000 for name, member in crew.items()}, seconds,
                        least)
        self.log("counted chains: " + ", ".join(f"{n} x {name}" for name, n in counts.items()))
        rows: dict[str, Times] = {name: {} for name in crew}
        end = time.perf_counter() + 2 * seconds  # the warm-up may have been quicker than the rest
        for name in schedule(counts):
            if time.perf_counter() > end and all(rows.values()):
                self.log("no time is left for the other counted chains")
                break
            for row, ms in crew[name].ask("chain").items():
                rows[name].setdefault(row, []).append(ms)
        many = MANY.format(self.options.batch)
        for name, member in crew.items():
            p50 = {row: Stats.of(ms).p50 for row, ms in rows[name].items()}
            if self.options.batch * p50[TOTAL] / 1000 < seconds / 8:
                rows[name][many] = [member.ask("many", garments=self.options.batch)["ms"]]
        return rows

    def _engines(self, one: Configuration) -> Path:
        """Folder of the engines of this configuration and these very files."""
        manifest = (folder_of(one.weights) / MANIFEST).read_bytes()
        text = json.dumps([one.name, one.size, one.threads, machine.describe()["packages"]])
        digest = hashlib.sha256(manifest + text.encode()).hexdigest()[:16]
        return self.folder / "engines" / digest

    def _built(self, one: Configuration, scene: Path, hand_down: bool) -> dict[str, Any]:
        """What the first start ever cost, measured once for an engine folder and kept in it."""
        kept = Path(one.cache) / "built.json"
        if not kept.exists():
            self.log(f"{one.name}: first start ever, engines are built ...")
            shutil.rmtree(one.cache, ignore_errors=True)
            with Member(one, scene, hand_down=hand_down) as member:
                told = {"first_picture_s": member.first_s, "date": time.strftime("%Y-%m-%d"),
                        "open_s": member.ask("facts")["open_s"]}
            write_json(kept, told)
        built: dict[str, Any] = json.loads(kept.read_text())
        return built

    def _work(self, main: Configuration, scene: Scene) -> dict[str, Any]:
        """GFLOP and bytes of every network; `add_shares` adds the rest."""
        if not main.backend.startswith(("openvino", "ort")):
            return {}
        models = find_models(main.weights, "fp32", main.size)
        found = {name: work.counted(model.path).times(len(model.spec.variant(model.variant).views))
                 for name, model in models.items() if name in CHAIN}
        if models["alias"].variant == "official":
            dense, executed = work.sparse_alias(scene, self.options.width)
            found["alias"] = replace(found["alias"], gflop=executed, dense_gflop=dense)
        return {name: asdict(done) for name, done in found.items()}

    def add_shares(self, run: dict[str, Any], ceilings: Mapping[str, float]) -> None:
        """Hold the work of a run's main configuration against the ceilings."""
        main = run["configurations"][run["configuration"]]
        precisions = {name: "fp32" if network(name).cpu_fp32 else main["precision"]
                      for name in run["work"]}
        run["work"] = work.shares({name: work.Work(**done) for name, done in run["work"].items()},
                                  main["rows"], precisions, ceilings)


def _reference(found: Sequence[Configuration]) -> Configuration:
    """The fp32 chain that errors are told against: eager where it takes part, else our own."""
    for name in (EAGER, "openvino fp32", "ort-cpu fp32", "ort-cuda fp32", "trt fp32"):
        for one in found:
            if one.name == name:
                return one
    return replace(found[0], name="ort-cpu fp32", backend="ort-cpu", precision="fp32")


def _add_sum(rows: dict[str, Any], garments: int) -> None:
    """The row of many garments from its parts, n 0, where it would have taken too long."""
    name = MANY.format(garments)
    if name in rows:
        return
    row = {k: rows["prepare person"][k] + garments * (rows["prepare garment"][k] + rows["fit"][k])
           for k in ("p50", "p90", "p99")}
    rows[name] = {**row, "n": 0, "error": rows[TOTAL]["error"]}
