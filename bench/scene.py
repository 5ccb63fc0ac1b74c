"""Two photos and what the starter weights found in them, kept as one file for all processes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

import fuw
from fuw.engine.arrays import F32, U8
from fuw.engine.errors import InputError
from fuw.engine.fitter import Fitter
from fuw.engine.records import PersonMaps, PersonMapsOf

PERSON = tuple(f.name for f in fields(PersonMapsOf))
LABELS = ("parse", "parse_agnostic", "groups_agnostic", "iuv")  # resized to the nearest


@dataclass(frozen=True)
class Scene:
    """What networks with made-up weights cannot find, so that it is handed downstream.

    Attributes:
        person: maps of the person photo (image, key points, parse, agnostic maps ...).
        cloth: garment photo u8 (H, W, 3). mask: its mask u8 (H, W), 0 or 255.
        groups: the seg generator's answer for this pair, 13 groups, u8 (H, W).
        theta: the GMM's answer, f32 (1, 50).
        noise: of the seg generator, f32 (1, 1, 256, 192).
    """

    person: PersonMaps
    cloth: U8
    mask: U8
    groups: U8
    theta: F32
    noise: F32

    def save(self, path: Path) -> Path:
        """One .npz file."""
        person = {f"person_{name}": getattr(self.person, name) for name in PERSON}
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "person"}
        np.savez(path, **person, **rest)
        return path

    @staticmethod
    def load(path: Path) -> Scene:
        """What `save` wrote."""
        with np.load(path) as data:
            person = PersonMaps(**{name: data[f"person_{name}"] for name in PERSON})
            return Scene(person, **{f.name: data[f.name] for f in fields(Scene)
                                    if f.name != "person"})

    def resized(self, size: tuple[int, int]) -> Scene:
        """The same pair in pictures of another size (height, width)."""
        old = self.person.image.shape[:2]
        if size == old:
            return self

        def picture(x: U8) -> U8:
            return cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)

        def labels(x: U8) -> U8:
            return cv2.resize(x, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.uint8)

        scale = np.array([size[1] / old[1], size[0] / old[0], 1], np.float32)
        maps = {}
        for name in PERSON:
            value = getattr(self.person, name)
            if name in ("body", "hands"):
                maps[name] = value * scale
            else:
                maps[name] = (labels if name in LABELS else picture)(value)
        return Scene(PersonMaps(**maps), picture(self.cloth), labels(self.mask),
                     labels(self.groups), self.theta, self.noise)


def example_photos() -> tuple[Path, Path]:
    """A person and a garment of the checkout.

    Raises:
        InputError: this is an installation, which has none.
    """
    folder = Path(fuw.__file__).parent / "examples"
    if not folder.is_dir():
        raise InputError("the example photos are in the repository only, not in an installed fuw; "
                         "give your own: --person PHOTO --cloth PHOTO")
    return folder / "person_1.jpg", folder / "garment_1.jpg"


def scene_of(fitter: Fitter, person: Path, cloth: Path) -> Scene:
    """Prepare both photos and fit them once."""
    who, what = fitter.person(person), fitter.garment(cloth)
    fit = fitter.fit(who, what)
    maps = PersonMaps(**{name: getattr(who, name) for name in PERSON})
    return Scene(maps, what.image, what.mask, fit.parts.groups, fit.parts.theta,
                 fitter.ops.seg_noise(0))
