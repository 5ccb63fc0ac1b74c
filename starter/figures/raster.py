"""ctypes face of raster.c, and `Picture`: the meshes that make up one picture."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fuw.engine.errors import FuwError
from fuw.starter.figures.mesh import Array

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]
SOURCE = Path(__file__).with_name("raster.c")
FLAGS = ("-O3", "-march=native", "-ffast-math", "-shared", "-fPIC")
FAR = np.float32(1e9)


@cache
def library(folder: Path) -> ctypes.CDLL:
    """raster.c, compiled into `folder` under a name that holds the source's hash."""
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()[:16]
    path = folder / f"raster.{digest}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        command = ["cc", *FLAGS, str(SOURCE), "-o", str(beside), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as e:
            raise FuwError(
                "rendering figures needs a C compiler named `cc`; install gcc or clang"
            ) from e
        except subprocess.CalledProcessError as e:
            raise FuwError(f"{SOURCE} does not compile: {e.stderr.strip()}") from e
        beside.replace(path)
    return ctypes.CDLL(str(path))


def pointer(a: npt.NDArray[Any] | None) -> ctypes.c_void_p | None:
    """The array's data for C; it must be contiguous and stay alive during the call."""
    return None if a is None else a.ctypes.data_as(ctypes.c_void_p)


def f32(a: Array) -> F32:
    """Contiguous float32, copied only where needed."""
    return np.ascontiguousarray(a, np.float32)


class Drawn(NamedTuple):
    """Where one mesh lies in the picture-wide triangle and vertex lists."""

    name: str
    first_triangle: int
    first_vertex: int
    vertices: int


class Picture:
    """A z-buffer of triangles. Draw meshes, then `finish`, then ask for attributes at pixels."""

    def __init__(self, lib: ctypes.CDLL, width: int, height: int) -> None:
        self.lib = lib
        self.width, self.height = width, height
        self.z: F32 = np.full((height, width), FAR, np.float32)
        self.ids: I32 = np.full((height, width), -1, np.int32)
        self.bary: F32 = np.zeros((height, width, 2), np.float32)
        self.meshes: list[Drawn] = []
        self._triangles: list[I32] = []
        self._vertices = 0
        self._count = 0

    def draw(
        self,
        name: str,
        tri: Array,
        xyz: Array,
        clip: Array | None = None,
        strand: float = 0.0,
        fray: float = 0.0,
    ) -> None:
        """Draw triangles (m, 3) of vertices (n, 3): screen x, y and distance; see raster.c."""
        tri = np.ascontiguousarray(tri, np.int32)
        xyz = f32(xyz)
        fields = None if clip is None else f32(clip)
        self.lib.raster(
            self.width, self.height, len(tri), pointer(tri), pointer(xyz), pointer(fields),
            0 if fields is None else fields.shape[1], ctypes.c_float(strand), ctypes.c_float(fray),
            self._count, pointer(self.z), pointer(self.ids), pointer(self.bary),
        )  # fmt: skip
        self.meshes.append(Drawn(name, self._count, self._vertices, len(xyz)))
        self._triangles.append(tri + np.int32(self._vertices))
        self._vertices += len(xyz)
        self._count += len(tri)

    def finish(self) -> Picture:
        """Find the covered pixels: `where` (n,) i32 pixel numbers, `mesh` (n,) mesh numbers."""
        self.tri: I32 = np.ascontiguousarray(np.concatenate(self._triangles))
        flat = self.ids.ravel()
        self.where: I32 = np.flatnonzero(flat >= 0).astype(np.int32)
        starts = np.array([m.first_triangle for m in self.meshes])
        owner = np.repeat(
            np.arange(len(starts), dtype=np.uint8), np.diff(np.append(starts, self._count))
        )
        self.mesh = owner[flat[self.where]]
        return self

    def at(self, attribute: Array, pixels: Array | None = None, mesh: int | None = None) -> F32:
        """Interpolate a vertex attribute (n, K) at pixels; of one mesh, or of all stacked."""
        a = f32(attribute)
        a = a.reshape(len(a), -1)
        base = 0 if mesh is None else self.meshes[mesh].first_vertex
        pix = self.where if pixels is None else np.ascontiguousarray(pixels, np.int32)
        out = np.empty((len(pix), a.shape[1]), np.float32)
        self.lib.interp(
            len(pix), pointer(pix), pointer(self.ids), pointer(self.bary), pointer(self.tri), base,
            pointer(a), a.shape[1], pointer(out),
        )  # fmt: skip
        return out

    def corners(self, pixels: Array) -> tuple[I32, F32]:
        """Vertex numbers (n, 3) and weights (n, 3) of the triangles at pixel numbers."""
        w = self.bary.reshape(-1, 2)[pixels]
        return self.tri[self.ids.ravel()[pixels]], np.column_stack([1 - w.sum(1), w]).astype(
            np.float32
        )


def vertex_normals(lib: ctypes.CDLL, v: Array, tri: Array) -> F32:
    """Unit normals (V, 3), weighted by the area of the triangles around each vertex."""
    xyz, t = f32(v), np.ascontiguousarray(tri, np.int32)
    out = np.zeros((len(xyz), 3), np.float32)
    lib.normals(len(xyz), len(t), pointer(t), pointer(xyz), pointer(out))
    return out


def sample(lib: ctypes.CDLL, image: F32, xy: Array) -> F32:
    """Bilinear look-up of (h, w[, C]) at pixel positions (n, 2), mirrored beyond the edges."""
    img, q = f32(image), f32(xy)
    channels = 1 if img.ndim == 2 else img.shape[2]
    out = np.empty((len(q), channels), np.float32)
    lib.sample(len(q), pointer(q), pointer(img), img.shape[0], img.shape[1], channels, pointer(out))
    return out[:, 0] if img.ndim == 2 else out
