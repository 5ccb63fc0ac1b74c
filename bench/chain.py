"""One chain as the bench times it: stages by the pipeline's names, networks and pre/post apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuw.engine import pipeline
from fuw.engine.arrays import F32, U8
from fuw.engine.clock import Clock
from fuw.engine.nets import Nets
from fuw.engine.ops import Ops
from fuw.engine.records import Parts, PersonMaps


@dataclass(frozen=True)
class Scene:
    """Two photos and what the starter weights found in them, handed downstream.

    Attributes:
        person: maps of the person photo (image, key points, parse, agnostic maps ...).
        cloth: garment photo u8 (H, W, 3). mask: its mask u8 (H, W), 0 or 255.
        groups: the seg generator's answer for this pair, 13 groups, u8 (H, W).
        noise: of the seg generator.
    """

    person: PersonMaps
    cloth: U8
    mask: U8
    groups: U8
    noise: F32


class Timed:
    """A set of networks that adds up the milliseconds spent inside them, by name."""

    def __init__(self, nets: Any) -> None:
        self._nets, self.ms = nets, dict[str, float]()
        self.mask_net: str = nets.mask_net

    def __getitem__(self, name: str) -> Any:
        network = self._nets[name]

        def call(*inputs: F32) -> list[F32]:
            start = time.perf_counter()
            outputs: list[F32] = network(*inputs)
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1000
            return outputs

        return call

    def fit(self, name: str) -> Mapping[str, int]:
        """As the networks inside say."""
        found: Mapping[str, int] = self._nets.fit(name)
        return found

    def labels(self, name: str) -> str:
        """As the networks inside say."""
        return str(self._nets.labels(name))


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
    person, timed = scene.person, nets
    image, body = person.image, person.body
    pipeline.find_people(timed, ops, image, clock)
    pipeline.find_hands(timed, ops, image, body, clock)
    with clock("skeleton"):
        ops.draw_skeleton(body, person.hands, image.shape[0], image.shape[1])
    iuv = pipeline.find_surface(timed, ops, image, body, clock)
    pipeline.find_labels(timed, ops, image, body, iuv, clock)
    with clock("agnostic"):
        ops.group13(ops.parse_agnostic(person.parse, body))
        ops.image_agnostic(image, person.parse, body)


def run_garment(nets: Nets, ops: Ops, scene: Scene, clock: Clock) -> None:
    """`prepare_garment`."""
    pipeline.prepare_garment(nets, ops, scene.cloth, clock)


def run_fit(nets: Nets, ops: Ops, scene: Scene, clock: Clock) -> tuple[U8, Parts]:
    """`fit`, with the scene's parse after the seg generator has run."""
    return pipeline.fit(nets, handing(ops, scene.groups), scene.person, scene.cloth, scene.mask,
                        clock, scene.noise)
