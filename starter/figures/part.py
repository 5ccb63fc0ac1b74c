"""One drawable thing of a scene: its mesh, how it is cut, painted and labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fuw.starter.figures.mesh import Array
from fuw.starter.figures.raster import F32, Picture


class Surface(NamedTuple):
    """What light meets at n pixels."""

    rgb: F32  # (n, 3) sRGB 0..1
    gloss: F32 | float = 0.01
    bump: F32 | float = 0.0  # height in pixels


@dataclass(frozen=True)
class Pixels:
    """The pixels of a picture that show one mesh."""

    pic: Picture
    mesh: int
    where: npt.NDArray[np.int32]  # (n,) pixel numbers
    normal: F32  # (n, 3), not normalised, not flipped
    smaller: int  # supersampling

    def at(self, attribute: Array) -> F32:
        """Interpolate an attribute (vertices of this mesh, K) at the pixels."""
        return self.pic.at(attribute, self.where, self.mesh)

    def of_map(self, image: F32) -> F32:
        """Read a picture-sized map (h, w), `smaller` times smaller, at the pixels."""
        y, x = np.divmod(self.where, self.pic.width)
        return np.asarray(image[y // self.smaller, x // self.smaller])

    def corners(self) -> tuple[Array, F32]:
        """Vertex numbers in this mesh (n, 3) and their weights."""
        tri, w = self.pic.corners(self.where)
        return tri - self.pic.meshes[self.mesh].first_vertex, w


@dataclass(frozen=True)
class Part:
    """A mesh in posed dm with its paint; `label` is a VITON-HD id or tells it per pixel."""

    name: str
    tri: Array
    xyz: Array
    normal: Array
    paint: Callable[[Pixels], Surface]
    label: int | Callable[[Pixels], Array]
    clip: Array | None = None
    bias: float | Array = 0.0  # dm towards the back (+) in the z-buffer, or (n,) per vertex
    casts: bool = True  # throws a shadow
    strand: float = 0.0
    fray: float = 0.0


def plain(colour: Array, gloss: float = 0.01) -> Callable[[Pixels], Surface]:
    """Paint of a single colour (3,)."""

    def paint(px: Pixels) -> Surface:
        return Surface(np.broadcast_to(np.asarray(colour, np.float32), (len(px.where), 3)), gloss)

    return paint
