"""What the chain shows the try-on networks of a figure, made by the chain's own operations."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.engine.framing import background
from fuw.kernels.cpu import image_agnostic, parse_agnostic
from fuw.kernels.cpu.skeleton import draw_skeleton
from fuw.starter.figures import sample_io
from fuw.starter.training import augment, upstream
from fuw.starter.training.data import Figures

OFFICIAL_HEIGHT = 1024  # the agnostic maps' radii are for this one
DRAWN_HEIGHT = 512  # skeletons are drawn at no less
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
    sleeve: float  # of the garment: 0 shoulder, 1 elbow, 2 wrist; nan where not known
    place: F32  # (2, 3): garment as rendered -> `garment`, pixel edges


def found(points: F32) -> F32:
    """Points that are not visible become 0, 0, 0, as the decoder reports them."""
    out = points.astype(np.float32).copy()
    out[out[..., 2] <= 0] = 0
    return out


class Fittings:
    """Random fittings from a folder of figures.

    `shrink` 2 makes everything at half the figure's size, faster: enough for networks that see
    256x192.
    """

    def __init__(self, figures: Figures, shrink: int = 1) -> None:
        self.figures, self.shrink = figures, shrink
        self._by_sleeve: list[list[tuple[int, str, float]]] = []
        self._counted = 0

    def draw(self, rng: np.random.Generator) -> Fitting:
        """A random fitting, mostly unpaired; light and colour of both pictures vary together."""
        seed, target, sleeve = self.pick(rng)
        other = "b" if target == "a" else "a"
        source = other if rng.random() < UNPAIRED else target
        fitting = replace(self.fitting(seed, source, target, rng), sleeve=sleeve)
        if rng.random() < 0.5:
            return fitting
        table = augment.curve(rng, 0.15, 0.25, 0.04)
        changed = {k: cv2.LUT(getattr(fitting, k), table).astype(np.uint8)
                   for k in ("person", "garment", "truth")}
        grey = cv2.inRange(fitting.agnostic, (128,) * 3, (128,) * 3)
        changed["agnostic"] = cv2.LUT(fitting.agnostic, table).astype(np.uint8)
        changed["agnostic"][grey > 0] = 128
        return Fitting(**{**vars(fitting), **changed})

    def pick(self, rng: np.random.Generator) -> tuple[int, str, float]:
        """A figure, which of its garments is put on, its sleeve; kinds of sleeve balanced."""
        seeds = self.figures.seeds()
        if self._counted != len(seeds):
            self._by_sleeve, self._counted = by_sleeve(self.figures.folder, seeds), len(seeds)
        kinds = [kind for kind in self._by_sleeve if kind]
        if not kinds:
            return self.figures.pick(rng), "ab"[int(rng.integers(2))], float("nan")
        shares = np.array([len(kind) for kind in kinds], float)
        if rng.random() < BALANCED:
            shares[:] = 1
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        return kind[int(rng.integers(len(kind)))]

    def fitting(self, seed: int, source: str, target: str,
                rng: np.random.Generator | None = None) -> Fitting:
        """Person `source` ("a" or "b") of a figure is to wear the garment of `target`.

        With `rng` the person is mostly cut and the garment always laid out as a Fitter does it, and
        pose and parse are mostly as networks would find them.
        """
        figures, k = self.figures, self.shrink
        names = ("body", "hands", f"parse_{source}", f"parse_{target}", f"mask_g{target}",
                 f"corr_{target}")
        body, hands, parse, truth_parse, mask, corr = figures.labels(seed, *names)
        size = (parse.shape[0] // k, parse.shape[1] // k)
        mask = np.ascontiguousarray(mask[::k, ::k])
        person = figures.picture(seed, source)
        truth = person if source == target else figures.picture(seed, target)
        matrix = upstream.person_place(rng, person, found(body), size)
        ground = background(person)
        person, truth = (upstream.placed(picture, matrix, ground, size)
                         for picture in (person, truth))
        parse, truth_parse = (upstream.placed_labels(m, matrix, size) for m in (parse, truth_parse))
        body, hands = (upstream.placed_points(found(p), matrix, size) for p in (body, hands))
        if rng is not None and rng.random() < OFF:
            body, hands = upstream.seen_points(rng, body, hands)
            parse = upstream.seen_parse(rng, parse)
        scale = size[0] / OFFICIAL_HEIGHT
        garment, place = figures.picture(seed, f"g{target}", k), np.eye(2, 3, dtype=np.float32)
        if rng is not None:
            garment, mask, place = upstream.laid_out(rng, garment, mask)
        corr = (corr.astype(np.float32) + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5
        return Fitting(
            skeleton=drawn(body, hands, size), person=person, parse=parse,
            parse_agnostic=parse_agnostic(parse, body, scale),
            agnostic=image_agnostic(person, parse, body, scale),
            garment=garment, mask=mask, truth=truth, truth_parse=truth_parse,
            corr=corr.astype(np.float32), sleeve=float("nan"), place=place,
        )


def drawn(body: F32, hands: F32, size: tuple[int, int]) -> U8:
    """The skeleton picture u8 of `size`; small ones are drawn larger and shrunk, since the
    drawing's thickness goes by absolute sizes."""
    k = max(1.0, DRAWN_HEIGHT / size[0])
    large = np.array([k, k, 1], np.float32)
    picture = draw_skeleton(body * large, hands * large, round(size[0] * k), round(size[1] * k))
    if k == 1:
        return picture
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


def by_sleeve(folder: Path, seeds: list[int]) -> list[list[tuple[int, str, float]]]:
    """All (figure, garment for the upper body) by kind of sleeve: none, short, long."""
    kinds: list[list[tuple[int, str, float]]] = [[] for _ in SLEEVES]
    for seed in seeds:
        base = sample_io.stem(folder, seed)
        meta = json.loads(base.with_name(f"{base.name}_meta.json").read_text())
        for which in "ab":
            worn = meta.get(which, {})
            length = worn.get("spec", worn).get("sleeve")
            # Dresses, sets with a skirt, open coats: not what the try-on is for.
            top = worn.get("label", 5) == 5 and not worn.get("lower") and not worn.get("gap")
            if length is not None and top:
                kind = next(i for i, (low, high) in enumerate(SLEEVES) if low <= length < high)
                kinds[kind].append((seed, which, length))
    return kinds
