"""Distinct 5x5 windows of a label map, found inside the graph with standard operators.

Two 3x3 convolutions over a label map see 5x5 labels. A parse map has few *different* windows: one
constant window per label covers 95 % of a 1024x768 map, and its outlines repeat some 2,000 more.
Windows are told apart by all their 25 labels (a hash only proposes pairs); the outside of the
picture counts as a label of its own; a window with a fractional label stands for itself.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from fuw.kernels.cpu.windows import REACH, SIDE

SNAP = 1e-6  # nearer to 0 or 1 than this is a clean label: the warped mask leaves residues of 6e-8
COUNT = 16.0  # more than any label; two hot channels then name no label
BUCKETS = 262139  # prime; a collision costs rows, never correctness
MIXERS = (1009, 1277, 1613, 1733, 1999)  # primes; sums stay below 2**30 (OpenVINO has only int32)
MOST_LABELS = 8  # for the same bound: 9**5 * sum(MIXERS) < 2**30
# Of a window's 25 places: the 3x3 that the first convolution sees, at each of the middle 3x3.
_INNER = [(y + i) * SIDE + x + j
          for y in range(3) for x in range(3) for i in range(3) for j in range(3)]
_MIDDLE = [y * SIDE + x for y in range(1, SIDE - 1) for x in range(1, SIDE - 1)]


class Patterns(NamedTuple):
    """The distinct windows of one label map.

    Attributes:
        row: (b, h, w) int64, each pixel's table row: its label where the whole window has that
            label, else `labels` + the place of its window in `windows`.
        windows: (u, 9, 9 * labels) float32: for the 3x3 pixels around the middle, the 3x3 labels
            that conv_shared sees, rows and columns before channels.
        inside: (u, 9, 1) float32, 0 where that pixel is outside the picture.
        constant: whether a row for each label comes first; else `windows` holds all rows.
    """

    row: torch.Tensor
    windows: torch.Tensor
    inside: torch.Tensor
    constant: bool = True


def label_codes(seg: torch.Tensor) -> torch.Tensor:
    """Name the label of every pixel: (b, labels, h, w) -> (b, h, w) float32.

    0..labels-1 where the pixel is one-hot within SNAP, labels + 1 where it is anything else
    (labels itself is kept for the outside of the picture).
    """
    labels = seg.shape[1]
    # Every channel near 0 or 1, and one of them near 1: COUNT for each that is, and its number.
    names = (torch.arange(labels, dtype=seg.dtype) + COUNT).view(1, -1, 1, 1)
    between = (seg * (1 - seg)).abs().sum(1)
    name = (seg * names).sum(1).round()
    hot = (between <= SNAP) & (name >= COUNT) & (name < COUNT + labels)
    return torch.where(hot, name - COUNT, torch.full_like(name, labels + 1.0))


def _constant_windows(code: torch.Tensor, labels: int) -> torch.Tensor:
    """(b, h, w) bool: the 5x5 window is one clean label and inside the picture."""
    padded = F.pad(code[:, None], (REACH,) * 4, value=float(labels))
    highest, lowest = padded, -padded
    for kernel in ((1, SIDE), (SIDE, 1)):
        highest = F.max_pool2d(highest, kernel, 1)
        lowest = F.max_pool2d(lowest, kernel, 1)
    return (highest[:, 0] == -lowest[:, 0]) & (code < labels)


def _representatives(codes: torch.Tensor, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For windows (n, 25) int32 codes: is it a row by itself, and the window that stands for it.

    One bucket per hash keeps one window; a window that differs from the one in its bucket stands
    for itself.
    """
    digits = torch.tensor([(labels + 1) ** i for i in range(SIDE)], dtype=torch.int32)
    fractional = (codes > labels).any(1, keepdim=True)
    lines = (codes.view(-1, SIDE, SIDE) * digits).sum(2, dtype=torch.int32)  # five lines a window
    lines = torch.where(fractional, -1, lines)
    mixed = (lines * torch.tensor(MIXERS, dtype=torch.int32)).sum(1, dtype=torch.int32)
    bucket = torch.remainder(mixed, BUCKETS).long()
    own = torch.arange(codes.shape[0])
    # Zeros out of the data: a constant this large would stand in the file, two megabytes a level.
    kept = (bucket.sum() * 0).expand(BUCKETS).scatter(0, bucket, own)
    representative = kept.index_select(0, bucket)
    differs = (lines != lines.index_select(0, representative)).any(1) | fractional[:, 0]
    alone = differs | (representative == own)
    return alone, torch.where(alone, own, representative)


