"""A real garment photo as the in-shop picture, mapped onto the shell by a thin-plate spline."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fuw.starter.figures.cutout import HEIGHT, WIDTH, Candidate, corners, cut_out
from fuw.starter.figures.fabric import F32, read_photo
from fuw.starter.figures.garment import GarmentSpec, cut
from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.shell import Shell
from fuw.starter.figures.template import Template

KINDS = ("t-shirt", "longsleeve", "shirt", "outwear")


@dataclass(frozen=True)
class PhotoGarment:
    """A photo placed on the product canvas, and where every panel vertex lies on it."""

    image: F32  # (H, W, 3) sRGB 0..1
    mask: npt.NDArray[np.uint8]  # (H, W) 0 or 255
    xy: Array  # (n, 2) product pixels per panel vertex
    spec: GarmentSpec
    path: str


def photo_files(material: Material) -> list[Path]:
    """All garment photos, in a fixed order."""
    return [p for kind in KINDS for p in sorted((material.garments / kind).glob("*.jpg"))]


def _examine(photo: Path) -> Candidate | None:
    mask = cut_out(read_photo(photo), np.random.default_rng(0))
    found = corners(mask) if mask is not None else None
    if mask is None or found is None:
        return None
    return Candidate(f"{photo.parent.name}/{photo.name}", photo.parent.name, mask, *found)


class PhotoLibrary:
    """All photos that cut out, landmark and map without folds.

    Making it takes some minutes the first time, then it is in the cache.
    """

    def __init__(self, material: Material, shell: Shell, processes: int = 2) -> None:
        self.material, self.shell = material, shell
        self.template = Template(shell)
        self.files = photo_files(material)
        self.usable = material.cached("photos", lambda: self._examine_all(processes))

    def _examine_all(self, processes: int) -> list[Candidate]:
        with multiprocessing.Pool(processes) as pool:
            found = [c for c in pool.map(_examine, self.files, chunksize=8) if c]
        rng = np.random.default_rng(0)
        return [c for c in found if any(self.try_on(c, rng, 384) for _ in range(3))]

    def draw(self, rng: np.random.Generator, width: int, tries: int = 40) -> PhotoGarment | None:
        """A usable photo, long sleeves as often as short ones; None where luck fails."""
        by_sleeve = [
            [c for c in self.usable if (c.kind == "longsleeve") == long] for long in (False, True)
        ]
        for _ in range(tries):
            pool = by_sleeve[int(rng.random() < 0.5)] or self.usable
            if not pool:
                return None
            garment = self.try_on(pool[rng.integers(len(pool))], rng, width)
            if garment:
                return garment
        return None

    def try_on(self, c: Candidate, rng: np.random.Generator, width: int) -> PhotoGarment | None:
        """Map one photo onto the shell; None where it does not fit the template."""
        a, b = c.corners["image_left"], c.corners["image_right"]
        across = b["pit"][0] - a["pit"][0]
        sleeve = [
            np.linalg.norm((s["inner"] + s["outer"] - s["pit"] - s["neck"]) / 2) for s in (a, b)
        ]
        if np.mean(sleeve) / across < 0.22:
            return None  # no sleeves: another template would be needed
        spec = self.template.spec_for(c, rng)
        xy = self.template.spline(c, spec)
        image, mask, place = self._place(c, width)
        size = np.array([image.shape[1], image.shape[0]], float)
        xy = xy @ place[:, :2].T + place[:, 2]
        return (
            PhotoGarment(image, mask, xy, spec, c.path)
            if self._maps_well(xy, spec, mask, size)
            else None
        )

    def _place(self, c: Candidate, width: int) -> tuple[F32, npt.NDArray[np.uint8], Array]:
        """The cut-out centred on the product canvas; the affine map is from examined pixels."""
        photo = read_photo(self.material.garments / c.path)
        height = width * 4 // 3
        big = cv2.resize(
            c.mask * 255, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_CUBIC
        )
        ys, xs = np.where(big > 127)
        k = min(width * 0.86 / (xs.max() - xs.min()), height * 0.8 / (ys.max() - ys.min()))
        shift = [
            width / 2 - k * (xs.max() + xs.min()) / 2,
            height / 2 - k * (ys.max() + ys.min()) / 2,
        ]
        m = np.array([[k, 0, shift[0]], [0, k, shift[1]]])
        flags = cv2.INTER_AREA if k < 1 else cv2.INTER_CUBIC
        image = cv2.warpAffine(
            photo, m, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        soft = cv2.GaussianBlur(
            cv2.warpAffine(big, m, (width, height), flags=cv2.INTER_CUBIC),
            (0, 0),
            2.5 * width / 768 + 0.3,
        )
        fringe = np.ones((int(width * 0.012) | 1,) * 2)  # floor that still shows at the edge
        mask = cv2.erode((soft > 140).astype(np.uint8) * 255, fringe)
        scale = np.array([photo.shape[1] / WIDTH, photo.shape[0] / HEIGHT, 1.0])
        return np.clip(image, 0, 1), mask, m * scale

    def _maps_well(self, xy: Array, spec: GarmentSpec, mask: Array, size: Array) -> bool:
        """Few vertices outside the cut-out, few folds, few squeezed triangles."""
        shell = self.shell
        on = (cut(shell.fields, spec)[shell.ids].min(1) > 0) & ~shell.on_back
        far = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 3)
        ix = np.clip(xy[on], 0, size - 1).astype(int)
        tri = shell.panel_tri[on[shell.panel_tri].all(1)]
        area = _areas(xy[tri])
        stretch = abs(area) / np.maximum(abs(_areas(shell.flat[tri])), 1e-4)
        outside = (far[ix[:, 1], ix[:, 0]] > 0.03 * size[0]).mean()
        folded = (np.sign(area) != np.sign(np.median(area))).mean()
        squeezed = (stretch < 0.2 * np.median(stretch)).mean()
        return bool(outside <= 0.03 and folded <= 0.10 and squeezed <= 0.22)


def _areas(t: Array) -> Array:
    a, b = t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
