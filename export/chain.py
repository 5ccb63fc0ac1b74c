"""What the fp32 chain asked its networks on two photos, and reduced ones asked the same.

The fp32 chain fits one garment to one person, and every network's questions and answers are kept.
Each reduced network is asked the same questions alone, and at the end the whole reduced chain
paints the picture again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from fuw.engine.arrays import F32, U8
from fuw.engine.backend import Model, Network
from fuw.engine.fitter import Fitter
from fuw.engine.nets import Networks
from fuw.engine.records import Fit
from fuw.engine.weights import Entry, read_manifest, write_manifest
from fuw.export import graph, precision, publish
from fuw.export.agreement import JUDGES, Agreement, Measured, psnr

Question = tuple[tuple[F32, ...], list[F32]]
"""The inputs of one call, and the answers to it."""


@dataclass(frozen=True)
class Reference:
    """What the fp32 chain made of two photos.

    Attributes:
        plain: folder with its fp32 files.
        photos: a person and a garment.
        asked: every call of every network that took part.
        picture: u8 (H, W, 3) RGB.
        size: (height, width) of the picture.
        threads: of a network; 0 means all cores.
    """

    plain: Path
    photos: tuple[Path, Path]
    asked: Mapping[str, Sequence[Question]]
    picture: U8
    size: tuple[int, int] = (1024, 768)
    threads: int = 0

    def worst(self, model: Model, ask: Callable[..., Sequence[F32]]) -> Measured:
        """The worst of the network's answers to what the fp32 chain asked it."""
        name = model.spec.name
        measured = [JUDGES[name](model, want, ask(*inputs), self.size)
                    for inputs, want in self.asked[name]]
        return max(measured, key=lambda one: one.excess)


def ask_plain(plain: Path, photos: tuple[Path, Path], size: tuple[int, int] = (1024, 768),
              threads: int = 0) -> Reference:
    """Fit in fp32 with the files in `plain`, which hold a whole chain."""
    with _opened(plain, size, threads) as fitter:
        taps = _Taps(fitter.nets)
        fitter.nets = taps
        picture = _fit(fitter, photos).image
    return Reference(plain, photos, taps.kept, picture, size, threads)


def judge_chain(reference: Reference, reduced: Path, kind: str) -> list[Agreement]:
    """Agreement of every reduced network with its fp32 one, and of the whole chain.

    Args:
        reduced: exported folder with files of precision `kind`; networks that it lacks stay fp32.

    Returns:
        One agreement per reduced network that the fit used, then one of the whole chain.
    """
    with TemporaryDirectory(prefix="fuw-") as folder:
        names = _rounded(reference.plain, reduced, kind, Path(folder))
        with _opened(Path(folder), reference.size, reference.threads) as low:
            alone = [Agreement(name, kind, reference.worst(low.nets[name].model, low.nets[name]))
                     for name in JUDGES if name in names and name in reference.asked]
            got = _fit(low, reference.photos)
    whole = Measured("picture, dB", psnr(reference.picture, got.image, 255.0), 40.0, "dB")
    return [*alone, Agreement("", kind, whole)]


def _opened(folder: Path, size: tuple[int, int], threads: int) -> Fitter:
    return Fitter.open(weights=str(folder), backend="ort-cpu", precision="fp32", size=size,
                       threads=threads)


def _fit(fitter: Fitter, photos: tuple[Path, Path]) -> Fit:
    return fitter.fit(fitter.person(photos[0]), fitter.garment(photos[1]))


class _Taps(Networks):
    """Networks that keep every question and answer."""

    def __init__(self, nets: Networks) -> None:
        self._inner, self.mask_net = nets, nets.mask_net
        self.kept: dict[str, list[Question]] = {}

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
    def __init__(self, net: Network, kept: list[Question]) -> None:
        self.model, self._net, self._kept = net.model, net, kept

    def __call__(self, *inputs: F32) -> list[F32]:
        answers = self._net(*inputs)
        self._kept.append((inputs, answers))
        return answers


def _rounded(plain: Path, reduced: Path, kind: str, folder: Path) -> set[str]:
    """Fill `folder` with fp32 files that round as the reduced ones do, where there is one of that
    size; returns their networks' names."""
    low = {publish.shape(e): e for e in read_manifest(reduced) if e.precision == kind}
    names, entries = set[str](), list[Entry]()
    for entry in read_manifest(plain):
        if entry.precision != "fp32":
            continue
        target = folder / entry.file
        if publish.shape(entry) in low:
            model = graph.load(reduced / low[publish.shape(entry)].file)
            graph.save(precision.simulate(model), target)
            names.add(entry.network)
        else:
            target.symlink_to((plain / entry.file).resolve())
        entries.append(replace(entry, sha256="", extra={}))
    write_manifest(folder, entries)
    return names
