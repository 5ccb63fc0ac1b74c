"""Caffe files: every legal encoding gives the same numbers, every damage one sentence."""

import importlib.util
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from golden_files import golden

from fuw.export import caffemodel
from fuw.export.checkpoint_errors import Unreadable


def varint(n: int) -> bytes:
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7F:
        out.append((n & 0x7F) | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def shape(*dims: int, packed: bool = True) -> bytes:
    if packed:
        return field(7, field(1, b"".join(varint(d) for d in dims)))
    return field(7, b"".join(number(1, d) for d in dims))


def layer(name: str, *blobs: bytes) -> bytes:
    return field(100, field(1, name.encode()) + b"".join(field(7, blob) for blob in blobs))


def read(tmp_path: Path, data: bytes) -> dict[str, np.ndarray]:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(data)
    return caffemodel.read(path)


VALUES = np.arange(12, dtype="<f4") - 5.5
WANTED = VALUES.reshape(3, 2, 2, 1)
UNPACKED = b"".join(b"\x2d" + struct.pack("<f", v) for v in VALUES)

ENCODINGS = {
    "packed": shape(3, 2, 2, 1) + field(5, VALUES.tobytes()),
    "data before shape": field(5, VALUES.tobytes()) + shape(3, 2, 2, 1),
    "shape unpacked": shape(3, 2, 2, 1, packed=False) + field(5, VALUES.tobytes()),
    "unpacked": shape(3, 2, 2, 1) + UNPACKED,
    "unpacked, then packed": shape(3, 2, 2, 1) + UNPACKED[:25] + field(5, VALUES[5:].tobytes()),
    "packed in two parts": shape(3, 2, 2, 1)
    + field(5, VALUES[:7].tobytes()) + field(5, VALUES[7:].tobytes()),
    "unpacked around the shape": UNPACKED[:20] + shape(3, 2, 2, 1) + UNPACKED[20:],
    "double": shape(3, 2, 2, 1) + field(8, VALUES.astype("<f8").tobytes()),
    "double unpacked": shape(3, 2, 2, 1)
    + b"".join(b"\x41" + struct.pack("<d", v) for v in VALUES),
    "four numbers": number(1, 3) + number(2, 2) + number(3, 2) + number(4, 1)
    + field(5, VALUES.tobytes()),
    "long tag": shape(3, 2, 2, 1)
    + b"".join(b"\xad\x00" + struct.pack("<f", v) for v in VALUES),
    "with a diff": shape(3, 2, 2, 1) + field(5, VALUES.tobytes()) + field(6, bytes(48)),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_a_blob_gives_the_same_array(tmp_path: Path, encoding: str) -> None:
    weights = read(tmp_path, layer("conv", ENCODINGS[encoding]))
    assert list(weights) == ["conv.weight"]
    assert weights["conv.weight"].dtype == np.float32
    assert np.array_equal(weights["conv.weight"], WANTED)


def test_a_bias_in_four_numbers_is_one_dimensional(tmp_path: Path) -> None:
    bias = number(1, 1) + number(2, 1) + number(3, 1) + number(4, 12) + field(5, VALUES.tobytes())
    weights = read(tmp_path, layer("conv", ENCODINGS["packed"], bias))
    assert weights["conv.bias"].shape == (12,)


def test_deprecated_layers_and_unknown_fields(tmp_path: Path) -> None:
    old = field(2, field(4, b"conv") + number(5, 4) + field(6, ENCODINGS["packed"]))
    group = varint(77 << 3 | 3) + number(1, 5) + field(2, b"xyz") + varint(77 << 3 | 4)
    strange = number(9, 4) + group + varint(5000 << 3 | 5) + bytes(4) + field(999, b"?")
    weights = read(tmp_path, field(1, b"name") + strange + old + strange)
    assert np.array_equal(weights["conv.weight"], WANTED)


def test_a_layer_that_comes_twice_keeps_the_later_numbers(tmp_path: Path) -> None:
    later = shape(1) + field(5, np.float32(7).tobytes())
    empty = layer("conv")  # a deploy copy without blobs takes nothing away
    weights = read(tmp_path, layer("conv", ENCODINGS["packed"]) + layer("conv", later) + empty)
    assert weights["conv.weight"].tolist() == [7.0]


GOOD = layer("conv", ENCODINGS["packed"])
BROKEN = {
    "cut in a blob": (GOOD[:-3], "cut short"),
    "cut in a length": (GOOD[:2], "cut short"),
    "length beyond the file": (varint(100 << 3 | 2) + varint(1 << 40) + b"x", "cut short"),
    "shape without its numbers": (layer("c", shape(2, 2) + field(5, bytes(12))), "contradicts"),
    "enormous shape": (layer("c", shape(1 << 40, 1 << 40) + field(5, bytes(4))), "contradicts"),
    "negative shape": (layer("c", shape(-1, -12) + field(5, VALUES.tobytes())), "contradicts"),
    "a hundred axes": (layer("c", shape(*[1] * 100) + field(5, bytes(4))), "contradicts"),
    "half a float": (layer("c", shape(1) + field(5, bytes(5))), "in the middle"),
    "endless number": (b"\xff" * 20, "endless number"),
    "wire type 7": (b"\x0f\x00", "wire type 7"),
    "field 0": (b"\x02\x00", "field 0"),
    "endless group": (varint(9 << 3 | 3) * 50, "cut short"),
    "no layers": (field(1, b"only a name"), "no file that this package knows"),
    "no blobs": (layer("relu"), "without weights"),
    "too many layers": (layer("x") * (caffemodel.MAX_LAYERS + 1), "layers"),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_damage_is_called_by_name(tmp_path: Path, damage: str) -> None:
    data, words = BROKEN[damage]
    with pytest.raises(Unreadable, match=words):
        read(tmp_path, data)


def test_random_cuts_and_flips_never_fail_otherwise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = field(1, b"net") + GOOD + layer("b", ENCODINGS["unpacked"], ENCODINGS["double"])
    for _ in range(400):
        data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(0, 256)
        try:
            weights = read(tmp_path, bytes(data))
        except Unreadable:
            continue
        assert sum(w.size for w in weights.values()) <= len(whole)


def _writer() -> ModuleType:
    path = golden("pose/caffemodel.py")
    golden("pose/openpose.json")
    spec = importlib.util.spec_from_file_location("golden_caffemodel", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("net", "variant"), [
    ("body25", "legacy4d"), ("body25", "noisy"), ("body25", "shuffled"),
    ("hand", "unpacked"), ("hand", "v1"),
])  # fmt: skip
def test_golden_files_of_the_official_sizes(tmp_path: Path, net: str, variant: str) -> None:
    writer = _writer()
    path = tmp_path / "official.caffemodel"
    writer.write(net, path, seed=3, variant=variant)
    weights = caffemodel.read(path)
    for key, wanted in writer.weights(net, 3).items():
        assert np.array_equal(weights[key], wanted), key
    path.unlink()  # 100 to 180 MB each
