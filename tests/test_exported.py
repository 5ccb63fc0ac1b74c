"""Files of the official sizes that fuw-export wrote: sound, about half in fp16, run, and built.

They are 0.9 GB and take minutes to make, so they are looked at where FUW_EXPORTED names their
folder; docs/export.md tells when that was last done and what came out.

    python tests/generated.py checkpoints && fuw-export --weights checkpoints --fp16
    FUW_EXPORTED=checkpoints/onnx pytest tests/test_exported.py
"""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from fuw.engine import trt
from fuw.engine.networks import NETWORKS
from fuw.engine.weights import Entry, read_manifest
from fuw.export import graph, verify
from fuw.export.samples import sample_inputs
from fuw.export.to_trt import build_plan

FOLDER = Path(os.environ.get("FUW_EXPORTED", "nowhere"))
ENTRIES = read_manifest(FOLDER) if "FUW_EXPORTED" in os.environ else []
pytestmark = [pytest.mark.slow, pytest.mark.skipif(
    not ENTRIES, reason="set FUW_EXPORTED to a folder that fuw-export wrote: it takes minutes")]
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.file)


def test_every_network_is_there() -> None:
    assert {entry.network for entry in ENTRIES} == set(NETWORKS)


@each
def test_the_file_is_sound_and_of_its_type(entry: Entry) -> None:
    model = graph.load(FOLDER / entry.file)
    onnx.checker.check_model(model, full_check=True)
    said = graph.metadata(model)
    assert said["fuw.precision"] == entry.precision and said["fuw.spec"] == entry.spec
    assert not {n.op_type for n in model.graph.node} & {"NonZero", "If", "Loop", "Dropout"} or (
        entry.extra.get("form") == "sparse")
    islands = ",".join(NETWORKS[entry.network].fp32_islands)
    # In bf16 a checkpoint may need wider islands than the spec's (TRACER), and then more bytes.
    if entry.precision == "fp16" or (entry.precision, said["fuw.islands"]) == ("bf16", islands):
        exact = sum(4 * int(np.prod(t.dims)) for t in model.graph.initializer
                    if t.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16,
                                       TensorProto.BFLOAT16))
        assert (FOLDER / entry.file).stat().st_size < 0.55 * exact


@each
@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino"])
def test_it_runs(entry: Entry, runtime: str) -> None:
    if (entry.precision, runtime) == ("bf16", "ort-cpu"):
        pytest.skip("ONNX Runtime has no bf16 on a CPU")
    spec = NETWORKS[entry.network]
    got = verify.run_onnx(spec, FOLDER / entry.file, entry.sizes, entry.batch,
                          sample_inputs(spec, entry.sizes, entry.batch), how=runtime)
    for tensor, answer in zip(spec.outputs, got, strict=True):
        assert answer.shape == tensor.shape(entry.sizes, entry.batch)
        assert np.isfinite(answer).all() and answer.std() > 0


@each
def test_tensorrt_builds_it_without_a_gpu(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13",
                        exc_type=ImportError)
    if entry.extra.get("form") == "sparse":
        pytest.skip("the sparse form is for CPUs: its shapes follow the data")
    monkeypatch.setattr(trt, "PACKAGES", ("tensorrt_rtx",))
    plan = build_plan(FOLDER / entry.file, entry.network)  # raises where weights stayed fp32
    assert len(plan) > 0.9 * (FOLDER / entry.file).stat().st_size
