"""`fuw-info` as text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from fuw.engine.devices import Device
from fuw.engine.info import Info, Tool, Weights
from fuw.engine.probe import Runtime
from fuw.engine.store import Entry


def render(info: Info) -> str:
    """The same as text, problems last, each with its mend."""
    return "\n".join([
        f"fuw {info.version}, Python {info.python}, {info.system}",
        "", "Devices", *map(_device_line, info.devices),
        "", "Backends", *(line for runtime in info.runtimes for line in _runtime_lines(runtime)),
        f"  A run takes {info.chosen or 'none'}, unless it is told otherwise.",
        "", f"Weights ({info.weights_folder})", *_or_none(map(_weights_line, info.weights)),
        *_section(f"Checkpoints ({info.checkpoints_folder})", [
            f"  {c.network:<14} {c.file}: {c.origin}" for c in info.checkpoints]),
        "", f"Engine cache ({info.cache}, {_size(info.cache_bytes)})",
        *_or_none(_engine_lines(info.engines)),
        "", "Packages", *map(_tool_line, info.tools),
        "", *_problem_lines(info),
    ])  # fmt: skip


def _device_line(device: Device) -> str:
    cores = f", {device.cores} cores" if device.cores else ""
    driver = f", driver {device.driver}" if device.driver else ""
    return f"  {device.name:<8} {device.model}{cores}, {_size(device.memory)}{driver} " \
           f"[{device.arch}]"  # fmt: skip


def _runtime_lines(runtime: Runtime) -> Iterator[str]:
    if not runtime.version:
        yield f"  {runtime.name:<14} not installed ({runtime.install})"
        return
    yield f"  {runtime.name:<14} {runtime.version}"
    for one in runtime.opened:
        yield f"    {one.name:<28} {'opens' if not one.problem else 'no: ' + one.problem}"


def _weights_line(weights: Weights) -> str:
    state = f"  BROKEN: it {weights.problem}" if weights.problem else ""
    words = weights.variant if weights.variant == weights.origin else (
        f"{weights.variant}, from {weights.origin}")
    return f"  {weights.network:<14} {weights.precision:<5} {_size(weights.bytes):>9}  " \
           f"{words}{state}"  # fmt: skip


def _engine_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """A line for all engines that differ in their weights or settings only, newest use told."""
    alike: dict[str, list[Entry]] = {}
    for entry in entries:
        alike.setdefault(_engine_words(entry), []).append(entry)
    now = time.time()
    for words, group in alike.items():
        days = (now - max(entry.used for entry in group)) / 86400
        size = _size(sum(entry.bytes for entry in group))
        count = f"{len(group)} engines, {size} in all" if len(group) > 1 else size
        yield f"  {words}: {count}, used {days:.0f} days ago"


def _engine_words(entry: Entry) -> str:
    if entry.key is None or entry.problem:
        return f"not loaded, {entry.problem}"
    key = entry.key
    return f"{key.network:<14} {key.precision:<5} {key.size:>9} b{key.batch}, {key.runtime} " \
           f"{key.runtime_version.partition('-')[0]}, {key.gpu or 'cpu'}"  # fmt: skip


def _tool_line(tool: Tool) -> str:
    return f"  {tool.name:<14} {tool.version or f'missing ({tool.install})'}"


def _problem_lines(info: Info) -> list[str]:
    if not info.problems:
        return ["No problems found."]
    lines = ["Problems"]
    for problem in sorted(info.problems, key=lambda p: not p.stops):
        lines += [f"  {'!' if problem.stops else '-'} {problem.what}", f"      {problem.fix}"]
    return lines


def _or_none(lines: Iterator[str] | Any) -> list[str]:
    return list(lines) or ["  none"]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", title, *lines] if lines else []


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
