"""Where training samples come from: rendered figures and the CC0 garment photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from fuw.engine.arrays import U8
from fuw.engine.errors import FuwError
from fuw.starter.figures import sample_io

Sample = dict[str, Any]  # arrays (or numbers) that the default collation can stack
RESCAN = 256  # samples between two looks at a folder that is still being filled
KEPT_PHOTOS = 160  # decoded garment photos kept at hand, about 0.5 MB each


@dataclass
class Figures:
    """Random access to a folder of figures; pictures and labels are decoded on demand.

    Attributes:
        folder: written by `fuw.starter.figures`; may still grow while training runs.
    """

    folder: Path
    _seeds: list[int] = field(default_factory=list)
    _drawn: int = 0

    def __len__(self) -> int:
        return len(self.seeds())

    def seeds(self) -> list[int]:
        """All complete figures; read again every `RESCAN` calls."""
        if self._drawn % RESCAN == 0 or not self._seeds:
            self._seeds = sample_io.seeds(self.folder)
            if not self._seeds:
                raise FuwError(f"{self.folder}: no figures here; render some (fuw.starter.figures)")
        self._drawn += 1
        return self._seeds

    def pick(self, rng: np.random.Generator) -> int:
        """The seed of a random figure."""
        seeds = self.seeds()
        return seeds[int(rng.integers(len(seeds)))]

    def picture(self, seed: int, which: str, shrink: int = 1) -> U8:
        """See `sample_io.read_picture`."""
        return sample_io.read_picture(self.folder, seed, which, shrink)

    def labels(self, seed: int, *keys: str) -> list[np.ndarray]:  # type: ignore[type-arg]
        """The named arrays of a figure's labels; iuv as (H, W, 3)."""
        found = sample_io.read_labels(self.folder, seed, *keys)
        return [found[key] for key in keys]


class Photos:
    """Random real photos of garments (CC0): clutter for grounds and cloth for textures."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(p for p in folder.glob("*/*") if p.suffix in {".jpg", ".jpeg", ".png"})
        if not self.paths:
            raise FuwError(f"{folder}: no garment photos here; fetch them (fuw.starter.fetch)")
        self._kept: list[U8] = []

    def pick(self, rng: np.random.Generator) -> U8:
        """A photo, u8 (H, W, 3) RGB; mostly one that is decoded already."""
        if len(self._kept) < KEPT_PHOTOS or rng.random() < 0.1:
            photo = sample_io.read_rgb(self.paths[int(rng.integers(len(self.paths)))])
            if len(self._kept) < KEPT_PHOTOS:
                self._kept.append(photo)
            else:
                self._kept[int(rng.integers(KEPT_PHOTOS))] = photo
            return photo
        return self._kept[int(rng.integers(len(self._kept)))]

    def crop(self, rng: np.random.Generator, height: int, width: int,
             share: tuple[float, float] = (0.3, 1.0)) -> U8:
        """A random part of a photo (`share` of its shorter side) enlarged to height x width."""
        photo = self.pick(rng)
        h, w = photo.shape[:2]
        part = rng.uniform(*share) * min(h / height, w / width)
        ph, pw = max(8, int(height * part)), max(8, int(width * part))
        y, x = int(rng.integers(h - ph + 1)), int(rng.integers(w - pw + 1))
        piece = photo[y : y + ph, x : x + pw]
        return cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


class Stream(IterableDataset[Sample]):
    """An endless stream of samples; every worker and every restart draws others."""

    def __init__(self, draw: Callable[[np.random.Generator], Sample], seed: int) -> None:
        self.draw, self.seed = draw, seed

    def __iter__(self) -> Iterator[Sample]:
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            yield self.draw(rng)


def loader(draw: Callable[[np.random.Generator], Sample], seed: int, batch: int,
           workers: int) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of `draw`'s samples, made in `workers` processes ahead of the training."""
    stream = Stream(draw, seed)
    options: dict[str, Any] = {"prefetch_factor": 3} if workers else {}
    return iter(DataLoader(stream, batch_size=batch, num_workers=workers, **options))
