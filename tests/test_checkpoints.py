"""Every official container loads unchanged; of a wrong one every difference is named."""

import importlib.util
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_files import golden
from made_up_checkpoints import SMALL, State, made_up, refused, same
from safetensors.torch import save_file

from fuw.engine.errors import UnknownNetwork
from fuw.engine.networks import network
from fuw.export import checkpoints
from fuw.export.nets import build


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
