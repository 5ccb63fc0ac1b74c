"""The README's latency tables are those of bench/results, and a comparison fails past a ratio."""

from fuw.bench import readme, report


def test_the_readme_holds_the_tables_of_the_results() -> None:
    text = (readme.ROOT / "README.md").read_text()
    assert readme.with_tables(text, readme.tables(readme.ROOT / "bench" / "results")) == text


def _result(ms: float) -> dict[str, object]:
    row = {"p50": ms, "p90": ms, "p99": ms, "n": 3}
    return {"stages": {"openvino bf16": {"alias": row, "total": row}}}


def test_a_slower_stage_is_named() -> None:
    lines, slower = report.compare(_result(100.0), _result(130.0))
    assert len(lines) == 2 and any("1.30x" in line for line in slower)
    assert report.compare(_result(100.0), _result(110.0))[1] == []
