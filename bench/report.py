"""What is said of a bench run in text: a terminal table and the README's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fuw.bench.chain import PARTS, TOTAL

STAGES = tuple(stage for stages in PARTS.values() for stage in stages)
Run = Mapping[str, Any]


def rows_of(run: Run) -> list[str]:
    """Rows to show, in order: every stage with its network and pre/post apart, then the wholes."""
    there = {row for told in run["configurations"].values() for row in told["rows"]}
    order: list[str] = []
    for part, stages in PARTS.items():
        for stage in stages:
            order += [stage, f"{stage} network", f"{stage} pre/post"]
        order += [part, f"{part} pre/post"]
    order += [TOTAL, *(row for row in there if row.startswith("one person x "))]
    return [row for row in order if row in there]


def table(result: Mapping[str, Any]) -> str:
    """Everything, run by run."""
    lines = [machine_line(result), ceilings_line(result["ceilings"]), "", *_starts(result)]
    for run in result["runs"]:
        lines += ["", *run_table(run), "", *_work_table(run), *_memory(run)]
    lines += ["", "summary"] + [f"  {what:<38}{figure}"
                                for what, figure in summary_rows(result["summary"])]
    return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:.1f}x"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _ms(ms: float) -> str:
    return f"{ms:.0f} ms"


# What a figure of `latency.summary` is called before people, and how it is written.
SUMMARY: dict[str, tuple[str, Callable[[Any], str]]] = {
    "configuration": ("configuration", str),
    "weights": ("weights", str),
    "size": ("picture", lambda size: f"{size[0]}x{size[1]}"),
    "baseline": ("baseline", lambda name: name or "none"),
    "chain_ms": (TOTAL, _ms),
    "chain_speedup": ("the same, against the baseline", _times),
    "fit_ms": ("fit", _ms),
    "fit_speedup": ("the same, against the baseline", _times),
    "alias_speedup": ("ALIAS against the baseline's", _times),
    "alias_flops_share": ("ALIAS' arithmetic, of the dense form", _percent),
    "psnr_db": ("ALIAS against the fp32 chain", lambda db: f"{db:.1f} dB"),
    "prepost_share": ("pre- and post-processing in a fit", _percent),
    "fit_peak_rss_mib": ("peak memory of a fit", lambda mib: f"{mib / 1024:.1f} GiB"),
}


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures to quote, each with its name in words."""
    return [(what, written(summary[key])) for key, (what, written) in SUMMARY.items()
            if key in summary]


def run_table(run: Run) -> list[str]:
    """p50 / p90 / p99 (n) and the error by row and configuration."""
    names = list(run["configurations"])
    height, width = run["size"]
    lines = [f"== {run['weights']} weights, {height}x{width}; interleaved; warm-up: "
             f"{run['warm_up']}"]
    if run["handed_down"]:
        lines.append("   made-up weights find no person: every network runs and is timed, and the "
                     "key points, parse, segmentation and warp that the starter weights found in "
                     "the photos are handed downstream")
    lines.append(f"   error: relative L2 of the network's answer against {run['reference']}, same "
                 "inputs; n 0: the sum of its parts")
    lines.append(f"{'ms: p50 / p90 / p99 (n) error':<28}" + "".join(f"{n:>42}" for n in names))
    for row in rows_of(run):
        cells = [cell(run["configurations"][name]["rows"].get(row)) for name in names]
        indent = "  " if row not in PARTS and not row.startswith((TOTAL, "one person")) else ""
        lines.append(f"{indent + row:<28}" + "".join(f"{c:>42}" for c in cells))
    for what in ("alias", "picture"):
        cells = [f"{run['configurations'][n]['psnr_db'][what]:.1f}" for n in names]
        lines.append(f"{f'PSNR of {what}, dB':<28}" + "".join(f"{c:>42}" for c in cells))
    return lines


def _work_table(run: Run) -> list[str]:
    if not run["work"]:
        return []
    lines = [f"where the time goes, {run['configuration']} (floor: what the measured GEMM or copy "
             "would take; bytes: operands and results of convolutions and products, once)",
             f"  {'network':<15}{'GFLOP':>8}{'of dense':>10}{'GB':>7}{'ms':>9}{'GFLOP/s':>9}"
             f"{'GB/s':>7}{'floor ms':>10}{'share':>7}"]
    for name, w in sorted(run["work"].items(), key=lambda item: -item[1]["ms"]):
        lines.append(f"  {name:<15}{w['gflop']:>8.1f}{w['gflop'] / w['dense_gflop']:>10.0%}"
                     f"{w['gbytes']:>7.2f}{w['ms']:>9.1f}{w['gflops']:>9.0f}{w['gbs']:>7.1f}"
                     f"{w['floor_ms']:>10.1f}{w['share']:>7.0%}  {w['precision']}")
    return lines


