"""Read a .caffemodel: Caffe's binary NetParameter, straight from protobuf's wire format.

Field numbers are those of caffe.proto (2014 to 2020): layers by name in `layer` (100) or the
deprecated `layers` (2), blob shapes in `shape` or the four old fields, numbers packed or one by
one, single or double. Unknown fields are skipped. Every length is checked against what is left
of the file, so nothing larger than the file is ever allocated.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuw.engine.arrays import F32
from fuw.export.checkpoint_errors import Unreadable

MAX_LAYERS = 10_000
MAX_AXES = 32  # Caffe's own limit
VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)

# field numbers: (name, blobs) inside a layer, by the field of NetParameter that holds it
_LAYER_FIELDS = {100: (1, 7), 2: (4, 6)}
_DATA, _SHAPE, _DOUBLE_DATA = 5, 7, 8

Field = tuple[int, int, int | memoryview]  # number, wire type, value


def read(path: Path) -> dict[str, F32]:
    """Weights by "<layer>.weight" (first blob: kernel or PReLU slope) and "<layer>.bias".

    Further blobs of a layer are "<layer>.blob2", ... . Old four-number shapes lose their leading
    ones, so that a bias is 1-D whichever Caffe wrote it.

    Raises:
        Unreadable: cut short, not this format, or sizes that contradict each other.
    """
    with path.open("rb") as file:
        # not closed by hand: an error on its way up still holds views into it
        return _net(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _net(view: memoryview) -> dict[str, F32]:
    weights: dict[str, F32] = {}
    count = 0
    for number, wire, value in _fields(view, "the file"):
        if number not in _LAYER_FIELDS or wire != BYTES or isinstance(value, int):
            continue
        count += 1
        if count > MAX_LAYERS:
            raise Unreadable(f"has more than {MAX_LAYERS:,} layers, which no Caffe network has")
        name, blobs = _layer(value, *_LAYER_FIELDS[number])
        for index, blob in enumerate(blobs):
            weights[f"{name}.{('weight', 'bias')[index] if index < 2 else f'blob{index}'}"] = blob
    if not count:
        raise Unreadable("is no file that this package knows: not PyTorch, pickle, safetensors, "
                         "nor a Caffe network")  # fmt: skip
    if not weights:
        raise Unreadable("is a Caffe network without weights (layers only)")
    return weights


def _layer(view: memoryview, name_field: int, blob_field: int) -> tuple[str, list[F32]]:
    name, blobs = "", []
    for number, wire, value in _fields(view, "a layer"):
        if wire != BYTES or isinstance(value, int):
            continue
        if number == name_field:
            name = bytes(value[:200]).decode("utf-8", "replace")
        elif number == blob_field:
            blobs.append(value)
    return name, [_blob(blob, name) for blob in blobs]


def _blob(view: memoryview, layer: str) -> F32:
    shape: list[int] | None = None
    old = {1: 1, 2: 1, 3: 1, 4: 1}
    single: list[F32] = []
    double: list[F32] = []
    for number, _, value in _fields(view, f"layer {layer!r}"):
        if isinstance(value, int):
            if number in old:
                old[number] = value
        elif number == _SHAPE:
            shape = _dims(value, layer)
        elif number == _DATA:
            single.append(_numbers(value, "<f4", layer))
        elif number == _DOUBLE_DATA:
            double.append(_numbers(value, "<f8", layer))
    chunks = double or single
    flat = np.concatenate(chunks) if chunks else np.zeros(0, np.float32)
    return _shaped(flat, shape, list(old.values()), layer)


def _shaped(flat: F32, shape: list[int] | None, old: list[int], layer: str) -> F32:
    if shape is None:
        shape = old[3:] if old[:3] == [1, 1, 1] else old
    if len(shape) > MAX_AXES or any(n < 0 for n in shape) or math.prod(shape) != flat.size:
        raise Unreadable(
            f"contradicts itself: layer {layer!r} says shape {tuple(shape[:8])} "
            f"but holds {flat.size:,} numbers"
        )
    return flat.reshape(shape)


def _dims(view: memoryview, layer: str) -> list[int]:
    dims: list[int] = []
    for number, _, value in _fields(view, f"the shape of {layer!r}"):
        if number != 1:
            continue
        if isinstance(value, int):
            dims.append(_signed(value))
            continue
        position = 0
        while position < len(value):
            size, position = _varint(value, position, f"the shape of {layer!r}")
            dims.append(_signed(size))
            if len(dims) > MAX_AXES:
                break
    return dims


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _numbers(view: memoryview, dtype: str, layer: str) -> F32:
    if len(view) % np.dtype(dtype).itemsize:
        raise Unreadable(f"is damaged: the numbers of layer {layer!r} end in the middle of one")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes inf, which is found later
        copied: F32 = np.frombuffer(view, dtype).astype(np.float32)
    return copied


def _fields(view: memoryview, where: str) -> Iterator[Field]:
    """The fields of one message; a run of single floats comes as one chunk of their bytes."""
    position = 0
    while position < len(view):
        start = position
        tag, position = _varint(view, position, where)
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise Unreadable(f"is damaged, or no Caffe network: field {number} in {where}")
        if wire == VARINT:
            value, position = _varint(view, position, where)
            yield number, wire, value
        elif wire == BYTES:
            size, position = _varint(view, position, where)
            yield number, wire, _take(view, position, size, where)
            position += size
        elif wire in (FIXED32, FIXED64):
            width = 4 if wire == FIXED32 else 8
            count = _run_length(view, start, width) if position == start + 1 else 1
            yield number, wire, _run(view, start, position - start, width, count, where)
            position = start + count * (position - start + width)
        elif wire == GROUP:
            position = _skip_group(view, position, where)
        else:
            raise Unreadable(f"is damaged, or no Caffe network: wire type {wire} in {where}")


def _varint(view: memoryview, position: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(view):
            raise Unreadable(f"is cut short in {where}")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
        if shift > 63:
            raise Unreadable(f"is damaged, or no Caffe network: an endless number in {where}")


def _take(view: memoryview, position: int, size: int, where: str) -> memoryview:
    if size > len(view) - position:
        raise Unreadable(
            f"is cut short: {where} says {size:,} bytes but {len(view) - position:,} are left"
        )
    return view[position : position + size]


def _run_length(view: memoryview, start: int, width: int) -> int:
    """How many records [tag byte, `width` bytes] with the same tag follow each other.

    Unpacked floats are one record each, 37 million in a hand model: too many for a Python loop.
    """
    tags = np.frombuffer(view[start:], np.uint8)[:: width + 1][: (len(view) - start) // (width + 1)]
    length, step = 0, 1
    while length < len(tags):
        differs = np.flatnonzero(tags[length : length + step] != view[start])
        if differs.size:
            return length + int(differs[0])
        length += step
        step *= 4
    return max(len(tags), 1)


def _run(
    view: memoryview, start: int, tag: int, width: int, count: int, where: str
) -> memoryview:
    """The values of `count` records of a `tag`-byte tag and `width` bytes, side by side."""
    records = _take(view, start, count * (tag + width), where)
    table = np.frombuffer(records, np.uint8).reshape(count, tag + width)
    return memoryview(table[:, tag:].tobytes())


def _skip_group(view: memoryview, position: int, where: str) -> int:
    """Position after the end mark of a (deprecated) group that has just begun."""
    depth = 1
    while depth:
        tag, position = _varint(view, position, where)
        wire = tag & 7
        if wire == VARINT:
            _, position = _varint(view, position, where)
        elif wire in (FIXED32, FIXED64, BYTES):
            size = {FIXED32: 4, FIXED64: 8}.get(wire, 0)
            if wire == BYTES:
                size, position = _varint(view, position, where)
            _take(view, position, size, where)
            position += size
        elif wire in (GROUP, END_GROUP):
            depth += 1 if wire == GROUP else -1
        else:
            raise Unreadable(f"is damaged, or no Caffe network: wire type {wire} in {where}")
    return position
