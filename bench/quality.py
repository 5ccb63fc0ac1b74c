"""How good the answers of a set of weights are, on real photos and on rendered figures.

    python -m fuw.bench.quality --data DIR --weights starter --json out.json

DIR has the form of `../shared/eval` (its README says how to score): `street/` photos with pixel
labels, `people/` with the official parse and key points, `cloth/` with masks, `photos/` of people
and garments to dress; a folder that is missing is left out. `--figures` adds held-out rendered
figures, whose truth is known for every stage, unpaired fits included, and dresses random pairs of
them. Networks are asked directly and on the photo as it is; only fits go through the whole chain.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from PIL import Image

import fuw
from fuw.bench import kept, pairs
from fuw.bench.measures import (
    Overlap,
    colour_difference,
    key_points_right,
    mask_iou,
    median,
    ssim,
)
from fuw.engine import keypoints, looks, pipeline
from fuw.engine.arrays import F32, U8
from fuw.engine.clock import Clock
from fuw.engine.errors import FuwError, InputError, NoPersonError
from fuw.engine.files import write_json
from fuw.engine.fitter import Fitter
from fuw.engine.records import Given

GROUPS = ("background", "hair", "skin", "upper", "lower")  # of the real photos, in this order
OTHER = len(GROUPS)  # not scored, but an error where a group is true
# VITON-HD's parse (10 = neck) to groups; LIP's differs in 10 only (jumpsuits are rare).
PARSE_GROUPS = {0: (0,), 1: (2,), 2: (10, 13, 14, 15, 16, 17), 3: (5, 6, 7, 11), 4: (8, 9, 12)}
STREET_GROUPS = {"background": 0, "hair": 1, "skin": 2, "upper": 3, "dress": 3, "lower": 4}
PARSE_CLASSES = 20
UPPER = (5, 6, 7)
SIZE = (1024, 768)


@dataclass
class Report:
    """Figures by name, and how many samples each is of."""

    figures: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)

    def put(self, name: str, value: float, samples: int) -> None:
        """Note a figure; nan (nothing to measure) is left out."""
        if samples and not np.isnan(value):
            self.figures[name] = round(float(value), 4)
            self.samples[name] = samples


def group_table() -> U8:
    """Parse id -> group, u8 (256,)."""
    table = np.full(256, OTHER, np.uint8)
    for group, ids in PARSE_GROUPS.items():
        table[list(ids)] = group
    return table


def street_table(labels: dict[str, Any]) -> U8:
    """Label id of the street set -> group, u8 (256,), from its labels.json."""
    table = np.full(256, OTHER, np.uint8)
    for name, group in STREET_GROUPS.items():
        for label in labels["coarse_groups"].get(name, ()):
            table[labels["labels"].index(label)] = group
    return table


def parse(fitter: Fitter, photo: U8) -> U8:
    """The parser's own answer on a photo as it is, label ids u8 (H, W)."""
    return looks.parse_labels(fitter.nets, fitter.ops, photo)


def body(fitter: Fitter, photo: U8) -> F32 | None:
    """Key points (25, 3) of the largest person, or None."""
    people = pipeline.find_people(fitter.nets, fitter.ops, photo, Clock())
    return people[0] if len(people) else None


def read(path: Path) -> U8:
    """A picture as RGB u8 (H, W, 3)."""
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} cannot be read as a picture ({error})") from error


def read_labels(path: Path) -> U8:
    """A label map u8 (H, W); palette pictures keep their ids."""
    labels = np.asarray(Image.open(path))
    return labels if labels.ndim == 2 else labels[..., 0]


def street(fitter: Fitter, folder: Path, report: Report) -> None:
    """street_miou: five groups over the whole set, then the mean."""
    truth = street_table(json.loads((folder / "labels.json").read_text()))
    found, overlap, count = group_table(), Overlap(len(GROUPS)), 0
    for path in sorted(folder.glob("*.jpg")):
        overlap.add(found[parse(fitter, read(path))], truth[read_labels(path.with_suffix(".png"))])
        count += 1
    _put_groups(report, "street", overlap, count)