def find_patterns(seg: torch.Tensor, code: torch.Tensor) -> Patterns:
    """The distinct 5x5 windows of seg (b, labels, h, w), given its `label_codes` (b, h, w).

    `index_select` and `embedding` instead of brackets: each is one Gather of the exported graph.
    """
    b, labels, h, w = seg.shape
    if labels > MOST_LABELS:
        raise ValueError(f"a label map of {labels} channels; windows of at most {MOST_LABELS} "
                         "labels can be told apart in 32 bits")
    rows, columns = h + 2 * REACH, w + 2 * REACH
    offsets = (torch.arange(SIDE)[:, None] * columns + torch.arange(SIDE)).flatten()
    pixel = torch.nonzero(~_constant_windows(code, labels).flatten())[:, 0]  # (n,)
    corner = pixel + 2 * REACH * (pixel // w)  # first corner of its window in the padded map
    if b > 1:
        corner = corner + 2 * REACH * columns * (pixel // (h * w))
    window = corner[:, None] + offsets  # (n, 25) places in the padded map
    padded_code = F.pad(code, (REACH,) * 4, value=float(labels)).int()
    codes = padded_code.view(-1).index_select(0, window.view(-1)).view(-1, SIDE * SIDE)
    alone, representative = _representatives(codes, labels)
    number = labels - 1 + torch.cumsum(alone.long(), 0)
    row = code.flatten().long().scatter(0, pixel, number.index_select(0, representative))

    chosen = torch.nonzero(alone)[:, 0]  # (u,)
    middle = codes.index_select(0, chosen).view(-1, SIDE, SIDE)[:, 1:-1, 1:-1]
    inside = (middle != labels).to(seg.dtype).reshape(-1, 9, 1)
    place = window.index_select(0, chosen)
    if b > 1:  # `window` counts one plane a sample, the map has `labels` of them
        place = place + (labels - 1) * rows * columns * (place[:, :1] // (rows * columns))
    place = place[:, :, None] + torch.arange(labels) * (rows * columns)  # (u, 25, labels)
    seen = F.pad(seg, (REACH,) * 4).view(-1).index_select(0, place.view(-1))
    seen = seen.view(-1, SIDE * SIDE, labels).index_select(1, torch.tensor(_INNER))
    return Patterns(row.view(b, h, w), seen.reshape(-1, 9, 9 * labels), inside)


def placed_patterns(seg: torch.Tensor, row: torch.Tensor, places: torch.Tensor) -> Patterns:
    """The windows that were found outside of the graph (`fuw.kernels.cpu.windows`).

    Args:
        seg: (b, labels, H, W) of the picture's size.
        row: (b, h, w) int32. places: (u, 25) int32 in the flat `seg`, -1 outside of the picture.
    """
    _, labels, height, width = seg.shape
    inside = (places >= 0).to(seg.dtype)
    channels = torch.arange(labels, dtype=places.dtype) * (height * width)
    at = places.clamp(min=0)[:, :, None] + channels
    seen = seg.reshape(-1).index_select(0, at.view(-1)).view(-1, SIDE * SIDE, labels)
    seen = (seen * inside[:, :, None]).index_select(1, torch.tensor(_INNER))
    middle = inside.index_select(1, torch.tensor(_MIDDLE))[:, :, None]
    return Patterns(row, seen.reshape(-1, 9, 9 * labels), middle, constant=False)
