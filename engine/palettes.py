"""Colours of label maps: the official VITON-HD palettes, and pictures of masks and IUV."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fuw.engine.arrays import U8
from fuw.engine.files import write_whole

Colour = tuple[int, int, int]

# VITON-HD's `image-parse-v3` PNGs (the LIP colour map); index = label id 0..19, RGB.
LABELS: tuple[Colour, ...] = (
    (0, 0, 0), (128, 0, 0), (254, 0, 0), (0, 85, 0), (169, 0, 51),  # ground hat hair glove glasses
    (254, 85, 0), (0, 0, 85), (0, 119, 220), (85, 85, 0), (0, 85, 85),  # upper dress coat sock pant
    (85, 51, 0), (52, 86, 128), (0, 128, 0), (0, 0, 254),  # neck (LIP: jumpsuit) scarf skirt face
    (51, 169, 220), (0, 254, 254), (85, 254, 169), (169, 254, 85),  # arms and legs: left, right
    (254, 254, 0), (254, 169, 0),  # shoes: left, right
)

# One colour a group, that of the label which gives the group its name. There is no official
# palette for these: the official code never writes them.
GROUPS_13: tuple[Colour, ...] = tuple(LABELS[i] for i in
                                      (0, 2, 13, 5, 9, 14, 15, 16, 17, 18, 19, 8, 11))

# VITON-HD's `image-densepose`: DensePose's part 0..24 through the Parula colour map, on black.
DENSEPOSE: tuple[Colour, ...] = (
    (0, 0, 0), (37, 60, 163), (20, 80, 194), (4, 97, 223), (8, 110, 221), (14, 122, 216),
    (20, 132, 212), (15, 144, 208), (11, 156, 203), (6, 166, 198), (22, 173, 185), (38, 179, 172),
    (55, 185, 159), (86, 187, 144), (114, 189, 130), (145, 191, 116), (170, 189, 105),
    (192, 188, 96), (216, 186, 86), (228, 192, 74), (240, 199, 60), (252, 206, 46), (251, 220, 36),
    (250, 235, 25), (249, 251, 14),
)


def colour(labels: U8, palette: tuple[Colour, ...]) -> U8:
    """Label ids u8 (H, W), each below len(palette), as a picture u8 (H, W, 3) RGB."""
    return np.array(palette, np.uint8)[labels]


def colour_labels(labels: U8) -> U8:
    """A parse map, ids 0..19, in VITON-HD's colours."""
    return colour(labels, LABELS)


def colour_groups(groups: U8) -> U8:
    """A map of 13 groups in the colours of their name-giving labels."""
    return colour(groups, GROUPS_13)


def colour_iuv(iuv: U8) -> U8:
    """DensePose u8 (H, W, 3: I, U, V) as VITON-HD's `image-densepose` shows it: parts on black."""
    return colour(np.minimum(iuv[..., 0], 24), DENSEPOSE)


def iuv_from_colours(picture: U8) -> U8:
    """Read `image-densepose` back: I by the nearest colour (JPEG blurs them); U and V are lost.

    u8 (H, W, 3) RGB -> u8 (H, W, 3) with U = V = 0. The thin rim between a part and the black
    ground can come out as a neighbouring part.
    """
    codes = (picture >> 3).astype(np.uint16)  # 32 levels a channel: one look-up a pixel
    index = codes[..., 0] << 10 | codes[..., 1] << 5 | codes[..., 2]
    out = np.zeros_like(picture)
    out[..., 0] = _nearest_part()[index]
    return out


def grey(mask: U8) -> U8:
    """A mask u8 (H, W) as a picture u8 (H, W, 3)."""
    return np.repeat(mask[..., None], 3, axis=2)


def save_labels(path: Path, labels: U8, palette: tuple[Colour, ...] | None = None) -> Path:
    """Write label ids u8 (H, W) as a palette PNG, as VITON-HD has its parse maps.

    `palette` colours them for the eye (default: VITON-HD's); the ids are what the file holds.
    Complete or absent; OutputError says why not.
    """
    image = Image.frombytes("P", (labels.shape[1], labels.shape[0]),
                            np.ascontiguousarray(labels).tobytes())
    image.putpalette([v for c in palette or LABELS for v in c])
    path = Path(path)
    write_whole(path, lambda handle: image.save(handle, "PNG"))
    return path


@cache
def _nearest_part() -> U8:
    """Part id for each of 32x32x32 colours."""
    levels = np.arange(32) * 8 + 4
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), 3).reshape(-1, 1, 3)
    distance = ((cube - np.array(DENSEPOSE)) ** 2).sum(2)
    nearest: U8 = distance.argmin(1).astype(np.uint8)
    return nearest
