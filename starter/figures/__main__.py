"""Render figures: `python -m fuw.starter.figures OUT --first 0 --count 100 --width 384`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from fuw.cli import guarded
from fuw.starter.figures import material, sample_io, sheet
from fuw.starter.figures.figure import make_figure
from fuw.starter.figures.studio import Studio


def arguments() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m fuw.starter.figures", description=__doc__)
    p.add_argument("out", type=Path, help="folder for the figures (see sample_io.py for the files)")
    p.add_argument("--first", type=int, default=0, help="first seed")
    p.add_argument("--count", type=int, default=8, help="how many seeds; complete figures are kept")
    p.add_argument("--width", type=int, default=384, help="picture width; the height is 4/3 of it")
    p.add_argument(
        "--photos", type=float, default=0.5, help="share of garments that are real photos"
    )
    p.add_argument(
        "--data", type=Path, help="the CC0 material (default: FUW_DATA or ../shared/data)"
    )
    p.add_argument(
        "--cache", type=Path, help="parsed meshes and compiled code (default: XDG cache)"
    )
    p.add_argument("--sheet", type=Path, help="also write a contact sheet (PNG) of these figures")
    p.add_argument("--plain-sheet", action="store_true", help="only pictures on the sheet, larger")
    return p.parse_args()


def main() -> None:
    """Render the asked-for seeds one after another; figures that are there already are skipped."""
    a = arguments()
    cv2.setNumThreads(1)
    studio = Studio(material.find(a.data, a.cache), photos=a.photos > 0)
    rows, start, made = [], time.perf_counter(), 0
    done = set(sample_io.seeds(a.out)) if a.out.is_dir() else set()
    for seed in range(a.first, a.first + a.count):
        if seed in done and not a.sheet:
            continue
        figure = make_figure(studio, seed, a.width, a.photos)
        sample_io.write(a.out, figure)
        made += 1
        if a.sheet:
            rows.append(
                sheet.row(figure, (288, 384) if a.plain_sheet else (192, 256), not a.plain_sheet)
            )
        if made % 50 == 0:
            print(f"seed {seed}: {(time.perf_counter() - start) / made:.2f} s a figure", flush=True)
    if rows:
        cv2.imwrite(str(a.sheet), np.vstack(rows)[..., ::-1])
    print(f"{made} figures, {(time.perf_counter() - start) / max(made, 1):.2f} s each")


if __name__ == "__main__":
    guarded(main)()
