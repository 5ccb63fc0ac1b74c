"""The files of one figure: the same person, pose, camera and light, dressed in garment A and in B.

For a seed the stem is ``{seed:07d}`` and the files are

===============  ==============================================================================
``_a.jpg``       the person in garment A, u8 (H, W, 3)
``_b.jpg``       the person in garment B
``_ga.jpg``      in-shop picture of garment A, same size
``_gb.jpg``      in-shop picture of garment B
``_labels.npz``  parse, mask, iuv, corr of A and B; body and hands (the same for both)
``_meta.json``   what was drawn; written last, so its presence means the figure is complete
===============  ==============================================================================
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.errors import FuwError

U8 = npt.NDArray[np.uint8]
F16 = npt.NDArray[np.float16]
F32 = npt.NDArray[np.float32]

NECK, FACE = 10, 13  # VITON-HD ids
CORR_STEP = 4  # correspondence is kept for every fourth product pixel each way


@dataclass(frozen=True)
class Dressed:
    """One person picture and the garment it wears."""

    person: U8  # (H, W, 3) RGB
    garment: U8  # (H, W, 3) RGB, in-shop
    parse: U8  # (H, W) VITON-HD ids 0..19; 10 is neck and torso skin
    mask: U8  # (H, W) garment mask of the in-shop picture, 0 or 255
    iuv: U8  # (H, W, 3): part 0..24, U, V
    corr: F16  # (H/4, W/4, 2): product pixel (4i, 4j) -> worn x, y in pixels, or nan where hidden

    @property
    def lip(self) -> U8:
        """The parse as LIP would label it; see `viton_to_lip`."""
        return viton_to_lip(self.parse)


@dataclass(frozen=True)
class Figure:
    """The same person dressed twice: `b` is the true answer to "put garment B on person A"."""

    seed: int
    a: Dressed
    b: Dressed
    body: F32  # (25, 3) BODY_25: x, y in pixels, visible (inside the picture) 0 or 1
    hands: F32  # (2, 21, 3) left, right: x, y in pixels, visible
    meta: Mapping[str, Any]


def viton_to_lip(parse: U8) -> U8:
    """Turn VITON-HD ids into LIP ids: neck skin joined to the face is face, other torso skin 0.

    LIP has no neck: its annotators gave the neck to the face and had no label for a bare belly.
    u8 (H, W) -> u8 (H, W).
    """
    out = parse.copy()
    skin = (parse == NECK) | (parse == FACE)
    _, pieces = cv2.connectedComponents(skin.astype(np.uint8))
    with_face = np.unique(pieces[parse == FACE])
    neck = parse == NECK
    joined = neck & np.isin(pieces, with_face)
    out[neck] = 0
    out[joined] = FACE
    return out


def stem(folder: str | os.PathLike[str], seed: int) -> Path:
    """The common beginning of a figure's file names."""
    return Path(folder) / f"{seed:07d}"


def seeds(folder: str | os.PathLike[str]) -> list[int]:
    """The seeds of all complete figures in a folder, ascending."""
    return sorted(int(p.name[:7]) for p in Path(folder).glob("[0-9]*_meta.json"))


def write(folder: str | os.PathLike[str], figure: Figure, quality: int = 92) -> None:
    """Write a figure's six files, each beside its name and renamed, `_meta.json` last."""
    base = stem(folder, figure.seed)
    base.parent.mkdir(parents=True, exist_ok=True)
    a, b = figure.a, figure.b
    pictures = {"_a": a.person, "_b": b.person, "_ga": a.garment, "_gb": b.garment}
    for suffix, picture in pictures.items():
        _place(base, f"{suffix}.jpg", encode(picture, quality))
    labels = io.BytesIO()
    np.savez_compressed(
        labels,
        parse_a=a.parse, parse_b=b.parse, mask_ga=a.mask, mask_gb=b.mask,
        iuv_a=_planes(a.iuv), iuv_b=_planes(b.iuv), corr_a=a.corr, corr_b=b.corr,
        body=figure.body, hands=figure.hands,
    )  # fmt: skip
    _place(base, "_labels.npz", labels.getvalue())
    _place(base, "_meta.json", json.dumps(dict(figure.meta), default=str).encode())


def read(folder: str | os.PathLike[str], seed: int) -> Figure:
    """Read a figure back. Raises FuwError, naming the file, where one is missing or broken."""
    base = stem(folder, seed)
    labels = read_labels(folder, seed)
    picture = {k: read_picture(folder, seed, k) for k in ("a", "b", "ga", "gb")}

    def dressed(which: str) -> Dressed:
        return Dressed(
            person=picture[which],
            garment=picture["g" + which],
            parse=labels["parse_" + which],
            mask=labels["mask_g" + which],
            iuv=labels["iuv_" + which],
            corr=labels["corr_" + which],
        )

    meta = json.loads(base.with_name(f"{base.name}_meta.json").read_text())
    return Figure(seed, dressed("a"), dressed("b"), labels["body"], labels["hands"], meta)


def read_labels(folder: str | os.PathLike[str], seed: int,
                *keys: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `_labels.npz` (no picture decoded), all or those named; iuv as (H, W, 3)."""
    base = stem(folder, seed)
    path = base.with_name(f"{base.name}_labels.npz")
    try:
        with np.load(path) as f:
            labels = {k: f[k] for k in keys or f.files}
    except (OSError, ValueError, KeyError) as e:
        raise FuwError(f"{path}: cannot be read as a figure's labels ({e}); render it again") from e
    return {k: np.ascontiguousarray(a.transpose(1, 2, 0)) if k.startswith("iuv") else a
            for k, a in labels.items()}


def read_picture(folder: str | os.PathLike[str], seed: int, which: str, shrink: int = 1) -> U8:
    """Picture "a", "b" (person) or "ga", "gb" (garment) of a figure, u8 (H, W, 3) RGB."""
    base = stem(folder, seed)
    return read_rgb(base.with_name(f"{base.name}_{which}.jpg"), shrink)


def read_rgb(path: Path, shrink: int = 1) -> U8:
    """A picture, u8 (H, W, 3) RGB; `shrink` 2 decodes at half size, in a third of the time.

    Raises FuwError where there is none.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2 if shrink == 2 else cv2.IMREAD_COLOR)
    if picture is None:
        raise FuwError(f"{path}: missing or not a picture; render or fetch it again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _planes(iuv: U8) -> U8:
    # Plane by plane, U and V in steps of two: half the compressed size, and a step of two in
    # 0..255 is finer than any network tells apart.
    planes = np.ascontiguousarray(iuv.transpose(2, 0, 1))
    planes[1:] &= 0xFE
    return planes


def _place(base: Path, suffix: str, data: bytes) -> None:
    path = base.with_name(base.name + suffix)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)


def encode(rgb: U8, quality: int) -> bytes:
    """A picture (H, W, 3) as the bytes of a JPEG file."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    ok, data = cv2.imencode(".jpg", rgb[..., ::-1], flags)
    if not ok:
        raise FuwError("OpenCV could not encode a picture as JPEG; is its shape (H, W, 3) u8?")
    return bytes(data)
