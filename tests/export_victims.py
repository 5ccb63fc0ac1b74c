"""Exports killed one after another; what each leaves is looked at. For test_export_killed.py.

Usage: python export_victims.py FOLDER KILLS. Prints how many of how many files that manifests named
after a kill were looked at, and what the last, undisturbed export did. Not a test itself.

Torch takes seconds to start and to trace, publication milliseconds. So this process traces once
and forks its victims. Every second one is killed at a random moment of its life, the others within
a few milliseconds of a publication's beginning, where a half-done step would lie.
"""

import hashlib
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch
from tiny_networks import TINY, tiny_network

from fuw.engine.files import sweep
from fuw.engine.networks import NETWORKS
from fuw.engine.weights import MANIFEST, read_manifest
from fuw.export import publish, to_onnx
from fuw.export.build import ExportOptions, main_export
from fuw.export.report import Report

LIFE = 1.5  # seconds within which a victim dies; an export of the tiny network takes about one
STEP = 0.01  # seconds from the beginning of a publication


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
    """Keep what Torch's exporter makes of each checkpoint; victims inherit it."""
    trace, traces = to_onnx._traced, {}

    def traced(spec, module, inputs):  # type: ignore[no-untyped-def]
        key = sum(float(v.double().abs().sum()) for v in module.state_dict().values())
        if key not in traces:
            traces[key] = trace(spec, module, inputs)
        copy = onnx.ModelProto()
        copy.CopyFrom(traces[key])
        return copy

    to_onnx._traced = traced
    for seed in (0, 1):
        with TemporaryDirectory() as folder:
            to_onnx.export_onnx(NETWORKS["seg"], tiny_network("seg", seed),
                                Path(folder, "seg.onnx"))


def export(folder: Path) -> Report:
    """Both precisions of the checkpoint that lies in `folder`."""
    return main_export(ExportOptions(str(folder), networks=("seg",), threads=1,
                                     precisions=("fp32", "fp16"), backends=("ort-cpu",)))


def victim(folder: Path, states: list[bytes], told: int) -> None:
    """Export both checkpoints in turn until killed; a byte in `told` for every publication."""
    published = publish.publish

    def announced(*args, **named):  # type: ignore[no-untyped-def]
        os.write(told, b".")
        return published(*args, **named)

    publish.publish = announced
    while True:
        for state in states:
            (folder / "seg_final.pth").write_bytes(state)
            assert export(folder).ok


def killed(folder: Path, states: list[bytes], moments: random.Random, at_publication: bool) -> None:
    """Fork a victim and kill it."""
    hear, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            victim(folder, states, tell)
        finally:
            os._exit(1)  # only an error comes here
    os.close(tell)
    if at_publication:
        assert os.read(hear, 1) == b"."
        time.sleep(moments.uniform(0, STEP))
    else:
        time.sleep(moments.uniform(0, LIFE))
    os.kill(child, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    os.close(hear)


def looked_at(out: Path) -> int:
    """Hold every file that the manifest names to its hash and to ONNX; returns how many."""
    entries = read_manifest(out) if (out / MANIFEST).exists() else []
    for entry in entries:
        data = (out / entry.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry.sha256, entry.file
        onnx.checker.check_model(onnx.load_from_string(data))
    return len(entries)


def main(folder: Path, kills: int) -> None:
    """Kill, look, kill again; then let one live."""
    NETWORKS["seg"] = replace(NETWORKS["seg"], variants={"official": TINY["seg"]})
    trace_once()
    states, moments, out, seen = checkpoints(folder), random.Random(0), folder / "onnx", 0
    (folder / "seg_final.pth").write_bytes(states[0])
    first = os.fork()  # this process opens no session itself: threads do not survive a fork
    if not first:
        os._exit(0 if export(folder).ok else 1)
    assert os.waitpid(first, 0)[1] == 0 and looked_at(out) == 2
    for trial in range(kills):
        killed(folder, states, moments, at_publication=bool(trial % 2))
        seen += looked_at(out)
    report = export(folder)
    assert report.ok, report.table()
    assert looked_at(out) == 2 and not sweep(out)  # the export itself has swept
    names = {path.name for path in out.iterdir()}
    assert names == {MANIFEST, "seg.fp32.onnx", "seg.fp16.onnx"}, names
    print(f"{seen} of {2 * kills}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]))
