"""Which exported files a run takes, and what is said of those that do not fit."""

from pathlib import Path

import pytest

from fuw.engine.errors import CheckpointError
from fuw.engine.networks import network
from fuw.engine.weights import Entry, file_name, find_models, write_manifest


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
