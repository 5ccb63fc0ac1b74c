"""Export two tiny checkpoints in turn, for ever: the victim of tests/test_export_killed.py.

Usage: python export_loop.py FOLDER. Prints "ready" when the loop begins. Not a test itself.
"""

import sys
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from tiny_networks import TINY, tiny_network

from fuw.engine.networks import NETWORKS
from fuw.export import to_onnx
from fuw.export.build import ExportOptions, main_export


def checkpoints(folder: Path) -> list[bytes]:
    """The bytes of two checkpoints of the tiny seg generator."""
    made = []
    for seed in (0, 1):
        path = folder / f"{seed}.tmp"
        torch.save(tiny_network("seg", seed).state_dict(), path)
        made.append(path.read_bytes())
        path.unlink()
    return made


def trace_once() -> None:
    """Torch's exporter takes seconds, publication a millisecond: trace each seed once."""
    trace, traces = to_onnx._traced, {}

    def traced(spec, module, inputs):  # type: ignore[no-untyped-def]
        key = sum(float(v.double().abs().sum()) for v in module.state_dict().values())
        if key not in traces:
            traces[key] = trace(spec, module, inputs)
        copy = onnx.ModelProto()
        copy.CopyFrom(traces[key])
        return copy

    to_onnx._traced = traced


def main(folder: Path) -> None:
    """Loop until killed."""
    NETWORKS["seg"] = replace(NETWORKS["seg"], variants={"official": TINY["seg"]})
    trace_once()
    states = checkpoints(folder)
    options = ExportOptions(str(folder), networks=("seg",), precisions=("fp32", "fp16"), threads=1,
                            backends=("ort-cpu",))
    for turn in range(10**6):
        (folder / "seg_final.pth").write_bytes(states[turn % 2])
        report = main_export(options)
        assert report.ok, report.table()
        if turn == 1:
            print("ready", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
