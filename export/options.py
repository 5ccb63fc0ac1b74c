"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fuw.engine.spec import Precision

RUNTIMES = {"ort-cpu": "onnxruntime", "openvino": "openvino"}  # and the package of each
Progress = Callable[[str, str, float], None]
"""Called with (network, what is being done, share done 0..1)."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export; the command line's options carry the same names.

    Attributes:
        weights: "starter", or a folder with checkpoints.
        out: folder for the files; None means "onnx" in the weights' folder (or here, for starter).
        networks: names; empty means every network whose weights are there.
        precisions: of the files that are wanted.
        batch: samples per run.
        size: (height, width) of the picture, for the networks that follow it.
        mask_size: side of U2Net's square picture, 320 or 640.
        alias: form of ALIAS in fp32: the plain graph, the label-sparse one, or the faster here.
        force: export again what is up to date.
        backends: runtimes to prove in; empty means every one that is installed. "trt" builds
            TensorRT engines of what was proved.
        photos: a person and a garment: the reduced chain is then judged by its labels, masks, key
            points and picture as well.
        threads: of the runtimes; 0 means all cores.
        builder_level, workspace: of TensorRT, see `fuw.export.to_trt.BuildOptions`.
        cache: folder for engines; None means the user's.
    """

    weights: str = "starter"
    out: Path | None = None
    networks: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ("fp32",)
    batch: int = 1
    size: tuple[int, int] | None = None
    mask_size: int = 320
    alias: Literal["auto", "dense", "sparse"] = "auto"
    force: bool = False
    backends: tuple[str, ...] = ()
    photos: tuple[Path, Path] | None = None
    threads: int = 0
    builder_level: int = 3
    workspace: float = 0
    cache: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the files go."""
        if self.out is not None:
            return self.out
        return Path("onnx") if self.weights == "starter" else Path(self.weights) / "onnx"

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes to prove in."""
        asked = tuple(name for name in self.backends if name in RUNTIMES)
        return asked or tuple(n for n, p in RUNTIMES.items() if find_spec(p))