def people(fitter: Fitter, folder: Path, report: Report) -> None:
    """people_miou against the official parse, people_pck against the official key points."""
    table, overlap, count = group_table(), Overlap(len(GROUPS)), 0
    right = known = 0
    for person in sorted(p for p in folder.iterdir() if p.is_dir()):
        photo = read(person / "image.jpg")
        overlap.add(table[parse(fitter, photo)],
                    table[read_labels(person / "image-parse.png")])
        joints, _ = keypoints.read_openpose_json(person / "openpose.json")
        hit, of = key_points_right(body(fitter, photo), joints)
        right, known, count = right + hit, known + of, count + 1
    _put_groups(report, "people", overlap, count)
    if known:
        report.put("people_pck", right / known, count)


def _put_groups(report: Report, name: str, overlap: Overlap, count: int) -> None:
    report.put(f"{name}_miou", overlap.mean(), count)
    for group, value in zip(GROUPS, overlap.iou(), strict=True):
        report.put(f"{name}_iou_{group}", value, count)


def cloth(fitter: Fitter, folder: Path, report: Report) -> None:
    """cloth_iou: the mask network's own output, mean over the pictures."""
    scores = []
    for path in sorted(folder.glob("*_mask.jpg")):
        photo = read(path.with_name(path.name.replace("_mask", "")))
        soft = pipeline.prepare_garment(fitter.nets, fitter.ops, photo, Clock())
        scores.append(mask_iou(soft, read(path)[..., 0]))
    if scores:
        report.put("cloth_iou", float(np.mean(scores)), len(scores))
        report.put("cloth_iou_worst", min(scores), len(scores))


def photos(fitter: Fitter, folder: Path, report: Report) -> None:
    """photos_kept_*: how much of every picture's face, hair and trousers is the person's own."""
    found: dict[str, list[float]] = {}
    for picture, fit in kept.fits(fitter, folder):
        for region, value in kept.kept(fit).items():
            report.put(f"photos_kept_{region}_ssim {picture}", value, 1)
            found.setdefault(region, []).append(value)
    for region, values in found.items():
        report.put(f"photos_kept_{region}_ssim", float(np.mean(values)), len(values))
        report.put(f"photos_kept_{region}_ssim_worst", min(values), len(values))


@dataclass
class _Figures:
    """Sums over held-out figures."""

    parse: Overlap = field(default_factory=lambda: Overlap(PARSE_CLASSES))
    right: int = 0
    known: int = 0
    masks: list[float] = field(default_factory=list)
    fits: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        self.fits.setdefault(name, []).append(value)


def figures(fitter: Fitter, folder: Path, report: Report, most: int) -> None:
    """In-domain figures: parse, pose, mask; fits paired (b on b) and unpaired (b on a)."""
    # A source checkout has the figures' reader, an installation does not.
    sample_io = importlib.import_module("fuw.starter.figures.sample_io")
    sums = _Figures()
    seeds = sample_io.seeds(folder)[:most]
    for seed in seeds:
        figure = sample_io.read(folder, seed)
        photo = enlarged(figure.a.person)
        sums.parse.add(parse(fitter, photo), enlarged(figure.a.parse, nearest=True))
        scale = np.array([photo.shape[1] / figure.a.person.shape[1]] * 2 + [1], np.float32)
        hit, of = key_points_right(body(fitter, photo), figure.body * scale)
        sums.right, sums.known = sums.right + hit, sums.known + of
        garment = enlarged(figure.b.garment)
        soft = pipeline.prepare_garment(fitter.nets, fitter.ops, garment, Clock())
        sums.masks.append(mask_iou(soft, enlarged(figure.b.mask)))
        for name, dressed in (("unpaired", figure.a), ("paired", figure.b)):
            _fit(fitter, sums, name, enlarged(dressed.person), garment, figure.b)
    _put_figures(report, sums, len(seeds))
    random_pairs(fitter, folder, report, seeds)


def random_pairs(fitter: Fitter, folder: Path, report: Report, seeds: list[int]) -> None:
    """pairs_*: as many random pairs as there are figures, for signs of a collapse."""
    sample_io = importlib.import_module("fuw.starter.figures.sample_io")
    done = pairs.dress(fitter, lambda i: enlarged(sample_io.read(folder, seeds[i]).a.person),
                       lambda i: enlarged(sample_io.read(folder, seeds[i]).b.garment),
                       len(seeds), len(seeds))
    if len(done.worn) > 1:
        for name, value in done.figures().items():
            report.put(f"pairs_{name}", value, len(done.worn))
    if done.nobody:
        report.put("pairs_nobody", float(done.nobody), len(seeds))


