"""The example pictures of the package: `python -m fuw.starter.figures.examples DIR`.

Two people and four garments, rendered at 768x1024: nobody's likeness and nobody's brand, since
faces, cloths and prints are all made up (no garment photo is used).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from fuw.cli import guarded
from fuw.starter.figures import material
from fuw.starter.figures.figure import make_figure
from fuw.starter.figures.sample_io import U8, encode
from fuw.starter.figures.studio import Studio

WIDTH = 768
LARGEST = 200_000  # bytes a picture
PEOPLE = ((5_001_465, "a"), (5_000_955, "a"))  # seed, garment worn
GARMENTS = ((5_001_375, "b"), (5_001_018, "a"), (5_000_163, "a"), (5_001_368, "a"))


def save(path: Path, picture: U8) -> None:
    """Write a JPEG at the best quality that stays below LARGEST bytes."""
    for quality in range(95, 60, -3):
        data = encode(picture, quality)
        if len(data) < LARGEST:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}")
    beside.write_bytes(data)
    beside.replace(path)
    print(f"{path}: quality {quality}, {len(data) // 1000} kB")


def render(studio: Studio, folder: Path) -> None:
    """Write person_1.jpg, person_2.jpg and garment_1.jpg to garment_4.jpg."""
    for k, (seed, which) in enumerate(PEOPLE, 1):
        figure = make_figure(studio, seed, WIDTH, photos=0)
        save(folder / f"person_{k}.jpg", (figure.a if which == "a" else figure.b).person)
    for k, (seed, which) in enumerate(GARMENTS, 1):
        figure = make_figure(studio, seed, WIDTH, photos=0)
        save(folder / f"garment_{k}.jpg", (figure.a if which == "a" else figure.b).garment)


def main() -> None:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m fuw.starter.figures.examples", description=__doc__)
    p.add_argument("folder", type=Path)
    p.add_argument("--data", type=Path, help="the CC0 material (default: FUW_DATA)")
    p.add_argument("--cache", type=Path, help="parsed meshes and compiled code")
    a = p.parse_args()
    cv2.setNumThreads(1)
    render(Studio(material.find(a.data, a.cache), photos=False), a.folder)


if __name__ == "__main__":
    guarded(main)()
