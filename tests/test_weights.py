"""Which exported files a run takes, and what is said of those that do not fit."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fuw.engine.backend import Model, Network, OpenOptions
from fuw.engine.errors import CheckpointError, UnknownNetwork
from fuw.engine.networks import network
from fuw.engine.weights import (
    MANIFEST,
    Entry,
    file_name,
    find_models,
    proved,
    read_manifest,
    write_manifest,
)


def entry(name: str, size: tuple[int, int] | None = None, precision: str = "fp32") -> Entry:
    spec = network(name)
    sizes = spec.sizes("official", size)
    return Entry(file_name(spec, precision, sizes), name, "official", precision, sizes,
                 spec.hash("official"), "made up", "")


def test_the_pictures_size_chooses_between_files(tmp_path: Path) -> None:
    write_manifest(tmp_path, [entry("seg"), entry("alias"), entry("alias", (512, 384)),
                              entry("alias", (512, 384), "fp16")])
    found = find_models(tmp_path, "fp32", (512, 384))
    assert set(found) == {"seg", "alias"}
    assert found["alias"].path.name == "alias-512x384.fp32.onnx"
    assert find_models(tmp_path, "fp32", (1024, 768))["alias"].path.name == "alias.fp32.onnx"


def test_a_size_that_nothing_was_exported_for_is_told_at_once(tmp_path: Path) -> None:
    write_manifest(tmp_path, [entry("seg"), entry("alias"), entry("alias", (512, 384))])
    with pytest.raises(CheckpointError, match="512x384, 1024x768 .* not 256x128"):
        find_models(tmp_path, "fp32", (256, 128))
    assert not find_models(tmp_path, "fp16", (256, 128))  # none of that precision at all


def test_files_of_another_description_are_stale(tmp_path: Path) -> None:
    stale = Entry(**{**vars(entry("seg")), "spec": "0" * 16})
    write_manifest(tmp_path, [stale])
    with pytest.raises(CheckpointError, match="has changed since"):
        find_models(tmp_path, "fp32", (1024, 768))


@pytest.mark.parametrize(("field", "value"), [
    ("file", "../../secret.onnx"), ("file", "/etc/passwd"), ("file", ""), ("file", None),
    ("file", "a\0.onnx"), ("network", ["seg"]), ("network", {}), ("variant", None),
    ("precision", ["fp32"]), ("sizes", []), ("sizes", {"height": "1024"}),
    ("sizes", {"height": 10**400, "width": 1}), ("sizes", {"height": True, "width": 1}),
    ("sha256", 5), ("sha256", "zz"), ("batch", 0), ("batch", 2.5), ("extra", []),
    ("origin", "x" * 70_000), ("new", 1),
])
def test_a_manifest_with_a_row_of_a_wrong_kind(field: str, value: Any, tmp_path: Path) -> None:
    write_manifest(tmp_path, [entry("seg"), entry("alias")])
    told = json.loads((tmp_path / MANIFEST).read_text())
    told["networks"][0][field] = value
    (tmp_path / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="cannot be read .*; export again"):
        find_models(tmp_path, "fp32", (1024, 768))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 5000, '{"format": 1}', "\xff",
                                  '{"format": 1, "networks": {"a": 1}}', "9" * 5000])
def test_a_manifest_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="latin1")
    with pytest.raises(CheckpointError, match="export again"):
        read_manifest(tmp_path)


def test_a_manifest_of_unknown_variants_and_without_the_pictures_size(tmp_path: Path) -> None:
    write_manifest(tmp_path, [replace(entry("seg"), variant="huge")])
    with pytest.raises(UnknownNetwork, match="no variant 'huge'"):
        find_models(tmp_path, "fp32", (1024, 768))
    write_manifest(tmp_path, [replace(entry("alias"), sizes={"height": 1024})])
    with pytest.raises(CheckpointError, match="for which size"):
        find_models(tmp_path, "fp32", (1024, 768))


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
def test_a_damaged_network_file_is_not_computed_with(name: str, tmp_path: Path) -> None:
    from tiny import tiny_model

    from fuw.engine.choose import CPU_BACKENDS

    made: Model = tiny_model(tmp_path)
    good = made.path.read_bytes()
    model = replace(made, sha256=hashlib.sha256(good).hexdigest())
    assert proved(model) == made.path
    two = good.index(b"\0\0\0\x40")  # the network's one weight, 2.0: three is as good a float
    made.path.write_bytes(good[:two] + b"\0\0\x40\x40" + good[two + 4:])
    backend = CPU_BACKENDS[name]()
    Network(made, backend, OpenOptions()).open()  # nothing else would tell
    with pytest.raises(CheckpointError, match="is not the file that was exported"):
        Network(model, backend, OpenOptions(cache=tmp_path / "cache")).open()
    made.path.unlink()
    with pytest.raises(CheckpointError, match="there is no such file"):
        proved(model)
