"""What `fuw-info` found, as records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fuw.engine.devices import Device
from fuw.engine.probe import Runtime
from fuw.engine.store import Entry


@dataclass(frozen=True)
class Problem:
    """Something that is missing or broken.

    Attributes:
        fix: the line that mends it.
        stops: without it no picture can be made.
    """

    what: str
    fix: str
    stops: bool = False


@dataclass(frozen=True)
class Weights:
    """One network's file: where it comes from, and "" in `problem` where it is whole."""

    network: str
    file: str
    precision: str
    variant: str
    origin: str
    bytes: int
    problem: str = ""


@dataclass(frozen=True)
class CheckpointFile:
    """One network's official file in the checkpoint folder; `origin` says whether it is that."""

    network: str
    file: str
    origin: str


@dataclass(frozen=True)
class Tool:
    """A package beside the runtimes; "" in `version` where it is missing."""

    name: str
    version: str
    install: str


@dataclass(frozen=True)
class Info:
    """Everything `fuw-info` prints.

    Attributes:
        chosen: backend, precision and device that a run takes when it is told nothing.
    """

    version: str
    python: str
    system: str
    devices: tuple[Device, ...]
    runtimes: tuple[Runtime, ...]
    chosen: str
    tools: tuple[Tool, ...]
    weights_folder: str
    weights: tuple[Weights, ...]
    checkpoints_folder: str
    checkpoints: tuple[CheckpointFile, ...]
    cache: str
    cache_bytes: int
    engines: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        """Whether a picture can be made with what is here."""
        return not any(problem.stops for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        data: dict[str, Any] = _plain(asdict(self))
        for shown, runtime in zip(data["runtimes"], self.runtimes, strict=True):
            shown["works"] = runtime.works
        return {**data, "ready": self.ready}


def _plain(value: Any) -> Any:
    """Paths as text, all the way down."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
