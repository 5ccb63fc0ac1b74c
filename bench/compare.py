"""Two reports of the bench against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from fuw.engine.errors import InputError

TOO_SHORT = 1.0  # ms; below it a ratio says more of the clock than of the stage


def read(path: Path) -> dict[str, Any]:
    """A report; InputError where it is none of this format."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if result["format"] == 2 and result["runs"]:
            if all(isfinite(ms) for _, ms in _rows(result)):
                return result
            raise ValueError("it holds times that are no numbers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
            OverflowError) as error:
        raise InputError(f"{path} is not a report of fuw-bench ({str(error)[:200]}); write one: "
                         f"fuw-bench --json {path}") from error
    raise InputError(f"{path} was written by another version of fuw-bench; measure again: "
                     f"fuw-bench --json {path}")


def compare(old: Mapping[str, Any], new: Mapping[str, Any],
            threshold: float = 1.15) -> tuple[list[str], list[str]]:
    """Ratios new / old of every row that both have.

    Returns:
        lines to print, and those rows that became slower by more than `threshold`.
    """
    before = dict(_rows(old))
    lines, slower = [], []
    for where, ms in _rows(new):
        if where not in before or before[where] <= 0:
            continue
        ratio = ms / before[where]
        name = ", ".join(where)
        lines.append(f"{name:<66} {before[where]:9.1f} -> {ms:9.1f} ms  {ratio:5.2f}x")
        if ratio > threshold and before[where] > TOO_SHORT:
            slower.append(f"{name} takes {ratio:.2f}x as long as before")
    return lines, slower


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, s in result["starts"].items():
        yield ("fuw-run", name), float(s["p50"])
    for run in result["runs"]:
        size = "x".join(str(n) for n in run["size"])
        for name, told in run["configurations"].items():
            for row, s in told["rows"].items():
                yield (str(run["weights"]), size, name, row), float(s["p50"])
