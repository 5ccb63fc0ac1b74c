"""Everything that does not change between figures, loaded once."""

from __future__ import annotations

import numpy as np

from fuw.starter.figures.asset import Asset
from fuw.starter.figures.fabric import Layout
from fuw.starter.figures.garment import GarmentSpec, cut
from fuw.starter.figures.hair import MEN, WOMEN, load_style
from fuw.starter.figures.human import BODY, Human
from fuw.starter.figures.labels import BodyMap
from fuw.starter.figures.material import Material
from fuw.starter.figures.mesh import Array, quads_to_tris
from fuw.starter.figures.photo import PhotoLibrary, photo_files
from fuw.starter.figures.raster import Picture, library
from fuw.starter.figures.shell import Shell, measure

SHOES = ("shoes01", "shoes02", "shoes03")


class Studio:
    """Meshes, assets, photos and compiled code. `photos=False` does without real garments."""

    def __init__(self, material: Material, photos: bool = True) -> None:
        self.material = material
        self.lib = library(material.cache)
        self.human = h = Human(material)
        self.shell = Shell(material, h, self.lib)
        self.body = BodyMap(h)
        self.files = photo_files(material)
        self.photos = PhotoLibrary(material, self.shell) if photos else None
        names = sorted({*WOMEN, *MEN})
        self.hair = {n: load_style(material, h, self.body, n) for n in names}
        self.shoes = [Asset(material, h, "clothes", n) for n in SHOES]
        self.hat = Asset(material, h, "clothes", "fedora01", "fedora")
        self.brows = [Asset(material, h, "eyebrows", f"eyebrow{k:03d}") for k in range(1, 13)]
        self.body_tri = quads_to_tris(h.body_quads)
        eyes = np.isin(h.groups, ["helper-l-eye", "helper-r-eye"])
        self.eye_tri = quads_to_tris(h.quads[eyes]) - 14598
        lashes = h.quads[np.char.find(h.groups.astype(str), "eyelashes") >= 0]
        self.lash_ids = np.unique(lashes)
        self.lash_tri = quads_to_tris(np.searchsorted(self.lash_ids, lashes))
        self.body_fields = measure(h, h.reference[BODY], h.weights[BODY], h.reference)
        # An average woman and man, on whom in-shop garments are shown.
        self.average = [h.shape(gender=g, weight=0.45, proportions=0.7) for g in (0.05, 0.95)]
        self._sleeves: dict[float, Array] = {}

    def cover(self, spec: GarmentSpec) -> Array:
        """How far (n,) each body vertex lies inside a garment; negative where it is bare."""
        return np.asarray(cut(self.body_fields, spec).min(1))

    def sleeves(self, layout: Layout) -> Array:
        """Share of sleeve (h, w) f32 in a texture layout."""
        if layout.px not in self._sleeves:
            h, w = layout.shape
            xy = layout.pixels(self.shell.flat)
            pic = Picture(self.lib, w, h)
            pic.draw("panels", self.shell.panel_tri, np.column_stack([xy, np.zeros(len(xy))]))
            pic.finish()
            out = np.zeros(h * w, np.float32)
            arm = self.shell.fields["arm"][self.shell.ids]
            out[pic.where] = np.clip((pic.at(arm)[:, 0] - 0.45) * 15, 0, 1)
            self._sleeves[layout.px] = out.reshape(h, w)
        return self._sleeves[layout.px]
