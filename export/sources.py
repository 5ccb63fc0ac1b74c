"""Where an export starts: the official checkpoints, or the starter weights' own ONNX files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from fuw.engine.arrays import F32
from fuw.engine.errors import CheckpointError, ExportError
from fuw.engine.spec import NetSpec, TensorSpec
from fuw.engine.weights import Entry, folder_of, read_manifest
from fuw.engine.windows import Level
from fuw.export import checkpoints, nets, verify
from fuw.export.nets.alias_sparse import sparse_module
from fuw.export.nets.alias_static import static_module
from fuw.export.to_onnx import checked_sizes, export_onnx


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

    @property
    def standing(self) -> str:
        """Whether that is the official file, in words."""

    @property
    def forms(self) -> bool:
        """Whether `write_form` and `write_static` have a form to write."""

    def write_onnx(self, path: Path, inputs: Sequence[F32], batch: int,
                   size: tuple[int, int] | None) -> list[F32]:
        """Write the fp32 ONNX file and return the reference outputs for `inputs`."""

    def write_form(self, path: Path, batch: int, size: tuple[int, int] | None) -> str:
        """Write the form that CPUs may run better and return its name; "" where there is none."""

    def write_static(self, path: Path, batch: int, size: tuple[int, int] | None,
                     ) -> tuple[Level, ...]:
        """Write that form in static shapes, for engines; returns the levels whose windows are found
        in front of it, none where there is no such form."""


# The same function in a graph whose shapes follow the data: a CPU's gain, and no use to engines
# with static shapes, which take the plain graph.
FORMS: dict[str, tuple[str, Callable[[Any], nn.Module]]] = {"alias": ("sparse", sparse_module)}


def find_source(weights: str, spec: NetSpec, mask_size: int = 320) -> Source:
    """The weights of `spec` in `weights` ("starter" or a folder); CheckpointError if none.

    `mask_size` chooses between the variants that some mask networks have ("official-640").
    """
    if weights == "starter":
        folder = folder_of(weights)
        for entry in read_manifest(folder):
            if entry.network == spec.name and entry.precision == "fp32":
                return StarterSource(spec, folder / entry.file, entry)
        raise CheckpointError(f"{spec.name}: the starter weights hold no such network")
    path = checkpoints.find(Path(weights), spec)
    larger = f"official-{mask_size}"
    origin = checkpoints.origin(path, spec)
    return CheckpointSource(spec, path, origin.sha256, origin.words,
                            larger if larger in spec.variants else "official")


@dataclass(frozen=True)
class CheckpointSource:
    """An official checkpoint; the reference is the Torch network."""

    spec: NetSpec
    path: Path
    checkpoint: str
    standing: str
    variant: str = "official"

    @property
    def origin(self) -> str:
        """The checkpoint's file name."""
        return self.path.name

    @property
    def forms(self) -> bool:
        """Only ALIAS has another form."""
        return self.spec.name in FORMS

    def write_onnx(self, path: Path, inputs: Sequence[F32], batch: int,
                   size: tuple[int, int] | None) -> list[F32]:
        """Load, run in Torch, export."""
        module = self._module()
        want = verify.run_torch(module, inputs)
        self._export(module, path, batch, size)
        return want

    def write_form(self, path: Path, batch: int, size: tuple[int, int] | None) -> str:
        """Load again, rearrange, export."""
        if not self.forms:
            return ""
        name, arrange = FORMS[self.spec.name]
        self._export(arrange(self._module()), path, batch, size)
        return name

    def write_static(self, path: Path, batch: int, size: tuple[int, int] | None,
                     ) -> tuple[Level, ...]:
        """Load again, rearrange, export with the windows as inputs."""
        if not self.forms:
            return ()
        module = static_module(self._module())
        sizes = checked_sizes(self.spec, self.variant, size)
        picture = sizes["height"], sizes["width"]
        levels = module.windowed(batch, *picture)
        self._export(module, path, batch, size,
                     [tensor for level in levels for tensor in level.tensors(batch, *picture)])
        return levels

    def _module(self) -> Any:
        with torch.device("meta"):  # every parameter is in the file: none is drawn at random
            module = nets.build(self.spec.name, variant=self.variant)
        state = checkpoints.load(self.path, self.spec.name, self.variant)
        module.load_state_dict(state, strict=True, assign=True)
        return module

    def _export(self, module: nn.Module, path: Path, batch: int, size: tuple[int, int] | None,
                more: Sequence[TensorSpec] = ()) -> None:
        export_onnx(self.spec, module, path, variant=self.variant, batch=batch, size=size,
                    origin=self.origin, checkpoint=self.checkpoint, more=more)


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

    @property
    def standing(self) -> str:
        """The shipped file is its own origin."""
        return "shipped with this package"

    @property
    def forms(self) -> bool:
        """The shipped file stays as it is."""
        return False

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

    def write_form(self, path: Path, batch: int, size: tuple[int, int] | None) -> str:
        """The shipped file has the form it was shipped in."""
        return ""

    def write_static(self, path: Path, batch: int, size: tuple[int, int] | None,
                     ) -> tuple[Level, ...]:
        """The shipped file has the form it was shipped in."""
        return ()
