"""Torch module -> one ONNX file: static shapes, the spec's tensor names, everything folded."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from onnx import ModelProto
from torch import nn

import fuw
from fuw.engine.errors import ExportError
from fuw.engine.spec import NetSpec, TensorSpec
from fuw.export import graph
from fuw.export.nets.spectral import fold_spectral_norm

OPSET = 18  # the newest that torch's exporter writes directly and every runtime here reads
FORMAT = 1  # of what stands in the files; a change makes older exports stale


def export_onnx(spec: NetSpec, module: nn.Module, path: Path, *, variant: str = "official",
                batch: int = 1, size: tuple[int, int] | None = None, origin: str = "",
                checkpoint: str = "", more: Sequence[TensorSpec] = ()) -> Path:
    """Write `module` as ONNX, fp32, weights inside the file.

    Args:
        spec: what the network is; tensors get its names.
        module: with its weights loaded. Spectral norm is folded in place: the module computes the
            same afterwards, but no longer loads official keys.
        path: of the file, written whole or not at all.
        variant: of the spec that `module` is.
        batch: samples per run.
        size: (height, width) of the picture, where the network follows it (`spec.sized`).
        origin: where the weights come from, in words.
        checkpoint: SHA-256 of the file they come from.
        more: inputs behind the spec's, of numbers only (`fuw.engine.windows`).

    Returns:
        `path`.

    Raises:
        ExportError: a size the network cannot take, or shapes other than the spec's came out.
    """
    sizes, described = checked_sizes(spec, variant, size), spec.hash(variant)
    spec = replace(spec, inputs=(*spec.inputs, *more))
    inputs = tuple(torch.zeros(t.shape(sizes, batch), dtype=getattr(torch, t.dtype))
                   for t in spec.inputs)
    model = _traced(spec, fold_spectral_norm(module).eval(), inputs)
    graph.name_by_module(model)
    graph.lift_constants(model)
    _check_tensors(spec, model, sizes, batch)
    graph.set_metadata(model, {
        "fuw.network": spec.name, "fuw.variant": variant, "fuw.precision": "fp32",
        "fuw.spec": described, "fuw.batch": str(batch), "fuw.format": str(FORMAT),
        "fuw.sizes": ",".join(f"{k}={v}" for k, v in sorted(sizes.items())),
        "fuw.origin": origin, "fuw.checkpoint": checkpoint, "fuw.licence": spec.checkpoint.licence,
        "fuw.version": fuw.__version__, "torch.version": torch.__version__.partition("+")[0],
        "onnx.version": onnx.__version__,
    })
    model.producer_name, model.producer_version = "fuw", fuw.__version__
    model.doc_string = spec.about
    return graph.save(model, path)


def checked_sizes(spec: NetSpec, variant: str, size: tuple[int, int] | None) -> dict[str, int]:
    """Numbers for the axis words; raises ExportError for a size the network cannot take."""
    sizes = spec.sizes(variant, size)
    if not (spec.sized and spec.multiple and size is not None):
        return sizes
    height, width = size
    if height % spec.multiple or width % spec.multiple or min(size) <= 0:
        near = "x".join(str(max(spec.multiple, round(n / spec.multiple) * spec.multiple))
                        for n in size)
        raise ExportError(
            f"{spec.name} cannot take {height}x{width}: it halves the picture until 1/"
            f"{spec.multiple}, so both sides must be multiples of {spec.multiple}; "
            f"the nearest is {near}"
        )
    return sizes


def _traced(spec: NetSpec, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> ModelProto:
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module, inputs, dynamo=True, opset_version=OPSET, verbose=False,
            input_names=[t.name for t in spec.inputs],
            output_names=[t.name for t in spec.outputs],
        )
    assert program is not None  # None only where a file name is given and dynamo is off
    model: ModelProto = program.model_proto
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's chatter: absent torchvision, decompositions it tried, progress."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check_tensors(spec: NetSpec, model: ModelProto, sizes: dict[str, int], batch: int) -> None:
    for side, tensors, values in (("input", spec.inputs, model.graph.input),
                                  ("output", spec.outputs, model.graph.output)):
        got = {v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in values}
        want = {t.name: t.shape(sizes, batch) for t in tensors}
        if got != want:
            raise ExportError(
                f"{spec.name}: the graph's {side}s are {got}, the spec says {want}; "
                "the spec's sizes do not fit the network"
            )
