"""One self-contained HTML page of a bench run: plots in SVG of our own, then the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from fuw.bench.chain import PARTS, TOTAL
from fuw.bench.report import STAGES, Run, ceilings_line, machine_line, rows_of, summary_rows, table
from fuw.engine.files import write_whole

COLOURS = ("#2266cc", "#dd7711", "#339966", "#aa3377", "#bbaa22", "#777777", "#884422", "#33aacc",
           "#5544aa", "#222222", "#cc3333", "#88bb33")
PALE = "#d8dde6"
STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em;
color:#1a1a1a}h1,h2{line-height:1.2}svg{display:block;margin:.5em 0 2em;max-width:100%}
svg text{font:12px system-ui,sans-serif;fill:#222}pre{overflow-x:auto;font-size:11px;
background:#f5f6f8;padding:1em}table{border-collapse:collapse}td,th{padding:2px 10px;
text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"""


def page(result: Mapping[str, Any]) -> str:
    """The page as one string; nothing is fetched from anywhere."""
    parts = [f"<h1>fuw-bench</h1><p>{escape(machine_line(result))}; {escape(result['date'])}<br>"
             f"{escape(ceilings_line(result['ceilings']))}</p>", _summary(result["summary"])]
    for run in reversed(result["runs"]):
        parts.append(_run(run))
    return ("<!doctype html><html lang='en'><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width'><title>fuw-bench</title>"
            f"<style>{STYLE}</style>{''.join(parts)}<h2>Everything</h2>"
            f"<pre>{escape(table(result))}</pre></html>")


def write_page(result: Mapping[str, Any], path: Path) -> None:
    """Write the page, whole or not at all."""
    write_whole(path, lambda handle: handle.write(page(result).encode()))


def _summary(summary: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><td>{escape(what)}</td><td>{escape(figure)}</td></tr>"
                   for what, figure in summary_rows(summary))
    return f"<table>{rows}</table>"


def _run(run: Run) -> str:
    told, names = run["configurations"], list(run["configurations"])
    title = f"{run['weights']} weights, {run['size'][0]}x{run['size'][1]}"
    wholes = [row for row in rows_of(run) if row in (*PARTS, TOTAL)]
    parts = [f"<h2>{escape(title)}</h2>"]
    if run["handed_down"]:
        parts.append("<p>Made-up weights find no person: every network runs and is timed, and what "
                     "the starter weights found in the photos is handed downstream.</p>")
    parts += ["<h3>Latency, ms (p50; the line reaches to p90)</h3>",
              bars({row: [Bar(told[n]["rows"][row]["p50"], told[n]["rows"][row]["p90"])
                          for n in names] for row in wholes},
                   [f"{n}, n {told[n]['rows'][TOTAL]['n']:.0f}" for n in names]),
              "<h3>Where the time of one chain goes (dark: networks, pale: pre- and "
              "post-processing)</h3>", _stages(told, names)]
    if run["work"]:
        parts += [f"<h3>{escape(run['configuration'])}: measured time and what the machine's own "
                  "GEMM or copy would take</h3>",
                  bars({name: [Bar(w["ms"], w["ms"]),
                               Bar(w["floor_ms"], w["floor_ms"], f" ({w['share']:.0%})")]
                        for name, w in sorted(run["work"].items(), key=lambda i: -i[1]["ms"])},
                       ("measured", "GEMM or copy"))]
    return "".join(parts)


class Bar(NamedTuple):
    """A bar of `ms`, with a line that ends at `high`; `note` stands behind its figure."""

    ms: float
    high: float
    note: str = ""


def bars(groups: Mapping[str, Sequence[Bar]], legend: Sequence[str]) -> str:
    """Horizontal bars by group; those at one place of their groups share a colour and a name."""
    longest = max((bar.high for group in groups.values() for bar in group), default=1.0)
    left, wide, step = 170, 620, 16
    parts, y = [], 8
    for title, group in groups.items():
        middle = y + step * len(group) / 2 + 4
        parts.append(f"<text x='{left - 8}' y='{middle:.0f}' text-anchor='end'>{escape(title)}"
                     "</text>")
        for place, (name, bar) in enumerate(zip(legend, group, strict=True)):
            length = max(1.0, wide * bar.ms / longest)
            end, colour = left + wide * bar.high / longest, COLOURS[place % len(COLOURS)]
            parts.append(
                f"<rect x='{left}' y='{y}' width='{length:.1f}' height='{step - 3}' "
                f"fill='{colour}'><title>{escape(name)}: {bar.ms:.1f} ms</title></rect>"
                f"<line x1='{left + length:.1f}' x2='{end:.1f}' y1='{y + 6}' y2='{y + 6}' "
                f"stroke='{colour}'/><text x='{max(end, left + length) + 5:.0f}' y='{y + 11}'>"
                f"{bar.ms:.0f}{escape(bar.note)}</text>")
            y += step
        y += 8
    places = {name: place for place, name in enumerate(legend)}
    return _svg("".join(parts) + _legend(places, y), left + wide + 110, y + 24)


def _stages(told: Mapping[str, Any], names: Sequence[str]) -> str:
    """A stacked bar for every configuration, each as long as its own chain."""
    left, wide, high = 170, 620, 30
    longest = max(told[name]["rows"][TOTAL]["p50"] for name in names)
    parts, y = [], 8
    for name in names:
        parts.append(f"<text x='{left - 8}' y='{y + 19}' text-anchor='end'>{escape(name)}</text>")
        x = float(left)
        for place, stage in enumerate(STAGES):
            rows = told[name]["rows"]
            if stage not in rows:
                continue
            network = rows.get(f"{stage} network", {"p50": 0.0})["p50"]
            for what, ms, colour in (("network", network, COLOURS[place % len(COLOURS)]),
                                     ("pre/post", rows[stage]["p50"] - network, PALE)):
                length = wide * max(ms, 0.0) / longest
                parts.append(f"<rect x='{x:.1f}' y='{y}' width='{length:.1f}' height='{high - 6}' "
                             f"fill='{colour}'><title>{stage} {what}: {ms:.1f} ms</title></rect>")
                if what == "network" and length > 8 * len(stage):
                    parts.append(f"<text x='{x + 4:.1f}' y='{y + 16}' style='fill:#fff'>{stage}"
                                 "</text>")
                x += length
        parts.append(f"<text x='{x + 5:.0f}' y='{y + 16}'>"
                     f"{told[name]['rows'][TOTAL]['p50']:.0f}</text>")
        y += high
    networks = {stage: place for place, stage in enumerate(STAGES)
                if any(f"{stage} network" in told[name]["rows"] for name in names)}
    return _svg("".join(parts) + _legend(networks, y + 4), left + wide + 110, y + 22)


def _legend(places: Mapping[str, int], y: float) -> str:
    """Names beside the colours of their places."""
    parts, x = [], 170.0
    for name, place in places.items():
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f"<rect x='{x:.0f}' y='{y:.0f}' width='11' height='11' fill='{colour}'/>"
                     f"<text x='{x + 16:.0f}' y='{y + 10:.0f}'>{escape(name)}</text>")
        x += 32 + 7 * len(name)
    return "".join(parts)


def _svg(inside: str, width: float, height: float) -> str:
    return (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' "
            f"width='{width:.0f}' height='{height:.0f}' role='img'>{inside}</svg>")
