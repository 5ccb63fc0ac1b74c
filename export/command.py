"""What the command line calls: export and download with progress on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from fuw.engine.errors import CheckpointError, DownloadError
from fuw.engine.files import write_json
from fuw.engine.networks import NETWORKS, network
from fuw.engine.spec import NetSpec
from fuw.engine.weights import read_manifest
from fuw.export import download as downloads
from fuw.export.build import ExportOptions, main_export
from fuw.export.report import Report

CELLS = 24


def export(weights: str, networks: Sequence[str], options: Mapping[str, Any],
           quiet: bool = False) -> Report:
    """Export with a bar per network on stderr; `options` are the rest of `ExportOptions`."""
    chosen = ExportOptions(weights=weights, networks=tuple(networks), **options)
    report = main_export(chosen, None if quiet else bar())
    if not quiet and sys.stderr.isatty():
        click.echo(err=True)
    lacking = without_fp32(chosen.folder) if report.ok and not quiet else []
    if lacking:
        click.echo(f"note: {chosen.folder} holds no fp32 file of {', '.join(lacking)}, which a run "
                   "on a CPU takes, and one on a GPU where fp16 overflows; the same command with "
                   "--fp32 writes them", err=True)
    return report


def without_fp32(folder: Path) -> list[str]:
    """Networks of which the exported folder has reduced files only."""
    entries = read_manifest(folder)
    plain = {entry.network for entry in entries if entry.precision == "fp32"}
    return sorted({entry.network for entry in entries} - plain)


def fetch(weights: str, networks: Sequence[str], accepted: bool, quiet: bool = False) -> None:
    """Download official checkpoints into the folder `weights`, asking about each licence.

    Raises:
        CheckpointError: `weights` is not a folder's name. DownloadError: something is not there.
    """
    if weights == "starter":
        raise CheckpointError("the starter weights are in the package already; say where to put "
                              "the official ones: --weights DIR")
    specs = [network(name) for name in networks or NETWORKS]
    done = downloads.download(specs, Path(weights), _ask(accepted), None if quiet else _bytes())
    click.echo(done.render())
    if not done.ok:
        raise DownloadError("not every checkpoint is there (see above); run the same command "
                            "again to go on where it stopped")


def write_report(report: Report, path: Path) -> None:
    """The report as JSON."""
    write_json(path, report.as_json())


def bar() -> Callable[[str, str, float], None]:
    """A bar per network: redrawn on a terminal, a line per step elsewhere."""
    live = sys.stderr.isatty()
    drawn: list[str] = []

    def step(name: str, doing: str, share: float) -> None:
        if not live:
            click.echo(f"{name}: {doing}", err=True)
            return
        if drawn and drawn[-1] != name:
            click.echo(err=True)
        drawn.append(name)
        full = round(share * CELLS)
        click.echo(f"\r{name:<14} [{'#' * full}{'.' * (CELLS - full)}] {doing:<16}", nl=False,
                   err=True)

    return step


def _ask(accepted: bool) -> Callable[[str, Sequence[NetSpec]], bool]:
    def ask(licence: str, specs: Sequence[NetSpec]) -> bool:
        click.echo(downloads.licence_text(licence, specs), err=True)
        return accepted or click.confirm("Do you accept it?", default=False, err=True)

    return ask


def _bytes() -> Callable[[str, int, int | None], None]:
    """A figure per network: redrawn on a terminal, a line per tenth (or 64 MiB) elsewhere."""
    live = sys.stderr.isatty()
    told: dict[str, int] = {}

    def progress(name: str, done: int, total: int | None) -> None:
        share = f"{done / total:.0%}" if total else f"{done / 1e6:.0f} MB"
        step = 10 * done // total if total else done >> 26
        if live:
            click.echo(f"\r{name:<14} {share:<8}", nl=bool(total and done >= total), err=True)
        elif told.get(name) != step:
            told[name] = step
            click.echo(f"{name}: {share}", err=True)

    return progress
