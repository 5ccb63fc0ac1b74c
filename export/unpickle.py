"""Read a pickled dict of arrays with an unpickler that can build arrays and nothing else.

A pickle is a program: it may call any function it can name. This one finds only the names below,
and even those are our own stand-ins, so that no NumPy constructor runs on numbers from the file.
"""

from __future__ import annotations

import mmap
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuw.engine import arrays
from fuw.export.checkpoint_errors import Unreadable

MAX_DEPTH = 4  # nesting of dicts that is searched for arrays
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_LENGTHS = {
    pickle.BINUNICODE: 4, pickle.BINBYTES: 4, pickle.BINSTRING: 4,
    pickle.BINUNICODE8: 8, pickle.BINBYTES8: 8, pickle.BYTEARRAY8: 8,
}  # fmt: skip
_KINDS = "fiub"  # float, signed, unsigned, bool: what weights are made of


class Forbidden(Unreadable):
    """The file asks for something that weights never need."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"is not plain weights: it asks for `{name}`, which can run code; it was refused "
            f"and nothing ran",
            "do not use this file; take the official one, or save the bare state dict anew",
        )


def read(path: Path) -> dict[str, Any]:
    """The pickled dict in `path`, its arrays as NumPy arrays.

    Raises:
        Unreadable: damaged, not a dict, or (Forbidden) asking for anything but plain values.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _scan(data)
        data.seek(0)
        try:
            # mmap has the three methods that the unpickler wants, and cannot over-allocate
            value = _Unpickler(data, encoding="latin1").load()
        except Unreadable:
            raise
        except Exception as error:  # a foreign file can make any opcode fail in any way
            raise Unreadable(f"is a damaged pickle ({type(error).__name__}: {error})") from error
    if not isinstance(value, dict):
        raise Unreadable(f"holds a pickled {type(value).__name__}, not a dict of arrays")
    return {str(key): _plain(item, MAX_DEPTH) for key, item in value.items()}


def _scan(data: mmap.mmap) -> None:
    """Walk the opcodes once without running them: is the end there, are memo slots sane?"""
    count = 0
    try:
        for opcode, argument in _opcodes(data):
            count += 1
            if opcode.name in ("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4"):
                raise Forbidden(opcode.name)
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                _allowed(module, name)
            # the C unpickler allocates its memo up to the highest slot named
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > 2 * count:
                raise Unreadable("is a damaged pickle (a memo slot out of all proportion)")
    except ValueError as error:
        raise Unreadable(f"is cut short or damaged: the pickle does not end ({error})") from error


def _opcodes(data: mmap.mmap) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Every opcode with its argument, but None for bytes and texts: those are skipped unread.

    `pickletools.genops` would decode them, which takes as long as loading: half a minute for
    DensePose's arrays in a protocol 2 pickle.
    """
    while True:
        code = data.read(1)
        opcode = _OPCODES.get(code.decode("latin1"))
        if opcode is None:
            raise ValueError(f"no opcode at byte {data.tell()}")
        if code in _LENGTHS:
            length = int.from_bytes(data.read(_LENGTHS[code]), "little")
            if length > len(data) - data.tell():
                raise ValueError(f"an argument of {length:,} bytes at byte {data.tell():,}")
            data.seek(length, 1)
            yield opcode, None
        else:
            reader: Any = opcode.arg.reader if opcode.arg else None
            yield opcode, reader(data) if reader else None
        if code == pickle.STOP:
            return


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict) and depth:
        return {str(key): _plain(item, depth - 1) for key, item in value.items()}
    return value


class _DType:
    """Stands for `numpy.dtype` in the file; its state holds the byte order."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        dtype = np.dtype(str(code)) if isinstance(code, str) else None
        if dtype is None or dtype.kind not in _KINDS:
            raise Forbidden(f"numpy.dtype({code!r})")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for `numpy.ndarray`: filled by the state, whose bytes must match its shape."""

    value: arrays.Any

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> arrays.Any:
    if isinstance(raw, str):  # the bytes of a Python 2 pickle
        raw = raw.encode("latin1")
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes | bytearray):
        raise Unreadable("is a damaged pickle (an array without its bytes)")
    flat: arrays.Any = np.frombuffer(raw, dtype.dtype)
    return flat.reshape(tuple(int(n) for n in shape), order="F" if order == "F" else "C")


def _reconstruct(subtype: Any, shape: Any, code: Any) -> _Array:
    if subtype is not _Array:
        raise Forbidden(f"numpy _reconstruct of {subtype!r}")
    return _Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _from_bytes(bytes(raw), dtype, shape, order)
    return array


def _scalar(dtype: Any, raw: Any) -> Any:
    return _from_bytes(raw, dtype, ()).item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Forbidden(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _bytes() -> bytes:
    """`bytes()` without arguments: how old protocols write an empty one."""
    return b""


def _value(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    def build(value: Any = 0) -> Any:
        if not isinstance(value, str | int | float):  # str() of a nested list may be endless
            raise Forbidden(f"{kind!r} of a {type(value).__name__}")
        return kind(value)

    return build


_BUILTINS: dict[str, Any] = {
    "dict": dict, "str": _value(str), "int": _value(int), "float": _value(float),
    "bytes": _bytes,
}  # fmt: skip
_NUMPY: dict[str, dict[str, Any]] = {
    "numpy": {"ndarray": _Array, "dtype": _DType},
    "numpy.core.multiarray": {"_reconstruct": _reconstruct, "scalar": _scalar},
    "numpy.core.numeric": {"_frombuffer": _frombuffer},
}
_NAMES: dict[str, dict[str, Any]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
    "collections": {"OrderedDict": OrderedDict},
    "_codecs": {"encode": _encode},
    **_NUMPY,
    **{name.replace(".core", "._core"): table for name, table in _NUMPY.items()},
}


def _allowed(module: str, name: str) -> Any:
    try:
        return _NAMES[module][name]
    except KeyError:
        raise Forbidden(f"{module}.{name}") from None


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return _allowed(module_name, global_name)
