"""The geometric matching module: L_warp = L1 + lambda_const L_const, and true correspondences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuw.engine.arrays import F32, U8
from fuw.export.nets import build
from fuw.export.nets.tps import control_points, tps_grid, warp
from fuw.kernels.cpu import gmm_input, group7, group13, signed
from fuw.starter.training import upstream
from fuw.starter.training.conditions import Fittings
from fuw.starter.training.data import Figures, Photos, Sample
from fuw.starter.training.loop import VARIANT, Batch
from fuw.starter.training.losses import second_order

UPPER = 2
SIZE = (256, 192)
PAIRS = 512  # correspondences used of a sample
OTHERS = (1, 2, 3, 4, 5, 6)  # groups that may hide the garment


def correspondences(rng: np.random.Generator, corr: F32, height: int, width: int,
                    place: F32 | None = None) -> F32:
    """(PAIRS, 4): worn x, y and product x, y in -1..1 (pixel edges); nan where there are none.

    place: (2, 3), where the product was moved to, in pixel edges.
    """
    rows, columns = np.nonzero(np.isfinite(corr[..., 0]))
    out = np.full((PAIRS, 4), np.nan, np.float32)
    if len(rows) == 0:
        return out
    chosen = rng.integers(len(rows), size=PAIRS)
    worn = corr[rows[chosen], columns[chosen]]
    step = height / corr.shape[0]
    product = np.stack([columns[chosen], rows[chosen]], 1) * step
    if place is not None:
        product = (product + 0.5) @ place[:, :2].T + place[:, 2] - 0.5
    for k, points in ((0, worn), (2, product)):
        out[:, k] = (points[:, 0] + 0.5) * 2 / width - 1
        out[:, k + 1] = (points[:, 1] + 0.5) * 2 / height - 1
    return out


@dataclass
class Matching:
    """Task of the loop."""

    figures: Figures
    photos: Photos
    size: int = SIZE[0]
    name: str = "gmm"
    batch: int = 12
    peak_lr: float = 1e-3
    fittings: Fittings = field(init=False)

    def __post_init__(self) -> None:
        self.fittings = Fittings(self.figures, shrink=2)

    def build(self) -> nn.Module:
        return build("gmm", variant=VARIANT)

    def draw(self, rng: np.random.Generator) -> Sample:
        f = self.fittings.draw(rng)
        parse = group7(group13(f.truth_parse))
        worn = parse
        if rng.random() < 0.5:  # the region is predicted
            parse = upstream.seen_region(rng, upstream.seen_parse(rng, parse), UPPER)
        a, b = gmm_input(parse, f.skeleton, f.agnostic, f.garment)
        return {"a": a[0], "b": b[0], "worn": signed(small(f.truth))[0],
                "mask": small(f.mask).astype(np.float32)[None] / 255,
                "upper": (small(worn) == UPPER)[None].astype(np.float32),
                "hidden": np.isin(small(worn), OTHERS)[None].astype(np.float32),
                "pairs": correspondences(rng, f.corr, *worn.shape, f.place)}

    def loss(self, net: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        theta = net(batch["a"], batch["b"]).float()
        with torch.autocast(theta.device.type, enabled=False):
            grid = tps_grid(theta, *SIZE)
            return self._loss(theta, grid, batch)

    def _loss(self, theta: Tensor, grid: Tensor, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        upper = batch["upper"]
        area = upper.sum((1, 2, 3)).clamp(min=1)
        colours = (warp(batch["b"], grid) - batch["worn"]).abs().mean(1, keepdim=True)
        look = ((colours * upper).sum((1, 2, 3)) / area).mean()
        mask = warp(batch["mask"], grid)
        # Under arms and hair the garment may or may not be: no opinion there.
        ground = (1 - upper) * (1 - batch["hidden"])
        wrong = upper * (1 - mask) + ground * mask
        cover = (wrong.sum((1, 2, 3)) / area).mean()
        points = places(theta)
        bend = second_order(points)
        match = _match(grid, batch["pairs"])
        loss = look + cover + 20 * match + 0.05 * bend
        either = (mask.clamp(min=0) * (1 - batch["hidden"]) + upper).clamp(max=1).sum((1, 2, 3))
        iou = ((mask * upper).sum((1, 2, 3)) / either.clamp(min=1)).mean()
        return loss, {"look": float(look.detach()), "cover": float(cover.detach()),
                      "match": float(match.detach()), "bend": float(bend.detach()),
                      "iou": float(iou.detach())}


def small(picture: U8) -> U8:
    """At the matcher's size by nearest neighbour, as its inputs are shrunk."""
    rows = np.arange(SIZE[0]) * picture.shape[0] // SIZE[0]
    columns = np.arange(SIZE[1]) * picture.shape[1] // SIZE[1]
    return np.ascontiguousarray(picture[rows[:, None], columns])


def places(theta: Tensor) -> Tensor:
    """theta (b, 50) -> where the control points go, (b, 5, 5, 2)."""
    points = control_points().to(theta) + theta.reshape(len(theta), 2, -1).transpose(1, 2)
    return points.reshape(len(theta), 5, 5, 2)


def _match(grid: Tensor, pairs: Tensor) -> Tensor:
    """Mean distance between where the grid samples at worn places and the true product places.

    In halves of the picture; grid (b, h, w, 2), pairs (b, n, 4) with nan for none.
    """
    known = torch.isfinite(pairs[..., 0])
    safe = torch.where(known[..., None], pairs, torch.zeros_like(pairs))
    here = F.grid_sample(grid.permute(0, 3, 1, 2), safe[:, :, None, :2], mode="bilinear",
                         padding_mode="border", align_corners=False)[..., 0]  # (b, 2, n)
    off = (here.transpose(1, 2) - safe[..., 2:]).abs().sum(-1)
    # Small errors by L1, the rare wrong pair (a fold, a sleeve) not more than a large one.
    return (off.clamp(max=0.5) * known).sum() / known.sum().clamp(min=1)
