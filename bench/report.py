"""What is said of a bench run: a terminal table, a page, the README's table, a comparison."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fuw.engine.files import write_whole

ROWS = ("pose", "hands", "densepose", "parse", "agnostic", "prepare person", "mask",
        "prepare garment", "seg", "warp", "misalign", "alias", "picture", "whole fit",
        "fit pre/post", "total")
WHOLE = {"prepare person", "prepare garment", "whole fit", "total"}
COMPARED = ("p50",)


def table(result: Mapping[str, Any]) -> str:
    """Milliseconds p50 / p90 / p99 (n) by stage and configuration, then the summary."""
    names = list(result["stages"])
    width = max(26, *(len(n) + 2 for n in names))
    lines = [_machine(result), "", f"{'ms: p50 / p90 / p99 (n)':<18}" + "".join(
        f"{name:>{width}}" for name in names)]
    for row in ROWS:
        cells = [_cell(result["stages"][name].get(row)) for name in names]
        lines.append(f"{row:<18}" + "".join(f"{cell:>{width}}" for cell in cells))
    lines += ["", "PSNR of ALIAS against " + result["accuracy"]["reference"]["name"] + ", dB: "
              + ", ".join(f"{n} {result['accuracy'][n]['psnr_db']:.1f}" for n in names)]
    lines += [f"{key}: {value:.3g}" if isinstance(value, float) else f"{key}: {value}"
              for part in ("summary", "starter", "open", "ceilings")
              for key, value in _flat(result[part]).items()]
    lines.append(f"peak_rss_mib: {result['peak_rss_mib']:.0f} (every configuration resident)")
    return "\n".join(lines)


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's Markdown table: whole stages of every configuration, and ratios."""
    names = list(result["stages"])
    base = result["stages"].get("eager fp32")
    lines = [f"{_machine(result)}; ms, p50 (p90), one interleaved run.", "",
             "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in ("prepare person", "prepare garment", "whole fit", "total"):
        cells = []
        for name in names:
            s = result["stages"][name][row]
            ratio = f", {base[row]['p50'] / s['p50']:.1f}x" if base and s is not base[row] else ""
            cells.append(f"{s['p50']:.0f} ({s['p90']:.0f}{ratio})")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(result: Mapping[str, Any]) -> str:
    """One self-contained HTML page: bars of the stages, then the table's text."""
    names = list(result["stages"])
    longest = max(result["stages"][n][r]["p50"] for n in names for r in ROWS
                  if r in result["stages"][n])
    bars = []
    for row in ROWS:
        for name in names:
            s = result["stages"][name].get(row)
            if s:
                bars.append(
                    f"<tr><td>{html.escape(row)}</td><td>{html.escape(name)}</td>"
                    f"<td><div style='background:{'#27c' if row in WHOLE else '#9bd'};height:12px;"
                    f"width:{max(1, 600 * s['p50'] / longest):.0f}px'></div></td>"
                    f"<td>{_cell(s)}</td></tr>")
    return ("<!doctype html><meta charset='utf-8'><title>fuw-bench</title>"
            "<style>body{font:14px system-ui;margin:2em}td{padding:1px 8px}</style>"
            f"<h1>fuw-bench</h1><p>{html.escape(_machine(result))}</p>"
            f"<table>{''.join(bars)}</table><pre>{html.escape(table(result))}</pre>")


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, lambda handle: handle.write(page(result).encode()))


def compare(old: Mapping[str, Any], new: Mapping[str, Any],
            threshold: float = 1.15) -> tuple[list[str], list[str]]:
    """Ratios new / old of every stage both have.

    Returns:
        lines to print, and those stages that became slower by more than `threshold`.
    """
    lines, slower = [], []
    for name, stages in new["stages"].items():
        for stage, s in stages.items():
            before = old["stages"].get(name, {}).get(stage)
            if not before or before["p50"] <= 0:
                continue
            ratio = s["p50"] / before["p50"]
            lines.append(f"{name:<28} {stage:<18} {before['p50']:9.1f} -> {s['p50']:9.1f} ms  "
                         f"{ratio:5.2f}x")
            if ratio > threshold and before["p50"] > 1:
                slower.append(f"{name}: {stage} is {ratio:.2f}x as long as before")
    return lines, slower


def _machine(result: Mapping[str, Any]) -> str:
    m = result["machine"]
    return (f"{m['processor']}, {m['cores']} cores ({', '.join(m['flags'])}), "
            f"{m['memory_gib']} GiB, {result['threads']} threads, fuw {m['revision']}")


def _cell(s: Mapping[str, float] | None) -> str:
    return f"{s['p50']:.1f} / {s['p90']:.1f} / {s['p99']:.1f} ({s['n']})" if s else "-"


def _flat(part: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in part.items():
        name = f"{prefix}{key}"
        flat.update(_flat(value, f"{name} ") if isinstance(value, Mapping) else {name: value})
    return flat


def names(parts: Sequence[str]) -> tuple[str, ...]:
    """Configurations of the command line: "openvino:bf16" -> "openvino bf16"."""
    return tuple(part.replace(":", " ") for part in parts)
