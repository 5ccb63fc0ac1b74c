"""Every official container loads unchanged; every wrong file gets one sentence and an exit code."""

import importlib.util
import json
import logging
import os
import pickle
import re
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from golden_files import golden
from safetensors.torch import save_file

from fuw import cli
from fuw.cli import guarded
from fuw.engine.errors import CheckpointError, UnknownNetwork
from fuw.engine.networks import NETWORKS, network
from fuw.export import checkpoints, match
from fuw.export.nets import build

State = dict[str, torch.Tensor]
SMALL = "u2netp"  # the smallest official network: 4.7 MB


def made_up(name: str, seed: int = 0) -> State:
    """Tensors of the network's shapes that differ from key to key; quick, not random."""
    state = {}
    for index, (key, (shape, dtype)) in enumerate(match.expected(name).items()):
        state[key] = torch.full(shape, index + seed, dtype=dtype)
        state[key].view(-1)[:1] = -1  # not the same turned round
    return state


def same(first: State, second: State) -> bool:
    return list(first) == list(second) and all(
        torch.equal(first[k], second[k]) and first[k].dtype == second[k].dtype for k in first
    )


@pytest.fixture(scope="module")
def small() -> State:
    return made_up(SMALL)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "u2netp.pth"


# ---- containers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "gmm", "schp", pytest.param("seg", marks=pytest.mark.slow),
    pytest.param("alias", marks=pytest.mark.slow),
])  # fmt: skip
def test_official_torch_files(tmp_path: Path, name: str) -> None:
    spec, state = network(name), made_up(name)
    inside: Any = {spec.checkpoint.prefix + key: value for key, value in state.items()}
    if spec.checkpoint.inside:
        inside = {"epoch": 150, spec.checkpoint.inside: inside, "optimizer": {"lr": 1e-3}}
    path = tmp_path / spec.checkpoint.file
    torch.save(inside, path)
    loaded = checkpoints.load(path, name)
    assert same(loaded, state)
    with torch.device("meta"):
        module = build(name)
    module.load_state_dict(loaded, strict=True, assign=True)
    path.unlink()


@pytest.mark.parametrize(("name", "net", "variant"), [
    ("openpose_body", "body25", "noisy"), ("openpose_hand", "hand", "v1"),
])  # fmt: skip
def test_official_caffemodels(tmp_path: Path, name: str, net: str, variant: str) -> None:
    golden("pose/openpose.json")
    writer = _module(golden("pose/caffemodel.py"))
    path = tmp_path / network(name).checkpoint.file
    writer.write(net, path, seed=1, variant=variant)
    wanted = {key: torch.from_numpy(value) for key, value in writer.weights(net, 1).items()}
    loaded = checkpoints.load(path, name)
    assert loaded.keys() == wanted.keys() and all(torch.equal(loaded[k], wanted[k]) for k in wanted)
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("noisy", [False, True])
def test_official_densepose_pickle(tmp_path: Path, noisy: bool) -> None:
    golden("pose/densepose.json")
    writer = _module(golden("pose/densepose_pkl.py"))
    path = tmp_path / "model_final_162be9.pkl"
    writer.write(path, seed=2, noisy=noisy)
    wanted = {key: torch.from_numpy(value) for key, value in writer.weights(2).items()}
    loaded = checkpoints.load(path, "densepose")
    assert loaded.keys() == wanted.keys() and all(torch.equal(loaded[k], wanted[k]) for k in wanted)
    path.unlink()


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"golden_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRAPS: dict[str, Callable[[State], Any]] = {
    "bare": dict,
    "ordered": OrderedDict,
    "shuffled": lambda s: {key: s[key] for key in reversed(s)},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model": lambda s: {"model": s},
    "params": lambda s: {"params": s},
    "two deep": lambda s: {"ema": {"net": s}, "lr": 0.1},
    "DataParallel": lambda s: {"module." + key: value for key, value in s.items()},
    "compiled": lambda s: {"_orig_mod.module." + key: value for key, value in s.items()},
    "among others": lambda s: {"discriminator": {"a.weight": torch.zeros(3)}, "generator": s},
    "parameters": lambda s: {
        k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()
    },
    "double": lambda s: {k: v.double() if v.is_floating_point() else v for k, v in s.items()},
    "numpy in a pickle": lambda s: {"model": {k: v.numpy() for k, v in s.items()}},
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_way_of_saving(file: Path, small: State, wrap: str, zipped: bool) -> None:
    contents = WRAPS[wrap](small)
    if wrap == "numpy in a pickle":
        file.write_bytes(pickle.dumps(contents, 4 if zipped else 2))
    else:
        torch.save(contents, file, _use_new_zipfile_serialization=zipped)
    assert same(checkpoints.load(file, SMALL), small)


def test_safetensors(tmp_path: Path, small: State) -> None:
    path = tmp_path / "u2netp.safetensors"
    save_file(small, path)
    assert same(checkpoints.load(str(path), SMALL), small)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(file: Path, small: State, dtype: torch.dtype) -> None:
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in small.items()}
    torch.save(half, file)
    loaded = checkpoints.load(file, SMALL)
    key = "side1.weight"
    assert loaded[key].dtype == torch.float32 and torch.equal(loaded[key], half[key].float())


def test_files_older_than_batch_counters(file: Path, small: State) -> None:
    torch.save({k: v for k, v in small.items() if not k.endswith("num_batches_tracked")}, file)
    loaded = checkpoints.load(file, SMALL)
    assert list(loaded) == list(small)
    assert loaded["stage1.rebnconvin.bn_s1.num_batches_tracked"].item() == 0


