"""Every intermediate of a fit as files in the official formats, and as a contact sheet."""

from __future__ import annotations

from pathlib import Path

from fuw.engine import palettes
from fuw.engine.arrays import U8
from fuw.engine.images import save_image
from fuw.engine.keypoints import write_openpose_json
from fuw.engine.palettes import save_labels
from fuw.engine.records import Fit
from fuw.engine.sheet import sheet


def write_parts(folder: Path, fit: Fit) -> None:
    """Write the stages of `fit` into `folder`, names as in the paper's symbols' words."""
    person, garment, parts = fit.person, fit.garment, fit.parts
    pictures: dict[str, U8] = {
        "image.jpg": person.image, "openpose.png": person.skeleton,
        "agnostic.png": person.agnostic, "cloth.jpg": garment.image,
        "cloth-mask.png": garment.mask, "warped-cloth.png": parts.warped,
        "warped-mask.png": parts.warped_mask, "misalign.png": parts.misalign,
        "result.png": fit.image,
    }
    for name, picture in pictures.items():
        save_image(folder / name, picture)
    save_labels(folder / "parse.png", person.parse)
    save_labels(folder / "parse-agnostic.png", person.parse_agnostic)
    save_labels(folder / "seg-13.png", parts.groups)
    save_labels(folder / "seg-7.png", parts.seg)
    if person.iuv is not None:
        save_image(folder / "densepose-iuv.png", person.iuv)
    write_openpose_json(folder / "openpose.json", person.body, person.hands)


def contact_sheet(fit: Fit) -> U8:
    """All stages side by side with their names, u8 (h, w, 3) RGB."""
    person, garment, parts = fit.person, fit.garment, fit.parts
    cells: list[tuple[str, U8]] = [
        ("I person", person.image),
        ("P pose", person.skeleton),
        ("S parse", palettes.colour_labels(person.parse)),
        ("S_a parse-agnostic", palettes.colour_labels(person.parse_agnostic)),
        ("I_a agnostic", person.agnostic),
        ("c garment", garment.image),
        ("M_c mask", palettes.grey(garment.mask)),
        ("S^ predicted", palettes.colour_groups(parts.groups)),
        ("W(c, theta) warped", parts.warped),
        ("M_misalign", palettes.grey(parts.misalign)),
        ("I^ result", fit.image),
    ]
    if person.iuv is not None:
        cells.insert(3, ("IUV DensePose", palettes.colour_iuv(person.iuv)))
    return sheet(cells, columns=6)
