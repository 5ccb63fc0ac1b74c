"""The restricted unpickler: arrays come out of every NumPy's pickles, and nothing ever runs."""

import os
import pickle
import pickletools
import subprocess
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fuw.export import unpickle
from fuw.export.checkpoint_errors import Unreadable

ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "double": np.linspace(0, 1, 5),
    "half": np.array([1.5, -2], np.float16),
    "big endian": np.arange(4, dtype=">f4"),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "counter": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "w.pkl"
    top = {"model": OrderedDict(ARRAYS), "__author__": "made up", "iteration": 3, "lr": 0.5}
    path.write_bytes(pickle.dumps(top, protocol))
    read = unpickle.read(path)
    assert read["__author__"] == "made up" and read["iteration"] == 3 and read["lr"] == 0.5
    for key, wanted in ARRAYS.items():
        assert read["model"][key].dtype == wanted.dtype, key
        assert np.array_equal(read["model"][key], wanted), key


@pytest.mark.parametrize(("old", "new"), [("numpy._core", "numpy.core"), ("", "")])
def test_both_module_spellings_of_numpy(tmp_path: Path, old: str, new: str) -> None:
    data = pickle.dumps({"w": ARRAYS["float"]}, 2)
    other = data.replace(b"numpy.core.", b"numpy._core.") if not old else data.replace(
        b"numpy._core.", b"numpy.core.")  # fmt: skip
    path = tmp_path / "w.pkl"
    path.write_bytes(other)
    assert np.array_equal(unpickle.read(path)["w"], ARRAYS["float"])


class _Calls:
    """Pickles into a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, exec, subprocess.Popen, __import__, open])
def test_nothing_runs(tmp_path: Path, protocol: int, function: Any) -> None:
    witness = tmp_path / "ran"
    argument = f"touch {witness}" if function in (os.system, subprocess.Popen) else (
        f"open({str(witness)!r}, 'w')")  # fmt: skip
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": {"w": _Calls(function, argument)}}, protocol))
    with pytest.raises(unpickle.Forbidden, match="nothing ran"):
        unpickle.read(path)
    assert not witness.exists()


def test_the_witness_would_have_been_seen(tmp_path: Path) -> None:
    """The refused file does run under an ordinary unpickler, or the test above proves nothing."""
    witness = tmp_path / "ran"
    pickle.loads(pickle.dumps(_Calls(os.system, f"touch {witness}")))
    assert witness.exists()


def test_a_python_2_pickle(tmp_path: Path) -> None:
    raw = ARRAYS["float"].tobytes()
    path = tmp_path / "old.pkl"
    path.write_bytes(
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U" + bytes([len(raw)]) + raw + b"tbs."
    )
    assert np.array_equal(unpickle.read(path)["w"], ARRAYS["float"])


def op(name: str) -> bytes:
    return next(o.code for o in pickletools.opcodes if o.name == name).encode("latin1")


DODGES = {
    "getattr by a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93.",
    "module of an allowed name": b"cnumpy\nload\n.",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02K\x01Q.",
    "instance of a class": b"(ios\nsystem\n.",
    "allocate by ndarray's constructor": b"cnumpy\nndarray\n(((I1000000000\nI1000000000\nttR.",
    "object array": b"cnumpy\ndtype\n(S'O'\ntR.",
    "endless str of nested lists": b"cbuiltins\nstr\n((ltR.",
    "another codec": b"c_codecs\nencode\n(Vx\nS'rot13'\ntR.",
}


@pytest.mark.parametrize("dodge", DODGES)
def test_ways_around_the_list_are_closed(tmp_path: Path, dodge: str) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(DODGES[dodge])
    with pytest.raises(Unreadable):
        unpickle.read(path)


def test_a_giant_memo_slot_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x02}" + op("LONG_BINPUT") + (2**31 - 1).to_bytes(4, "little") + b".")
    with pytest.raises(Unreadable, match="memo slot"):
        unpickle.read(path)


def test_cut_anywhere_is_unreadable(tmp_path: Path) -> None:
    data = pickle.dumps({"model": ARRAYS}, 3)
    path = tmp_path / "cut.pkl"
    for end in range(1, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(Unreadable):
            unpickle.read(path)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")
def test_random_flips_never_fail_otherwise(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    whole = pickle.dumps({"model": {k: ARRAYS[k] for k in ("float", "half")}}, 2)
    path = tmp_path / "flipped.pkl"
    for _ in range(1500):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), 2):
            data[position] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            unpickle.read(path)
        except Unreadable:
            continue


def test_lists_and_foreign_zip_are_no_dict(tmp_path: Path) -> None:
    path = tmp_path / "list.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(Unreadable, match="a pickled list"):
        unpickle.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(Unreadable):
        unpickle.read(path)
