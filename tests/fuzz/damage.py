"""Ways to damage a file: blindly in its bytes, or inside its container so that the damage gets
past the container's own check sums."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

Rng = np.random.Generator
Damage = Callable[[bytes, Rng], bytes]

WORDS = (b"[" * 3000, b"NaN", b"1e999", b"-Infinity", b'{"people":', b"null", b'"\\ud800"',
         b"99999999999999999999", b"../../x.jpg ", b"\xed\xa0\x80", b"\0", b"1" * 5000)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**64, -2**63, 10**400, 1e308, float("nan"), float("inf"),
    "", "x", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "x" * 70_000, [], {}, [[]],
    {"": None}, [0] * 1000, ["official"] * 3)


def in_bytes(data: bytes, rng: Rng) -> bytes:
    """One to four of: bytes changed (often in the header), cut, doubled, blown up, made text."""
    raw = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if len(raw) < 2:
            break
        head = max(2, min(len(raw), 200) if rng.random() < 0.5 else len(raw))
        at = int(rng.integers(0, head))
        kind = rng.integers(0, 9)
        if kind <= 2:
            raw[at] = int(rng.integers(0, 256))
        elif kind == 3:
            raw[at:at + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff",
                                         b"\x00\x00\xff\xff", b"\x80\0\0\0"])
        elif kind == 4:
            del raw[at:]
        elif kind == 5:
            del raw[at:at + int(rng.integers(1, 40))]
        elif kind == 6:
            raw[at:at] = raw[at:at + int(rng.integers(1, 400))]
        elif kind == 7:
            raw[at:at] = rng.integers(0, 256, int(rng.integers(1, 60)), "u1").tobytes()
        else:
            raw[at:at] = WORDS[rng.integers(0, len(WORDS))]
    return bytes(raw)


def in_json(data: bytes, rng: Rng) -> bytes:
    """Well-formed JSON in which one to three values are of another kind, gone or doubled."""
    tree = json.loads(data)
    for _ in range(rng.integers(1, 4)):
        holders = list(_holders(tree))
        if not holders:
            break
        holder = holders[rng.integers(0, len(holders))]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key: Any = keys[rng.integers(0, len(keys))]
        kind = rng.integers(0, 8)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[str(VALUES[rng.integers(0, len(VALUES))])[:50]] = deepcopy(holder[key])
        elif kind == 1:
            holder += deepcopy(holder[:key])
        elif kind == 2:
            holder[key] = [holder[key]]
        elif kind == 3 and isinstance(holder[key], str):
            holder[key] = in_bytes(holder[key].encode(), rng).decode("utf-8", "replace")
        else:
            holder[key] = deepcopy(VALUES[rng.integers(0, len(VALUES))])
    return json.dumps(tree).encode()


def _holders(tree: Any) -> Any:
    """Every list and dict in the tree that holds something."""
    if isinstance(tree, dict | list) and tree:
        yield tree
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from _holders(value)


def in_zip(data: bytes, rng: Rng) -> bytes:
    """A zip archive with right check sums, one of whose entries is damaged, renamed or gone."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    names = list(entries)
    small = [name for name in names if len(entries[name]) < 4096]
    name = (small or names)[rng.integers(0, len(small or names))]
    kind = rng.integers(0, 10)
    body = entries.pop(name)
    if kind == 0:
        entries[name[::-1]] = body
    elif kind == 1:
        entries[name] = bytes(1 << 20)
    elif kind > 2:
        entries[name] = in_bytes(body, rng)
    out = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if kind == 1 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", method) as archive:
        for entry, content in entries.items():
            # A fixed date: the time of day must not be part of a seeded case.
            dated = zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0))
            archive.writestr(dated, content, method)
    return out.getvalue()


def in_png(data: bytes, rng: Rng) -> bytes:
    """A PNG with right check sums, one of whose chunks is damaged, doubled, moved or gone."""
    chunks, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        chunks.append((data[at + 4:at + 8], data[at + 8:at + 8 + size]))
        at += size + 12
    which = int(rng.integers(0, len(chunks)))
    kind, body = chunks.pop(which)
    what = rng.integers(0, 10)
    if what == 0:
        chunks.insert(int(rng.integers(0, len(chunks) + 1)), (kind, body))
    elif what == 1:
        chunks[which:which] = [(kind, body)] * 2
    elif what == 2:
        chunks.insert(which, (b"zTXt", b"k\0\0" + zlib.compress(bytes(80 << 20))))
        chunks.insert(which, (kind, body))
    elif what > 3:
        chunks.insert(which, (kind, in_bytes(body, rng)))
    out = data[:8]
    for kind, body in chunks:
        tail = kind + body
        out += len(body).to_bytes(4, "big") + tail + zlib.crc32(tail).to_bytes(4, "big")
    return out
