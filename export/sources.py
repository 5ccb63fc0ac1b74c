"""Where an export starts: the official checkpoints, or the starter weights' own ONNX files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from fuw.engine.arrays import F32
from fuw.engine.errors import CheckpointError, ExportError
from fuw.engine.spec import NetSpec
from fuw.engine.weights import Entry, folder_of, read_manifest
from fuw.export import checkpoints, nets, verify
from fuw.export.to_onnx import export_onnx


class Source(Protocol):
    """Weights of one network."""

    @property
    def variant(self) -> str:
        """Variant of the spec that the weights are."""

    @property
    def origin(self) -> str:
        """Where they come from, in words."""

    @property
    def checkpoint(self) -> str:
        """SHA-256 of the file they come from."""

    def write_onnx(self, path: Path, inputs: Sequence[F32], batch: int,
                   size: tuple[int, int] | None) -> list[F32]:
        """Write the fp32 ONNX file and return the reference outputs for `inputs`."""


def find_source(weights: str, spec: NetSpec) -> Source:
    """The weights of `spec` in `weights` ("starter" or a folder); CheckpointError if none."""
    if weights == "starter":
        folder = folder_of(weights)
        for entry in read_manifest(folder):
            if entry.network == spec.name and entry.precision == "fp32":
                return StarterSource(spec, folder / entry.file, entry)
        raise CheckpointError(f"{spec.name}: the starter weights hold no such network")
    path = checkpoints.find(Path(weights), spec)
    return CheckpointSource(spec, path, checkpoints.origin(path, spec).sha256)


@dataclass(frozen=True)
class CheckpointSource:
    """An official checkpoint; the reference is the Torch network."""

    spec: NetSpec
    path: Path
    checkpoint: str
    variant: str = "official"

    @property
    def origin(self) -> str:
        """The checkpoint's file name."""
        return self.path.name

    def write_onnx(self, path: Path, inputs: Sequence[F32], batch: int,
                   size: tuple[int, int] | None) -> list[F32]:
        """Load, run in Torch, export."""
        spec = self.spec
        with torch.device("meta"):  # every parameter is in the file: none is drawn at random
            module = nets.build(spec.name, variant=self.variant)
        state = checkpoints.load(self.path, spec.name, self.variant)
        module.load_state_dict(state, strict=True, assign=True)
        want = verify.run_torch(module, inputs)
        export_onnx(spec, module, path, variant=self.variant, batch=batch, size=size,
                    origin=self.origin, checkpoint=self.checkpoint)
        return want


@dataclass(frozen=True)
class StarterSource:
    """A shipped ONNX file; the reference is that file in ONNX Runtime."""

    spec: NetSpec
    path: Path
    entry: Entry

    @property
    def variant(self) -> str:
        """The variant the shipped file holds."""
        return self.entry.variant

    @property
    def origin(self) -> str:
        """In words, as the manifest says."""
        return self.entry.origin

    @property
    def checkpoint(self) -> str:
        """SHA-256 of the shipped file."""
        return self.entry.sha256

    def write_onnx(self, path: Path, inputs: Sequence[F32], batch: int,
                   size: tuple[int, int] | None) -> list[F32]:
        """Copy the shipped file; its shapes are static, so another batch or size is refused."""
        spec, entry = self.spec, self.entry
        sizes = spec.sizes(entry.variant, size)
        if batch != entry.batch or sizes != dict(entry.sizes):
            raise ExportError(
                f"{spec.name}: the starter weights are shipped as a graph of batch {entry.batch} "
                f"and {entry.sizes}, which cannot be stretched to batch {batch} and {sizes}; "
                "export from a checkpoint, or leave --batch and --size away"
            )
        shutil.copyfile(self.path, path)
        return verify.run_onnx(spec, path, sizes, batch, inputs)
