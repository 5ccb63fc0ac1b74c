"""What the chain shows the try-on networks of a figure, made by the chain's own operations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu import image_agnostic, parse_agnostic
from fuw.kernels.cpu.skeleton import draw_skeleton
from fuw.starter.training import augment
from fuw.starter.training.data import Figures, read_rgb

OFFICIAL_HEIGHT = 1024  # the agnostic maps' radii are for this one
UNPAIRED = 0.75  # share of samples that put garment B on the person in A


@dataclass(frozen=True)
class Fitting:
    """One sample of the try-on: a person in some garment, a garment, and the true picture.

    All pictures u8 (H, W, 3) RGB, all maps u8 (H, W), of the figure's own size.
    """

    skeleton: U8
    person: U8  # as given
    parse: U8  # of `person`, VITON-HD ids
    parse_agnostic: U8
    agnostic: U8
    garment: U8
    mask: U8
    truth: U8  # the person in `garment`
    truth_parse: U8
    corr: F32  # (h, w, 2): every n-th garment pixel's x, y in `truth`, or nan


def found(points: F32) -> F32:
    """Points that are not visible become 0, 0, 0, as the decoder reports them."""
    out = points.astype(np.float32).copy()
    out[out[..., 2] <= 0] = 0
    return out


class Fittings:
    """Random fittings from a folder of figures; skeleton pictures are kept in `cache`.

    `shrink` 2 makes everything at half the figure's size, four times faster: enough for networks
    that see 256x192.
    """

    def __init__(self, figures: Figures, cache: Path, shrink: int = 1) -> None:
        self.figures, self.cache, self.shrink = figures, cache, shrink
        cache.mkdir(parents=True, exist_ok=True)

    def skeleton(self, seed: int, body: F32, hands: F32, size: tuple[int, int]) -> U8:
        """The figure's skeleton picture (H, W, 3), drawn once."""
        path = self.cache / f"{seed:07d}_{size[0]}.png"
        if path.exists():
            return read_rgb(path)
        # Drawn large and shrunk: the drawing's thickness goes by absolute sizes.
        k = OFFICIAL_HEIGHT / size[0]
        large = np.array([k, k, 1], np.float32)
        drawn = draw_skeleton(body * large, hands * large, OFFICIAL_HEIGHT, round(size[1] * k))
        picture = cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)
        beside = path.with_name(f".{path.stem}.{os.getpid()}.png")
        cv2.imwrite(str(beside), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                    [cv2.IMWRITE_PNG_COMPRESSION, 1])
        beside.replace(path)
        return picture

    def draw(self, rng: np.random.Generator) -> Fitting:
        """A random fitting, mostly unpaired; light and colour of both pictures vary together."""
        target = "ab"[int(rng.integers(2))]
        other = "b" if target == "a" else "a"
        source = other if rng.random() < UNPAIRED else target
        fitting = self.fitting(self.figures.pick(rng), source, target)
        if rng.random() < 0.5:
            return fitting
        table = augment.curve(rng, 0.15, 0.25, 0.04)
        changed = {k: cv2.LUT(getattr(fitting, k), table).astype(np.uint8)
                   for k in ("person", "garment", "truth")}
        grey = cv2.inRange(fitting.agnostic, (128,) * 3, (128,) * 3)
        changed["agnostic"] = cv2.LUT(fitting.agnostic, table).astype(np.uint8)
        changed["agnostic"][grey > 0] = 128
        return Fitting(**{**vars(fitting), **changed})

    def fitting(self, seed: int, source: str, target: str) -> Fitting:
        """Person `source` ("a" or "b") of a figure is to wear the garment of `target`."""
        figures, k = self.figures, self.shrink
        names = ("body", "hands", f"parse_{source}", f"parse_{target}", f"mask_g{target}",
                 f"corr_{target}")
        body, hands, parse, truth_parse, mask, corr = figures.labels(seed, *names)
        person = figures.picture(seed, source, k)
        parse, truth_parse, mask = (np.ascontiguousarray(m[::k, ::k])
                                    for m in (parse, truth_parse, mask))
        size = (parse.shape[0], parse.shape[1])
        body, hands = (found(p) / np.array([k, k, 1], np.float32) for p in (body, hands))
        scale = size[0] / OFFICIAL_HEIGHT
        return Fitting(
            skeleton=self.skeleton(seed, body, hands, size),
            person=person, parse=parse,
            parse_agnostic=parse_agnostic(parse, body, scale),
            agnostic=image_agnostic(person, parse, body, scale),
            garment=figures.picture(seed, f"g{target}", k), mask=mask,
            truth=person if source == target else figures.picture(seed, target, k),
            truth_parse=truth_parse, corr=corr.astype(np.float32) / k,
        )
