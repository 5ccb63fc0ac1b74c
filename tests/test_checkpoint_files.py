"""Checkpoints are found under every name they go by, and told official only by their hash."""

import logging
import os
import sys
from pathlib import Path

import pytest
import torch
from made_up_checkpoints import SMALL, made_up

from fuw.engine.errors import CheckpointError
from fuw.engine.networks import NETWORKS, network
from fuw.export import checkpoints


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


def test_an_unknown_hash_is_never_called_official(tmp_path: Path) -> None:
    file = tmp_path / "u2netp.pth"
    torch.save(made_up(SMALL), file)
    source = checkpoints.open_checkpoint(file, SMALL).origin
    assert source.official == "unknown" and "origin unknown" in source.words


def test_finding_needs_no_torch() -> None:
    code = ("import sys, fuw.export.checkpoint_files, fuw.export.sniff, fuw.export.unpickle;"
            "sys.exit('torch' in sys.modules)")  # fmt: skip
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0
