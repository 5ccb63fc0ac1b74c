"""Exports of tiny networks, for tests: the table's variants are narrow, and traced only once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from tiny_networks import TINY, tiny_network

from fuw.engine.networks import NETWORKS
from fuw.engine.spec import NetSpec
from fuw.export import match, to_onnx
from fuw.export.build import ExportOptions, main_export
from fuw.export.report import Report

NAMES = ("seg", "gmm")


@pytest.fixture(autouse=True)
def tiny_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table's official variants, narrow and small, so that an export takes seconds."""
    match.expected.cache_clear()  # it remembers the table's networks by name
    for name in NAMES:
        official = replace(NETWORKS[name], variants={"official": TINY[name]})
        monkeypatch.setitem(NETWORKS, name, official)
    monkeypatch.setattr(to_onnx, "_traced", traced_once)
    yield
    match.expected.cache_clear()


_trace = to_onnx._traced
_traces: dict[object, onnx.ModelProto] = {}


def traced_once(spec: NetSpec, module: torch.nn.Module,
                 inputs: tuple[torch.Tensor, ...]) -> onnx.ModelProto:
    """The same weights traced once in all tests: Torch's exporter is what takes the seconds."""
    weights = sum(float(v.double().abs().sum()) for v in module.state_dict().values())
    key = (spec.name, type(module), weights, tuple(x.shape for x in inputs))
    if key not in _traces:
        _traces[key] = _trace(spec, module, inputs)
    model = onnx.ModelProto()
    model.CopyFrom(_traces[key])
    return model


def checkpoint(folder: Path, name: str, seed: int = 0, scale: float = 1.0) -> Path:
    state = {k: v * scale if v.is_floating_point() and v.ndim > 1 else v
             for k, v in tiny_network(name, seed).state_dict().items()}
    path = folder / NETWORKS[name].checkpoint.file
    torch.save(state, path)
    return path


def export_seg(folder: Path, *precisions: str, **more: object) -> Report:
    options = ExportOptions(weights=str(folder), networks=("seg",), threads=1,
                            precisions=precisions or ("fp32",), **more)  # type: ignore[arg-type]
    return main_export(options)


def states(report: Report) -> list[tuple[str, str, str]]:
    return [(r.network, r.precision, r.status) for r in report.rows]
