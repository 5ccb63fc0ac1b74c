"""Reduced networks judged by what a user sees of them: labels, key points, masks, the picture.

Relative errors say little about an arg max. With made-up weights none of this means anything; with
the starter weights or the official ones it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fuw.engine import keypoints
from fuw.engine.arrays import F32, U8
from fuw.engine.backend import Model
from fuw.kernels import cpu

SIDE = np.float32(1000)  # of the square that hands are placed in
HAND_PIXELS = 2.5  # of the network's picture: a step of the arg max, and its neighbour
Judge = Callable[[Model, Sequence[F32], Sequence[F32], tuple[int, int]], "Measured"]


@dataclass(frozen=True)
class Measured:
    """A figure and what it may be at worst.

    Attributes:
        scale: "share" of what is equal, 0..1; "dB" of a picture; "error", of which less is better.
    """

    what: str
    value: float
    gate: float
    scale: Literal["share", "dB", "error"] = "share"

    @property
    def ok(self) -> bool:
        """Whether the gate holds."""
        return self.value <= self.gate if self.scale == "error" else self.value >= self.gate

    @property
    def excess(self) -> float:
        """The error as a multiple of what the gate allows."""
        if self.scale == "dB":
            return float(10 ** ((self.gate - self.value) / 20))
        if self.scale == "share":
            return (1 - self.value) / (1 - self.gate)
        return self.value / self.gate


@dataclass(frozen=True)
class Agreement:
    """How a reduced network ("" for the whole chain) agrees with fp32."""

    network: str
    precision: str
    measured: Measured

    @property
    def ok(self) -> bool:
        """Whether the gate holds."""
        return self.measured.ok

    def __str__(self) -> str:
        m = self.measured
        bound = "most" if m.scale == "error" else "least"
        return (f"{self.network or 'whole chain'} {self.precision}: {m.what} {m.value:.6g} (at "
                f"{bound} {m.gate:g}): {'holds' if m.ok else 'MISSED'}")


def _share(what: str, pair: Sequence[U8], gate: float) -> Measured:
    return Measured(what, float((pair[0] == pair[1]).mean()), gate)


def _schp(model: Model, want: Sequence[F32], got: Sequence[F32], size: tuple[int, int]) -> Measured:
    side = model.sizes["height"]
    labels = [cpu.schp_labels(x[0], *size, side) for x in (want, got)]
    return _share("equal labels", labels, 0.995)


def _seg(model: Model, want: Sequence[F32], got: Sequence[F32], size: tuple[int, int]) -> Measured:
    return _share("equal labels", [cpu.seg_labels(x[0], *size) for x in (want, got)], 0.995)


def _densepose(model: Model, want: Sequence[F32], got: Sequence[F32],
               size: tuple[int, int]) -> Measured:
    parts = [np.where(x[0].argmax(1) == 1, x[1].argmax(1), 0).astype(np.uint8)
             for x in (want, got)]
    return _share("equal parts", parts, 0.995)


def _u2net(model: Model, want: Sequence[F32], got: Sequence[F32],
           size: tuple[int, int]) -> Measured:
    masks = [cpu.binary_mask(cpu.u2net_mask(x[0], *size)) for x in (want, got)]
    return _share("equal mask", masks, 0.998)


def _tracer(model: Model, want: Sequence[F32], got: Sequence[F32],
            size: tuple[int, int]) -> Measured:
    masks = [cpu.binary_mask(cpu.tracer_mask(x[0], *size)) for x in (want, got)]
    return _share("equal mask", masks, 0.998)


def _body(model: Model, want: Sequence[F32], got: Sequence[F32],
          size: tuple[int, int]) -> Measured:
    scale = size[0] / model.sizes["height"]
    people = [keypoints.decode_body(x[0][0], scale) for x in (want, got)]
    apart = _distance(people[0][:1], people[1][:1])
    return Measured("key points off by pixels", apart, 0.5, "error")


def _hand(model: Model, want: Sequence[F32], got: Sequence[F32],
          size: tuple[int, int]) -> Measured:
    """An arg max steps by whole pixels, and at a tie it leaps: so leaps are counted."""
    boxes = np.tile(np.array([0, 0, SIDE, SIDE], np.float32), (2, 1))
    hands = [keypoints.decode_hands(x[0], boxes) for x in (want, got)]
    apart = np.linalg.norm(hands[0][..., :2] - hands[1][..., :2], axis=-1)
    near = apart <= HAND_PIXELS * SIDE / model.sizes["width"]
    return Measured("hand points in their place", float(near.mean()), 0.98)


def _distance(want: F32, got: F32) -> float:
    """Greatest between points that both found; infinite for another number of people."""
    if want.shape != got.shape:
        return float("inf")
    both = (want[..., 2] > 0) & (got[..., 2] > 0)
    apart = np.linalg.norm(want[..., :2] - got[..., :2], axis=-1)[both]
    return float(apart.max()) if apart.size else 0.0


def _gmm(model: Model, want: Sequence[F32], got: Sequence[F32],
         size: tuple[int, int]) -> Measured:
    pixels = np.repeat([size[1] / 2, size[0] / 2], 25)  # theta: 25 x, then 25 y, in -1..1
    off = float(np.abs((want[0] - got[0]) * pixels).max())
    return Measured("control points off by pixels", off, 0.25, "error")


def _alias(model: Model, want: Sequence[F32], got: Sequence[F32],
           size: tuple[int, int]) -> Measured:
    return Measured("picture, dB", psnr(want[0], got[0], 2.0), 40.0, "dB")


JUDGES: dict[str, Judge] = {
    "openpose_body": _body, "openpose_hand": _hand, "schp": _schp, "densepose": _densepose,
    "u2net": _u2net, "u2netp": _u2net, "tracer_b7": _tracer, "seg": _seg, "gmm": _gmm,
    "alias": _alias,
}  # fmt: skip


def psnr(want: F32 | U8, got: F32 | U8, peak: float) -> float:
    """Peak signal to noise ratio, dB."""
    error = float(np.mean((want.astype(np.float64) - got) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))