def _fit(fitter: Fitter, sums: _Figures, name: str, photo: U8, garment: U8, truth: Any) -> None:
    """Fit as a user's photos are fitted, framing included; the truth is cut with the same frame.

    Compared at the size of the figures (512x384).
    """
    try:
        person = fitter.person(photo, Given())
    except NoPersonError:
        sums.note(f"{name}_nobody", 1.0)
        return
    fit = fitter.fit(person, fitter.garment(garment))
    height, width = truth.person.shape[:2]

    def shrunk(picture: U8) -> U8:
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)

    wanted = shrunk(person.frame.apply(enlarged(truth.person)))
    parse = person.frame.apply_labels(enlarged(truth.parse, nearest=True))
    parse = cv2.resize(parse, (width, height),
                       interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    image, worn = shrunk(fit.image), np.isin(parse, UPPER)
    others = ~worn & (parse != 0)  # arms and hair may hide the warped garment
    warped = shrunk(fit.parts.warped_mask)
    warped[others] = 0
    sums.note(f"{name}_ssim", ssim(image, wanted))
    sums.note(f"{name}_ciede2000", colour_difference(image, wanted, worn))
    sums.note(f"{name}_warp_iou", mask_iou(warped, worn.astype(np.uint8) * 255))


def enlarged(picture: U8, nearest: bool = False) -> U8:
    """A figure's picture or map at 1024x768."""
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_CUBIC
    return cv2.resize(picture, SIZE[::-1], interpolation=how).astype(np.uint8)


def _put_figures(report: Report, sums: _Figures, count: int) -> None:
    # Strict: an id that only the answer has counts 0. The other: over the ids of the truth.
    report.put("figures_parse_miou", sums.parse.mean(), count)
    report.put("figures_parse_miou_true_ids", sums.parse.mean_of_true(), count)
    for label, value in enumerate(sums.parse.iou()):
        report.put(f"figures_parse_iou_{label:02d}", value, count)
    if sums.known:
        report.put("figures_pck", sums.right / sums.known, count)
    report.put("figures_mask_iou", float(np.mean(sums.masks)) if sums.masks else float("nan"),
               count)
    for name, values in sorted(sums.fits.items()):
        if name.endswith("_nobody"):
            report.put(f"figures_{name}", float(len(values)), count)
        elif name.endswith("ciede2000"):
            report.put(f"figures_{name}_median", median(values), len(values))
        else:
            report.put(f"figures_{name}", float(np.mean(values)), len(values))


PARTS: dict[str, Callable[[Fitter, Path, Report], None]] = {
    "cloth": cloth, "people": people, "street": street, "photos": photos}


def measure(fitter: Fitter, data: Path | None, held_out: Path | None, most: int) -> Report:
    """All figures that the folders allow."""
    report = Report()
    for name, part in _present(data):
        part(fitter, data / name, report)  # type: ignore[operator]
    if held_out is not None:
        figures(fitter, held_out, report, most)
    if not report.figures:
        raise FuwError(f"there is nothing to measure in {data or held_out}: expected street/, "
                       "people/, cloth/ or photos/ (see the README of the evaluation set), or "
                       "figures")
    return report


def _present(data: Path | None) -> Iterator[tuple[str, Callable[[Fitter, Path, Report], None]]]:
    if data is not None:
        yield from ((n, part) for n, part in PARTS.items() if (data / n).is_dir())


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="folder of the form of shared/eval")
@click.option("--figures", "held_out", type=click.Path(path_type=Path, exists=True),
              help="folder of held-out rendered figures")
@click.option("--most", default=200, show_default=True, help="figures to take at the most")
@click.option("--weights", default="starter", show_default=True)
@click.option("--backend", default="auto", show_default=True)
@click.option("--precision", default="auto", show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the figures here")
def main(data: Path | None, held_out: Path | None, most: int, weights: str, backend: str,
         precision: str, out: Path | None) -> None:
    """Measure the quality of WEIGHTS."""
    with Fitter.open(weights=weights, backend=backend, precision=precision) as fitter:
        report = measure(fitter, data, held_out, most)
        record = {"fuw": fuw.__version__, "weights": weights, "runtime": fitter.summary,
                  "networks": fitter.nets.origins(), **asdict(report)}
    for name, value in report.figures.items():
        click.echo(f"{name:32} {value:8.4f}  ({report.samples[name]})")
    if out is not None:
        write_json(out, record)


if __name__ == "__main__":
    main()
