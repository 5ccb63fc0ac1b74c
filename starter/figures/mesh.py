"""Plain mesh operations: reading, triangles, normals, subdivision, smoothing, flattening."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import scipy.sparse.linalg as spl

Array = npt.NDArray[Any]


class Obj(NamedTuple):
    """A Wavefront file; faces are quads, a triangle repeats its last corner."""

    vertices: Array  # (V, 3)
    uvs: Array  # (T, 2)
    faces: Array  # (F, 4) vertex numbers
    face_uvs: Array  # (F, 4) uv numbers
    groups: Array  # (F,) group name of each face


def read_obj(path: Path) -> Obj:
    """Read vertices, texture coordinates, quads and group names; everything else is left out."""
    v: list[list[float]] = []
    vt: list[list[float]] = []
    f: list[list[int]] = []
    ft: list[list[int]] = []
    g: list[str] = []
    group = ""
    for line in path.read_text(errors="replace").splitlines():
        p = line.split()
        if not p:
            continue
        if p[0] == "v":
            v.append([float(x) for x in p[1:4]])
        elif p[0] == "vt":
            vt.append([float(x) for x in p[1:3]])
        elif p[0] == "g":
            group = p[1]
        elif p[0] == "f":
            c = [t.split("/") for t in p[1:]]
            c = c + [c[-1]] * (4 - len(c))
            f.append([int(t[0]) - 1 for t in c[:4]])
            ft.append([int(t[1]) - 1 if len(t) > 1 and t[1] else 0 for t in c[:4]])
            g.append(group)
    return Obj(np.array(v), np.array(vt), np.array(f), np.array(ft), np.array(g))


def quads_to_tris(quads: Array) -> Array:
    """(F, 4) -> (2F, 3) i32, without the empty halves of doubled corners."""
    t = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    return t[(t[:, 0] != t[:, 1]) & (t[:, 1] != t[:, 2]) & (t[:, 2] != t[:, 0])]


def quad_edges(quads: Array) -> Array:
    """The four edges of every quad, sorted within the edge: (4F, 2)."""
    return np.sort(np.stack([quads, np.roll(quads, -1, 1)], 2).reshape(-1, 2), 1)


def subdivide(quads: Array, n: int) -> tuple[sp.csr_matrix, Array]:
    """One Catmull-Clark-like round: matrix (new vertices x n old) and the new quads."""
    edges, inverse = np.unique(quad_edges(quads), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1, 4)
    ne, nq = len(edges), len(quads)
    mid = sp.csr_matrix(
        (np.full(2 * ne, 0.5), (np.repeat(np.arange(ne), 2), edges.ravel())), (ne, n)
    )
    face = sp.csr_matrix(
        (np.full(4 * nq, 0.25), (np.repeat(np.arange(nq), 4), quads.ravel())), (nq, n)
    )
    split = sp.vstack([sp.eye(n), mid, face]).tocsr()
    centre = n + ne + np.arange(nq)
    corners = [
        np.stack([quads[:, k], n + inverse[:, k], centre, n + inverse[:, k - 1]], 1)
        for k in range(4)
    ]
    new = np.concatenate(corners)
    return (smoother(new, n + ne + nq, 0.5, 1) @ split).tocsr(), new


def smoother(quads: Array, n: int, amount: float, times: int) -> sp.csr_matrix:
    """((1 - amount) I + amount * mean of neighbours) ** times; borders follow only borders."""
    edges, count = np.unique(quad_edges(quads), axis=0, return_counts=True)
    border = np.zeros(n, bool)
    border[edges[count == 1].ravel()] = True
    both = (count == 1) | ~(border[edges[:, 0]] | border[edges[:, 1]])
    inner = edges[~both]  # inner vertices see the border, not the other way
    inner = np.where(border[inner[:, :1]], inner[:, ::-1], inner)
    links = np.concatenate([edges[both], edges[both][:, ::-1], inner[~border[inner[:, 0]]]])
    a = sp.csr_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), (n, n))
    degree = np.maximum(np.asarray(a.sum(1)).ravel(), 1)
    m = (1 - amount) * sp.eye(n) + amount * sp.diags(1 / degree) @ a
    m = m + sp.diags(1 - np.asarray(m.sum(1)).ravel())
    out = m
    for _ in range(times - 1):
        out = out @ m
    return out.tocsr()


def arap_flatten(p: Array, tri: Array, start: Array, rounds: int = 40) -> Array:
    """Press a surface flat: 2D positions (V, 2) that keep its edge lengths as well as they can."""
    n = len(p)
    pairs = np.concatenate([tri[:, [0, 1]], tri[:, [1, 2]], tri[:, [2, 0]]])
    e = np.unique(np.sort(pairs, 1), axis=0)
    length = np.linalg.norm(p[e[:, 0]] - p[e[:, 1]], axis=1)
    w = 1 / np.maximum(length, 1e-3)
    d_op = sp.csr_matrix(
        (np.tile([1.0, -1.0], len(e)), (np.repeat(np.arange(len(e)), 2), e.ravel())), (len(e), n)
    )
    # A weak pull to the start keeps the pattern upright.
    solve = spl.factorized((d_op.T @ sp.diags(w) @ d_op + 1e-3 * sp.eye(n)).tocsc())
    q = start.copy()
    for _ in range(rounds):
        d = d_op @ q
        d *= (length / np.maximum(np.linalg.norm(d, axis=1), 1e-6))[:, None]
        rhs = d_op.T @ (w[:, None] * d) + 1e-3 * start
        q = np.stack([solve(rhs[:, k]) for k in range(2)], 1)
    return q
