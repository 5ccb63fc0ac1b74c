"""One chain as the bench times it: stages by the pipeline's names, networks and pre/post apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fuw.bench.scene import Scene
from fuw.engine import pipeline
from fuw.engine.arrays import F32, U8
from fuw.engine.clock import Clock
from fuw.engine.nets import Nets
from fuw.engine.ops import Ops
from fuw.engine.records import Parts
from fuw.engine.spec import View

STAGE_OF = {"openpose_body": "pose", "openpose_hand": "hands", "densepose": "densepose",
            "schp": "parse", "u2net": "mask", "u2netp": "mask", "tracer_b7": "mask", "seg": "seg",
            "gmm": "warp", "alias": "alias"}
PARTS = {"prepare person": ("pose", "hands", "skeleton", "densepose", "parse", "agnostic"),
         "prepare garment": ("mask",),
         "fit": ("seg", "warp", "misalign", "alias", "picture")}
TOTAL = "two photos to picture"


@dataclass
class Traffic:
    """What crossed the border between the pipeline and its networks in one chain."""

    calls: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass
class Timed:
    """A set of networks that adds up the milliseconds spent inside them, by name.

    Attributes:
        handed: answers that take the place of a network's own once it has run.
        outputs: the networks' own answers, where `keep` asks for them.
    """

    nets: Any
    handed: Mapping[str, list[F32]] = field(default_factory=dict)
    keep: bool = False
    ms: dict[str, float] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    outputs: dict[str, list[F32]] = field(default_factory=dict)

    @property
    def mask_net(self) -> str:
        """As the networks inside say."""
        return str(self.nets.mask_net)

    def __getitem__(self, name: str) -> Any:
        network = self.nets[name]

        def call(*inputs: F32) -> list[F32]:
            start = time.perf_counter()
            outputs: list[F32] = network(*inputs)
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1000
            self.traffic.calls += 1
            self.traffic.bytes_in += sum(x.nbytes for x in inputs)
            self.traffic.bytes_out += sum(x.nbytes for x in outputs)
            if self.keep:
                self.outputs[name] = outputs
            return self.handed.get(name, outputs)

        return call

    def fit(self, name: str) -> Mapping[str, int]:
        """As the networks inside say."""
        found: Mapping[str, int] = self.nets.fit(name)
        return found

    def labels(self, name: str) -> str:
        """As the networks inside say."""
        return str(self.nets.labels(name))

    def views(self, name: str) -> tuple[View, ...]:
        """As the networks inside say."""
        found: tuple[View, ...] = self.nets.views(name)
        return found

    def keeps(self) -> tuple[int, ...]:
        """As the networks inside say."""
        found: tuple[int, ...] = self.nets.keeps()
        return found


def handing(ops: Ops, groups: U8) -> Ops:
    """`ops` whose seg_labels does its work and then hands `groups` on: made-up weights predict
    noise, and the sparse ALIAS must meet a real map."""

    def seg_labels(probabilities: F32, height: int, width: int) -> U8:
        type(ops).seg_labels(probabilities, height, width)
        return groups

    handed = type(ops)()
    handed.seg_labels = seg_labels
    return handed


def run_person(nets: Nets, ops: Ops, scene: Scene, clock: Clock) -> None:
    """Every network and step of `prepare_person`; the scene's own key points feed the next."""
    person = scene.person
    image, body = person.image, person.body
    pipeline.find_people(nets, ops, image, clock)
    pipeline.find_hands(nets, ops, image, body, clock)
    with clock("skeleton"):
        ops.draw_skeleton(body, person.hands, image.shape[0], image.shape[1])
    iuv = pipeline.find_surface(nets, ops, image, body, clock)
    pipeline.find_labels(nets, ops, image, body, iuv, clock)
    with clock("agnostic"):
        ops.group13(ops.parse_agnostic(person.parse, body))
        ops.image_agnostic(image, person.parse, body)


def run_garment(nets: Nets, ops: Ops, scene: Scene, clock: Clock) -> None:
    """`prepare_garment`."""
    pipeline.prepare_garment(nets, ops, scene.cloth, clock)


def run_fit(nets: Nets, ops: Ops, scene: Scene, clock: Clock) -> tuple[U8, Parts]:
    """`fit`, with the scene's segmentation after the seg generator has run."""
    return pipeline.fit(nets, handing(ops, scene.groups), scene.person, scene.cloth, scene.mask,
                        clock, scene.noise)


def once(nets: Timed, ops: Ops, scene: Scene) -> tuple[dict[str, float], U8]:
    """The whole chain once.

    Returns:
        milliseconds by row (stages, "STAGE pre/post", parts of PARTS, TOTAL), and the picture.
    """
    clock = Clock()
    marks = [time.perf_counter()]
    run_person(nets, ops, scene, clock)
    marks.append(time.perf_counter())
    run_garment(nets, ops, scene, clock)
    marks.append(time.perf_counter())
    image, _ = run_fit(nets, ops, scene, clock)
    marks.append(time.perf_counter())
    rows = dict(clock.ms)
    for name, ms in nets.ms.items():
        rows[f"{STAGE_OF[name]} network"] = ms
        rows[f"{STAGE_OF[name]} pre/post"] = clock.ms[STAGE_OF[name]] - ms
    for part, start, end in zip(PARTS, marks, marks[1:], strict=False):
        rows[part] = (end - start) * 1000
        inside = sum(rows.get(f"{stage} network", 0.0) for stage in PARTS[part])
        rows[f"{part} pre/post"] = rows[part] - inside
    rows[TOTAL] = (marks[-1] - marks[0]) * 1000
    return rows, image


def many(nets: Timed, ops: Ops, scene: Scene, garments: int) -> float:
    """Milliseconds of one person in so many garments: the person is prepared once."""
    start = time.perf_counter()
    run_person(nets, ops, scene, Clock())
    for _ in range(garments):
        run_garment(nets, ops, scene, Clock())
        run_fit(nets, ops, scene, Clock())
    return (time.perf_counter() - start) * 1000
