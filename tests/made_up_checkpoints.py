"""Made-up checkpoints, and what a command says of one that it refuses."""

import zipfile
from pathlib import Path
from typing import Any

import click
import torch
from click.testing import CliRunner

from fuw.cli import guarded
from fuw.engine.errors import CheckpointError
from fuw.export import checkpoints, match

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


def torch_bytes(value: Any, tmp: Path, zipped: bool = True) -> bytes:
    torch.save(value, tmp, _use_new_zipfile_serialization=zipped)
    return tmp.read_bytes()


def zip_of(names: dict[str, bytes], path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    return path.read_bytes()
