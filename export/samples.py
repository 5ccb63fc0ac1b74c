"""Seeded inputs that look like what the chain feeds each network, made from no photo.

Proofs and island searches run on them: smooth pictures, label maps of blobs, fractional masks. A
network's numbers reach other ranges on white noise than on pictures.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import cv2
import numpy as np

from fuw.engine.arrays import F32, U8
from fuw.engine.spec import NetSpec, Recipe, TensorSpec

GROUPS7, GROUPS13 = 7, 13
UPPER = 2  # the garment's place in the seven groups


def sample_inputs(spec: NetSpec, sizes: Mapping[str, int], batch: int = 1,
                  seed: int = 0) -> list[F32]:
    """Inputs in the order of the spec, float32, of its shapes; same seed, same numbers."""
    rng = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
    if spec.name == "alias":
        return _alias(rng, *(spec.inputs[0].shape(sizes, batch)[i] for i in (0, 2, 3)))
    return [_tensor(rng, spec, t, t.shape(sizes, batch)) for t in spec.inputs]


def picture(rng: np.random.Generator, height: int, width: int) -> U8:
    """A smooth picture u8 (height, width, 3): soft blobs, a little grain."""
    coarse = rng.integers(0, 256, (max(height // 96, 3), max(width // 96, 3), 3), np.uint8)
    fine = rng.integers(0, 256, (max(height // 16, 3), max(width // 16, 3), 3), np.uint8)
    layers = [cv2.resize(a, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
              for a in (coarse, fine)]
    grain = rng.normal(0, 3, (height, width, 3))
    return np.clip(0.75 * layers[0] + 0.25 * layers[1] + grain, 0, 255).astype(np.uint8)


def labels(rng: np.random.Generator, height: int, width: int, count: int) -> F32:
    """One-hot label map (count, height, width): where one of `count` smooth fields is greatest."""
    fields = np.stack([
        cv2.resize(rng.standard_normal((9, 7)), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(count)])  # fmt: skip
    one_hot: F32 = (fields.argmax(0) == np.arange(count)[:, None, None]).astype(np.float32)
    return one_hot


def normalized(image: U8, recipe: Recipe) -> F32:
    """A picture of the right size as its recipe says, (3, H, W)."""
    x = image.astype(np.float32) / (recipe.scale or max(float(image.max()), 1.0))
    x = x[..., ::-1] if recipe.colour == "BGR" else x
    mean, std = (np.array(v, np.float32) for v in (recipe.mean, recipe.std))
    out: F32 = ((x - mean) / std).transpose(2, 0, 1)
    return out


def _tensor(rng: np.random.Generator, spec: NetSpec, tensor: TensorSpec,
            shape: tuple[int, ...]) -> F32:
    if tensor.name == "box":
        return _boxes(rng, shape[0])
    rows = []
    for _ in range(shape[0]):
        h, w = shape[2:]
        if tensor.recipe is not None:
            rows.append(normalized(picture(rng, h, w), tensor.recipe))
        elif spec.name == "seg":
            rows.append(_seg(rng, h, w))
        elif tensor.name == "a":  # the matcher's person: upper mask, pose, agnostic person
            upper = labels(rng, h, w, GROUPS7)[UPPER : UPPER + 1]
            rows.append(np.concatenate([upper, _colours(rng, h, w), _colours(rng, h, w)]))
        else:
            rows.append(_colours(rng, h, w))
    return np.ascontiguousarray(np.stack(rows), np.float32)


def _colours(rng: np.random.Generator, height: int, width: int) -> F32:
    return (picture(rng, height, width).transpose(2, 0, 1) / np.float32(127.5) - 1).astype(
        np.float32)


def _boxes(rng: np.random.Generator, batch: int) -> F32:
    """Person boxes that lie inside any picture of 192 x 128 pixels and more."""
    low, high = rng.uniform(8, 24, (batch, 2)), rng.uniform(90, 120, (batch, 2))
    return np.concatenate([low, high], 1).astype(np.float32)


def _seg(rng: np.random.Generator, h: int, w: int) -> F32:
    mask = labels(rng, h, w, 2)[:1]
    noise = (rng.standard_normal((1, h, w)) >= 1).astype(np.float32)
    return np.concatenate([mask, _colours(rng, h, w) * mask, labels(rng, h, w, GROUPS13),
                           _colours(rng, h, w), noise])


def _alias(rng: np.random.Generator, batch: int, h: int, w: int) -> list[F32]:
    x, seg, misalign = [], [], []
    for _ in range(batch):
        x.append(np.concatenate([_colours(rng, h, w) for _ in range(3)]))
        groups = labels(rng, h, w, GROUPS7)
        warped = cv2.blur(labels(rng, h, w, 3)[0], (5, 5))  # soft, as a warped mask's edge is
        seg.append(groups)
        misalign.append(np.clip(groups[UPPER : UPPER + 1] - warped, 0, 1))
    stacked, mis = np.stack(seg), np.stack(misalign).astype(np.float32)
    divided = np.concatenate([stacked, mis], 1)
    divided[:, UPPER : UPPER + 1] -= mis
    return [np.stack(x), stacked, divided, mis]