def _memory(run: Run) -> list[str]:
    lines = []
    for name, told in run["configurations"].items():
        opened = sum(told["open_s"].values())
        built = told["built"]
        first = (f"; first start ever: networks built in {sum(built['open_s'].values()):.1f} s, "
                 f"picture after {built['first_picture_s']:.1f} s" if built else "")
        traffic = told["traffic"]
        lines.append(
            f"  {name}: process start to first picture {told['first_picture_s']:.1f} s (networks "
            f"opened in {opened:.1f} s{first}); peak RSS {told['peak_rss_mib']:.0f} MiB, device "
            f"{told['device_mib']:.0f} MiB, all networks resident; {traffic['calls']} network "
            f"calls a chain, {traffic['bytes_in'] / 1e6:.0f} MB in, "
            f"{traffic['bytes_out'] / 1e6:.0f} MB out, "
            + ("no transfer to a device" if not told["device_mib"] else "each a transfer"))
    fit = run["fit_memory"]
    return [*lines, f"  peak RSS of fits alone: {fit['peak_rss_mib']:.0f} MiB, resident: "
            f"{', '.join(fit['resident'])}, in {run['configuration']}"]


def _starts(result: Mapping[str, Any]) -> list[str]:
    starts = result["starts"]
    first, warm = starts["first start ever"], starts["warm cache"]
    return [f"fuw-run, starter weights, process start to file: first start ever "
            f"{first['p50'] / 1000:.2f} s; warm engine cache {warm['p50'] / 1000:.2f} s p50, "
            f"{warm['p90'] / 1000:.2f} s p90 (n {warm['n']})"]


README_ROWS = ("prepare person", "prepare garment", "fit", TOTAL)


def readme_table(result: Mapping[str, Any]) -> str:
    """The README's Markdown: the wholes of every configuration, ratios, starter weights."""
    run = next((r for r in result["runs"] if r["weights"] != "starter"), result["runs"][0])
    names, height_width = list(run["configurations"]), "x".join(str(n) for n in run["size"])
    told = run["configurations"]
    base = told["eager fp32"]["rows"] if "eager fp32" in told else None
    lines = [f"{machine_line(result)}. Official sizes, {height_width}, made-up weights; ms, p50 "
             "(p90); one interleaved run.", "",
             "| | " + " | ".join(f"{name}, n {told[name]['rows'][TOTAL]['n']:.0f}"
                                 for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in (*README_ROWS, *(r for r in rows_of(run) if r.startswith("one person"))):
        cells = [_readme_cell(told[name]["rows"][row], base[row] if base else None)
                 for name in names]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    cells = ["-" if name == run["reference"] else f"{told[name]['psnr_db']['alias']:.0f} dB"
             for name in names]
    lines += [f"| ALIAS against {run['reference']} | " + " | ".join(cells) + " |", "",
              _readme_sentence(result, run)]
    return "\n".join(lines)


def _readme_cell(s: Mapping[str, float], base: Mapping[str, float] | None) -> str:
    ratio = f", {base['p50'] / s['p50']:.1f}x" if base and s is not base else ""
    inside = f"{s['p90']:.0f}" if s["n"] else "sum"
    return f"{s['p50']:.0f} ({inside}{ratio})"


def _readme_sentence(result: Mapping[str, Any], run: Run) -> str:
    summary, starts = result["summary"], result["starts"]
    starter = result["runs"][0]
    own = starter["configurations"][starter["configuration"]]["rows"]
    speed = (f"its ALIAS {summary['alias_speedup']:.1f}x eager fp32's with "
             f"{summary['alias_flops_share']:.0%} of the arithmetic; "
             if "alias_speedup" in summary else "")
    slow = _blur_sentence(run)
    return (f"{summary['configuration']}: {speed}pre/post {summary['prepost_share']:.1%} of a fit; "
            f"a fit peaks at {summary['fit_peak_rss_mib'] / 1024:.1f} GiB. Starter weights: "
            f"`fuw-run` from process start to file {starts['warm cache']['p50'] / 1000:.1f} s "
            f"(first start ever {starts['first start ever']['p50'] / 1000:.1f} s), a warm fit "
            f"{own['fit']['p50'] / 1000:.2f} s.{slow}")


def _blur_sentence(run: Run) -> str:
    """What the official blur takes in eager fp32: it is no network, and it weighs."""
    base = run["configurations"].get("eager fp32")
    if not base:
        return ""
    blur, chain = (base["rows"][row]["p50"] for row in ("seg pre/post", TOTAL))
    ours = run["configurations"][run["configuration"]]["rows"][TOTAL]["p50"]
    return (f" {blur / 1000:.1f} s of eager fp32's chain go into enlarging and blurring 13 maps "
            f"the official way (a grouped 15x15 convolution); without them the chain's ratio is "
            f"{(chain - blur) / ours:.1f}x.")


def machine_line(result: Mapping[str, Any]) -> str:
    """The machine in one line."""
    m = result["machine"]
    return (f"{m['processor']}, {m['cores']} cores ({', '.join(m['flags'])}), "
            f"{m['memory_gib']} GiB, {result['threads']} threads, fuw {m['revision']}")


def ceilings_line(ceilings: Mapping[str, float]) -> str:
    """The measured ceilings in one line."""
    return (f"ceilings: GEMM fp32 {ceilings['gemm_f32_gflops']:.0f} GFLOP/s, bf16 "
            f"{ceilings['gemm_bf16_gflops']:.0f} GFLOP/s; copy {ceilings['copy_gbs']:.1f} GB/s")


def cell(s: Mapping[str, float] | None) -> str:
    """p50 / p90 / p99 (n) and the error, if any."""
    if not s:
        return "-"
    error = f" {s['error']:.0e}" if s["error"] else ""
    return f"{s['p50']:.1f} / {s['p90']:.1f} / {s['p99']:.1f} ({s['n']:.0f}){error}"
