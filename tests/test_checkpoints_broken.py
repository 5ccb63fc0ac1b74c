"""Every kind of broken checkpoint gets one sentence and an exit code; nothing in it runs."""

import json
import os
import pickle
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_up_checkpoints import SMALL, State, made_up, refused, torch_bytes, zip_of
from safetensors.torch import save_file

from fuw import cli
from fuw.export.nets import build


@pytest.fixture(scope="module")
def small() -> State:
    return made_up(SMALL)


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def flipped(data: bytes) -> bytes:
    """One byte of the numbers changed, not of the table of contents."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def npy_zip(tmp: Path) -> bytes:
    np.savez(tmp.with_suffix(".npz"), a=np.zeros(3))
    return tmp.with_suffix(".npz").read_bytes()


def scripted(tmp: Path) -> bytes:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp)
    return tmp.read_bytes()


def with_value(state: State, key: str, value: torch.Tensor) -> State:
    return {**state, key: value}


PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>no</body></html>"
DRIVE = (b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
         b"Too many users have viewed or downloaded this file recently.</body></html>")
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:c76a83\nsize 402472247\n"
PROTOTXT = b'name: "OpenPose"\ninput: "image"\nlayer {\n  name: "conv1_1"\n}\n'
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.6.0\x3a\x80\x01"

Maker = Callable[[State, Path], bytes]
KINDS: dict[str, tuple[Maker, str]] = {
    "empty": (lambda s, p: b"", "is empty"),
    "cut zip": (lambda s, p: torch_bytes(s, p)[:-5000], "cut short"),
    "half a zip": (lambda s, p: torch_bytes(s, p)[: 1 << 20], "cut short"),
    "cut legacy file": (lambda s, p: torch_bytes(s, p, False)[:-5000], "cut short or damaged"),
    "cut pickle": (lambda s, p: pickle.dumps({"model": {"a": np.zeros(99)}})[:-50], "cut short"),
    "flipped byte in a zip": (lambda s, p: flipped(torch_bytes(s, p)), "damaged"),
    "zeros": (lambda s, p: bytes(1 << 20), "nothing but zeros"),
    "noise": (lambda s, p: np.random.default_rng(0).bytes(1 << 16), "damaged|knows"),
    "HTML page": (lambda s, p: PAGE, "HTML page"),
    "Google Drive quota page": (lambda s, p: DRIVE, "Google Drive's quota"),
    "XML error": (lambda s, p: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
                  "XML error"),
    "JSON": (lambda s, p: json.dumps({"error": "Not found"}).encode(), "JSON"),
    "Git-LFS pointer": (lambda s, p: POINTER, "Git-LFS pointer"),
    "text": (lambda s, p: b"put u2netp.pth here", "text file"),
    "prototxt": (lambda s, p: PROTOTXT, "prototxt"),
    "ONNX": (lambda s, p: ONNX, "ONNX"),
    "HDF5": (lambda s, p: b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
    "picture": (lambda s, p: b"\x89PNG\r\n\x1a\n" + bytes(99), "PNG"),
    "gzip": (lambda s, p: b"\x1f\x8b\x08" + bytes(99), "gzip"),
    "foreign zip": (lambda s, p: zip_of({"u2netp.pth": b"x"}, p), "zip archive .inside: u2netp"),
    "npz": (lambda s, p: npy_zip(p), "npz"),
    "TorchScript": (lambda s, p: scripted(p), "TorchScript"),
    "whole module": (lambda s, p: torch_bytes(build("gmm", 0.1), p), "save `module.state_dict"),
    "single tensor": (lambda s, p: torch_bytes(torch.zeros(3), p), "single tensor"),
    "list": (lambda s, p: torch_bytes([torch.zeros(3)], p), "a list"),
    "no weights": (lambda s, p: torch_bytes({"epoch": 3, "args": {}}, p), "no weights at all"),
    "NaN": (lambda s, p: torch_bytes(with_value(s, "side1.bias", torch.tensor([np.nan])), p),
            r"NaN or infinite numbers in 1 tensors .side1.bias: 1"),
    "integers": (lambda s, p: torch_bytes(with_value(s, "side1.bias", torch.tensor([3])), p),
                 "side1.bias as int64 where float32"),
    "sparse": (lambda s, p: torch_bytes(
        with_value(s, "side1.weight", s["side1.weight"].to_sparse()), p), "sparse"),
    "code in a torch zip": (lambda s, p: torch_bytes({"a": _Evil(p.with_name("ran"))}, p),
                            "system`, which can run code"),
    "code in a legacy file": (lambda s, p: torch_bytes({"a": _Evil(p.with_name("ran"))}, p, False),
                              "system`, which can run code"),
    "code in a pickle": (lambda s, p: pickle.dumps({"a": _Evil(p.with_name("ran"))}),
                         "system`, which can run code"),
    "code in an old pickle": (lambda s, p: pickle.dumps({"a": _Evil(p.with_name("ran"))}, 0),
                              "system`, which can run code"),
    "cut safetensors": (lambda s, p: (save_file(s, p), p.read_bytes()[:-100])[1], "safetensors"),
    "giant view of one number": (lambda s, p: torch_bytes(
        with_value(s, "side1.bias", torch.zeros(1).expand(1 << 20, 1 << 20)), p),
        "side1.bias is 1048576x1048576"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_broken_file(tmp_path: Path, small: State, kind: str) -> None:
    make, words = KINDS[kind]
    file = tmp_path / "u2netp.pth"
    file.write_bytes(make(small, tmp_path / "made.tmp"))
    line = refused(file)
    assert re.search(words, line), line
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["empty", "HTML page", "Git-LFS pointer", "code in a pickle"])
def test_fuw_export_says_it_and_fails(tmp_path: Path, small: State, kind: str) -> None:
    make, words = KINDS[kind]
    (tmp_path / "u2netp.pth").write_bytes(make(small, tmp_path / "made.tmp"))
    result = CliRunner().invoke(cli.export, [
        "--weights", str(tmp_path), "--networks", "u2netp", "-q"])  # fmt: skip
    assert result.exit_code != 0 and re.search(words, result.output), result.output
    assert "Traceback" not in result.output and not (tmp_path / "ran").exists()
    assert not list((tmp_path / "onnx").glob("*.onnx"))


def test_fuw_export_without_the_checkpoint(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.export, ["--weights", str(tmp_path), "--networks", "gmm"])
    assert result.exit_code != 0 and "no gmm_final.pth in" in result.output


def test_missing_folder_and_unreadable(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere.pth")
    assert "is a folder" in refused(tmp_path)


def test_a_cut_download_tells_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "seg_final.pth"
    path.write_bytes(torch_bytes(made_up(SMALL), path)[:-9])
    assert "where the official file has 138,130,794" in refused(path, "seg")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "u2netp.pth"
    bomb = zip_of({"archive/data.pkl": pickle.dumps({}), "archive/data/0": bytes(1000)}, path)
    at = bomb.rindex(b"archive/data/0") - 46 + 24  # size after unpacking, in the table of contents
    path.write_bytes(bomb[:at] + struct.pack("<I", 0xFFFF_FFF0) + bomb[at + 4 :])
    assert "more bytes than any checkpoint" in refused(path)


def test_an_enormous_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "u2netp.pth"
    with path.open("wb") as out:
        out.truncate(5 << 30)  # sparse: takes no space
    assert "more than any checkpoint" in refused(path)


def test_a_length_beyond_the_end_asks_for_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "u2netp.pth"
    data = torch_bytes({"name": torch.zeros(3)}, path, zipped=False)
    at = data.index(b"X\x04\0\0\0name")  # a text of four bytes, which then has two billion
    path.write_bytes(data[:at + 1] + b"\xff\xff\xff\x7f" + data[at + 5:])
    tracemalloc.start()
    try:
        assert "cut short or damaged" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
