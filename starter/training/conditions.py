"""What the chain shows the try-on networks of a figure, made by the chain's own operations."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.kernels.cpu import image_agnostic, parse_agnostic
from fuw.kernels.cpu.skeleton import draw_skeleton
from fuw.starter.figures import sample_io
from fuw.starter.training import augment, upstream
from fuw.starter.training.data import Figures, read_rgb

OFFICIAL_HEIGHT = 1024  # the agnostic maps' radii are for this one
DRAWN_HEIGHT = 512  # skeletons of points that are off are drawn at half size and shrunk
UNPAIRED = 0.75  # share of samples that put garment B on the person in A
OFF = 0.7  # share of samples whose pose and parse are as networks find them
BALANCED = 0.6  # share of samples whose garment's sleeve is none, short or long, equally often
SLEEVES = ((-9.0, 0.25), (0.25, 1.3), (1.3, 9.0))  # 0 shoulder, 1 elbow, 2 wrist


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
    corr: F32  # (h, w, 2): every n-th pixel's x, y in `truth`, or nan; of the garment as rendered
    place: F32  # (2, 3): garment as rendered -> `garment`, pixel edges


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
        self._by_sleeve: list[list[tuple[int, str]]] = []
        self._counted = 0

    def skeleton(self, seed: int, body: F32, hands: F32, size: tuple[int, int]) -> U8:
        """The figure's skeleton picture (H, W, 3), drawn once."""
        path = self.cache / f"{seed:07d}_{size[0]}.png"
        if path.exists():
            return read_rgb(path)
        picture = drawn(body, hands, size, OFFICIAL_HEIGHT)
        beside = path.with_name(f".{path.stem}.{os.getpid()}.png")
        cv2.imwrite(str(beside), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                    [cv2.IMWRITE_PNG_COMPRESSION, 1])
        beside.replace(path)
        return picture

    def draw(self, rng: np.random.Generator) -> Fitting:
        """A random fitting, mostly unpaired; light and colour of both pictures vary together."""
        seed, target = self.pick(rng)
        other = "b" if target == "a" else "a"
        source = other if rng.random() < UNPAIRED else target
        fitting = self.fitting(seed, source, target, rng)
        if rng.random() < 0.5:
            return fitting
        table = augment.curve(rng, 0.15, 0.25, 0.04)
        changed = {k: cv2.LUT(getattr(fitting, k), table).astype(np.uint8)
                   for k in ("person", "garment", "truth")}
        grey = cv2.inRange(fitting.agnostic, (128,) * 3, (128,) * 3)
        changed["agnostic"] = cv2.LUT(fitting.agnostic, table).astype(np.uint8)
        changed["agnostic"][grey > 0] = 128
        return Fitting(**{**vars(fitting), **changed})

    def pick(self, rng: np.random.Generator) -> tuple[int, str]:
        """A figure, and which of its garments is put on; kinds of sleeve balanced."""
        if rng.random() < BALANCED:
            seeds = self.figures.seeds()
            if self._counted != len(seeds):
                self._by_sleeve, self._counted = by_sleeve(self.figures.folder, seeds), len(seeds)
            kinds = [kind for kind in self._by_sleeve if kind]
            if kinds:
                kind = kinds[int(rng.integers(len(kinds)))]
                return kind[int(rng.integers(len(kind)))]
        return self.figures.pick(rng), "ab"[int(rng.integers(2))]

    def fitting(self, seed: int, source: str, target: str,
                rng: np.random.Generator | None = None) -> Fitting:
        """Person `source` ("a" or "b") of a figure is to wear the garment of `target`.

        With `rng` pose, parse and the garment's place are mostly as networks would find them.
        """
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
        if rng is not None and rng.random() < OFF:
            body, hands = upstream.seen_points(rng, body, hands)
            parse = upstream.seen_parse(rng, parse)
            skeleton = drawn(body, hands, size, DRAWN_HEIGHT)
        else:
            skeleton = self.skeleton(seed, body, hands, size)
        garment, place = figures.picture(seed, f"g{target}", k), np.eye(2, 3, dtype=np.float32)
        if rng is not None:
            garment, mask, place = upstream.laid_out(rng, garment, mask)
        return Fitting(
            skeleton=skeleton, person=person, parse=parse,
            parse_agnostic=parse_agnostic(parse, body, scale),
            agnostic=image_agnostic(person, parse, body, scale),
            garment=garment, mask=mask,
            truth=person if source == target else figures.picture(seed, target, k),
            truth_parse=truth_parse, corr=corr.astype(np.float32) / k, place=place,
        )


def drawn(body: F32, hands: F32, size: tuple[int, int], height: int) -> U8:
    """The skeleton picture of `size`, drawn at `height` and shrunk: its thickness goes by absolute
    sizes."""
    k = height / size[0]
    large = np.array([k, k, 1], np.float32)
    picture = draw_skeleton(body * large, hands * large, height, round(size[1] * k))
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


def by_sleeve(folder: Path, seeds: list[int]) -> list[list[tuple[int, str]]]:
    """All (figure, garment) by kind of sleeve: none, short, long."""
    kinds: list[list[tuple[int, str]]] = [[] for _ in SLEEVES]
    for seed in seeds:
        base = sample_io.stem(folder, seed)
        meta = json.loads(base.with_name(f"{base.name}_meta.json").read_text())
        for which in "ab":
            drawn_as = meta.get(which, {})
            length = drawn_as.get("spec", drawn_as).get("sleeve")
            if length is not None:
                kind = next(i for i, (low, high) in enumerate(SLEEVES) if low <= length < high)
                kinds[kind].append((seed, which))
    return kinds