def test_leftovers_that_the_table_names_are_ignored(tmp_path: Path) -> None:
    state = made_up("tracer_b7")
    path = tmp_path / "tracer_b7.pth"
    torch.save({**state, "encoder.Frequency_Edge_Module1.weight": torch.zeros(2)}, path)
    assert same(checkpoints.load(path, "tracer_b7"), state)


# ---- keys ------------------------------------------------------------------------------------


def refused(path: Path, name: str = SMALL) -> str:
    """The one line that a command prints for the file; its exit code is checked here."""

    @click.command()
    @guarded
    def command() -> None:
        checkpoints.load(path, name)

    result = CliRunner().invoke(command)
    assert result.exit_code == CheckpointError.exit_code, result.output
    line = result.stderr.strip()
    assert "\n" not in line and "Traceback" not in line
    assert str(path) in line and name in line
    return line


def test_one_error_names_every_difference(file: Path, small: State) -> None:
    torch.save(small, file)
    broken = dict(small)
    for key in ("side1.bias", "outconv.weight"):
        del broken[key]
    broken["stranger.weight"] = torch.zeros(3)
    broken["side2.bias"] = torch.zeros(5)
    torch.save(broken, file)
    line = refused(file)
    assert "2 of 798 keys missing (side1.bias, outconv.weight)" in line
    assert "1 unexpected (stranger.weight)" in line
    assert "1 of another shape (side2.bias is 5, needs 1)" in line
    assert "changed version of this very network" in line
    assert "--download --networks u2netp" in line


@pytest.mark.parametrize(("given", "wanted"), [
    ("u2netp", "seg"), ("u2netp", "u2net"), ("gmm", "alias"), ("gmm", "u2netp"), ("seg", "gmm"),
    ("seg", "openpose_hand"),
])  # fmt: skip
def test_another_networks_file_is_recognised(tmp_path: Path, given: str, wanted: str) -> None:
    path = tmp_path / network(wanted).checkpoint.file
    torch.save({"state_dict": {"module." + k: v for k, v in made_up(given).items()}}, path)
    line = refused(path, wanted)
    assert f"looks like the checkpoint of {given} ({network(given).checkpoint.file}" in line
    assert len(line) < 3000


def test_the_body_model_given_for_the_hands(tmp_path: Path) -> None:
    golden("pose/openpose.json")
    path = tmp_path / "pose_iter_102000.caffemodel"
    _module(golden("pose/caffemodel.py")).write("body25", path)
    line = refused(path, "openpose_hand")
    assert "checkpoint of openpose_body (pose_iter_584000.caffemodel" in line
    path.unlink()


def test_a_long_list_is_cut_with_its_count(file: Path) -> None:
    torch.save({f"x{i}.weight": torch.zeros(1) for i in range(500)}, file)
    line = refused(file)
    assert "500 unexpected" in line and "and 492 more" in line
    assert "no network of this pipeline" in line


def test_unknown_names(file: Path) -> None:
    with pytest.raises(UnknownNetwork, match="there are"):
        checkpoints.load(file, "yolo")
    with pytest.raises(UnknownNetwork, match="variant"):
        checkpoints.load(file, SMALL, "huge")


# ---- broken files ----------------------------------------------------------------------------


def torch_bytes(value: Any, tmp: Path, zipped: bool = True) -> bytes:
    torch.save(value, tmp, _use_new_zipfile_serialization=zipped)
    return tmp.read_bytes()


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def zip_of(names: dict[str, bytes], path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return path.read_bytes()


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


# ---- finding, and origins --------------------------------------------------------------------


def test_find_prefers_the_official_name_and_looks_one_folder_down(tmp_path: Path) -> None:
    spec = network("schp")
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    (tmp_path / "deep" / "deeper" / spec.checkpoint.file).touch()
    with pytest.raises(CheckpointError, match="no exp-schp"):
        checkpoints.find(tmp_path, spec)
    for name in ("schp.safetensors", "schp_lip.pth", "deep/EXP-SCHP-201908261155-LIP.pth"):
        (tmp_path / name).touch()
        assert checkpoints.find(tmp_path, spec) == tmp_path / name
    (tmp_path / spec.checkpoint.file).touch()
    assert checkpoints.find(tmp_path, spec) == tmp_path / spec.checkpoint.file


def test_find_tells_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        checkpoints.find(tmp_path / "none", network("gmm"))
    (tmp_path / "tom_final.pth").touch()
    with pytest.raises(CheckpointError, match=r"there: tom_final\.pth.*--networks gmm"):
        checkpoints.find(tmp_path, network("gmm"))
    (tmp_path / "gmm_final.pth.part").touch()
    with pytest.raises(CheckpointError, match="unfinished download"):
        checkpoints.find(tmp_path, network("gmm"))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_found_by_its_official_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / network(name).checkpoint.file
    path.touch()
    assert checkpoints.find(tmp_path, network(name)) == path


def test_another_hash_is_a_warning_and_not_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "gmm_final.pth"
    torch.save(made_up("gmm"), path)
    with caplog.at_level(logging.WARNING):
        loaded = checkpoints.open_checkpoint(path, "gmm")
    assert loaded.origin.official == "other" and "not the official file" in caplog.text
    assert len(loaded.origin.sha256) == 64 and loaded.origin.bytes == path.stat().st_size


def test_an_unknown_hash_is_never_called_official(file: Path, small: State) -> None:
    torch.save(small, file)
    source = checkpoints.open_checkpoint(file, SMALL).origin
    assert source.official == "unknown" and "origin unknown" in source.words


def test_finding_needs_no_torch() -> None:
    code = ("import sys, fuw.export.checkpoint_files, fuw.export.sniff, fuw.export.unpickle;"
            "sys.exit('torch' in sys.modules)")  # fmt: skip
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
