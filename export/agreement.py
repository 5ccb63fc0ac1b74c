"""Reduced networks judged by what a user sees of them: labels, key points, masks, the picture.

Relative errors say little about an arg max. So the fp32 chain fits one garment to one person, every
network's questions and answers are kept, each reduced network is asked the same questions alone,
and at the end the whole reduced chain paints the picture again. With made-up weights none of this
means anything; with the starter weights or the official ones it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from fuw.engine import keypoints
from fuw.engine.arrays import F32, U8
from fuw.engine.backend import Model, Network
from fuw.engine.fitter import Fitter
from fuw.engine.nets import Networks
from fuw.engine.weights import Entry, read_manifest, write_manifest
from fuw.export import graph, precision
from fuw.kernels import cpu

SIDE = np.float32(1000)  # of the square that hands are placed in
HAND_PIXELS = 2.5  # of the network's picture: a step of the arg max, and its neighbour
Judge = Callable[[Model, Sequence[F32], Sequence[F32], tuple[int, int]], "Measured"]


@dataclass(frozen=True)
class Measured:
    """A figure, what it may be at worst, and whether more of it is better."""

    what: str
    value: float
    gate: float
    more: bool = True

    @property
    def ok(self) -> bool:
        """Whether the gate holds."""
        return self.value >= self.gate if self.more else self.value <= self.gate

    @property
    def margin(self) -> float:
        """How far inside its gate it lies, as a share of the gate; negative where it is missed."""
        return (self.value - self.gate) / self.gate * (1 if self.more else -1)


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
        return (f"{self.network or 'whole chain'} {self.precision}: {m.what} {m.value:.6g} (at "
                f"{'least' if m.more else 'most'} {m.gate:g}): {'holds' if m.ok else 'MISSED'}")


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
    return Measured("key points off by pixels", _distance(people[0][:1], people[1][:1]), 0.5, False)


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
    return Measured("control points off by pixels", off, 0.25, False)


def _alias(model: Model, want: Sequence[F32], got: Sequence[F32],
           size: tuple[int, int]) -> Measured:
    return Measured("picture, dB", psnr(want[0], got[0], 2.0), 40.0)


JUDGES: dict[str, Judge] = {
    "openpose_body": _body, "openpose_hand": _hand, "schp": _schp, "densepose": _densepose,
    "u2net": _u2net, "u2netp": _u2net, "tracer_b7": _tracer, "seg": _seg, "gmm": _gmm,
    "alias": _alias,
}  # fmt: skip


def psnr(want: F32 | U8, got: F32 | U8, peak: float) -> float:
    """Peak signal to noise ratio, dB."""
    error = float(np.mean((want.astype(np.float64) - got) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


class _Taps(Networks):
    """Networks that keep every question and answer."""

    def __init__(self, nets: Networks) -> None:
        self._inner, self.mask_net = nets, nets.mask_net
        self.kept: dict[str, list[tuple[tuple[F32, ...], list[F32]]]] = {}

    def __getitem__(self, name: str) -> Network:
        return cast(Network, _Tap(self._inner[name], self.kept.setdefault(name, [])))

    def __iter__(self) -> Iterator[str]:
        return iter(self._inner)

    def __len__(self) -> int:
        return len(self._inner)

    def plain(self, name: str) -> Network:
        return self._inner.plain(name)

    def origins(self) -> dict[str, str]:
        return self._inner.origins()

    def close(self) -> None:
        self._inner.close()


class _Tap:
    def __init__(self, net: Network, kept: list[tuple[tuple[F32, ...], list[F32]]]) -> None:
        self.model, self._net, self._kept = net.model, net, kept

    def __call__(self, *inputs: F32) -> list[F32]:
        answers = self._net(*inputs)
        self._kept.append((inputs, answers))
        return answers


def judge_chain(plain: Path, reduced: Path, kind: str, person: Path, cloth: Path, *,
                size: tuple[int, int] = (1024, 768), threads: int = 0) -> list[Agreement]:
    """Agreement of every reduced network with its fp32 one, and of the whole chain.

    Args:
        plain: exported folder with fp32 files of a whole chain.
        reduced: exported folder with files of precision `kind`; networks that it lacks stay fp32.
        person, cloth: photos to fit.

    Returns:
        One agreement per reduced network that the fit used, then one of the whole chain.
    """
    opened: dict[str, Any] = {"backend": "ort-cpu", "precision": "fp32", "size": size,
                              "threads": threads}
    with TemporaryDirectory(prefix="fuw-") as folder:
        names = _rounded(plain, reduced, kind, Path(folder))
        with Fitter.open(weights=str(plain), **opened) as fitter:
            taps = _Taps(fitter.nets)
            fitter.nets = taps
            want = fitter.fit(fitter.person(person), fitter.garment(cloth))
        with Fitter.open(weights=folder, **opened) as low:
            alone = [Agreement(name, kind, _asked_alone(low.nets[name], taps.kept[name], size))
                     for name in JUDGES if name in names and name in taps.kept]
            got = low.fit(low.person(person), low.garment(cloth))
    whole = Measured("picture, dB", psnr(want.image, got.image, 255.0), 40.0)
    return [*alone, Agreement("", kind, whole)]


def _asked_alone(net: Network, kept: Sequence[tuple[tuple[F32, ...], list[F32]]],
                 size: tuple[int, int]) -> Measured:
    """The worst of the network's answers to the questions of the fp32 chain."""
    measured = [JUDGES[net.model.spec.name](net.model, want, net(*inputs), size)
                for inputs, want in kept]
    return min(measured, key=lambda m: m.value if m.more else -m.value)


def _rounded(plain: Path, reduced: Path, kind: str, folder: Path) -> set[str]:
    """Fill `folder` with fp32 files that round as the reduced ones do; returns their names."""
    low = {e.network: e for e in read_manifest(reduced) if e.precision == kind}
    entries: list[Entry] = []
    for entry in read_manifest(plain):
        if entry.precision != "fp32":
            continue
        target = folder / entry.file
        if entry.network in low:
            model = graph.load(reduced / low[entry.network].file)
            graph.save(precision.simulate(model), target)
        else:
            target.symlink_to((plain / entry.file).resolve())
        entries.append(replace(entry, sha256=""))
    write_manifest(folder, entries)
    return set(low)
