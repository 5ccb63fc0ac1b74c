"""The parent's side of the worker processes: start, ask, end, and never leave one behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fuw.bench.configurations import CHAIN, Configuration
from fuw.engine.errors import BackendError


class Member:
    """A worker process with one configuration; a context manager.

    Attributes:
        first_s: seconds from the start of the process to its first picture.
        first: {"ms": of that first chain alone}.
    """

    def __init__(self, configuration: Configuration, scene: Path, *, hand_down: bool,
                 networks: tuple[str, ...] = CHAIN, only_fits: bool = False) -> None:
        self.configuration = configuration
        job = {"configuration": asdict(configuration), "scene": str(scene), "networks": networks,
               "hand_down": hand_down, "only_fits": only_fits}
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / "job.json"
        path.write_text(json.dumps(job))
        self._errors = (Path(self._folder.name) / "stderr").open("w+")
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fuw.bench.worker", str(path)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self._errors, text=True)
        try:
            self.first = self._answer()
        except BaseException:
            self.close()
            raise
        self.first_s = time.perf_counter() - start

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; BackendError where the process has died."""
        _pipe(self._process.stdin).write(json.dumps({"do": do, **arguments}) + "\n")
        _pipe(self._process.stdin).flush()
        return self._answer()

    def outputs(self, to: Path) -> Path:
        """Have every network's answer written to `to`."""
        self.ask("outputs", to=str(to))
        return to

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            _pipe(pipe).close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        self._folder.cleanup()

    def __enter__(self) -> Member:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            raise BackendError(f"{self.configuration.name}: the bench's process ended with "
                               f"{self._process.returncode}: {said[-1] if said else 'no word'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # all were asked for
    return pipe
