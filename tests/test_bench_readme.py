"""The README's latency tables are those of bench/results."""

from fuw.bench import readme


def test_the_readme_holds_the_tables_of_the_results() -> None:
    text = (readme.ROOT / "README.md").read_text()
    assert readme.with_tables(text, readme.tables(readme.ROOT / "bench" / "results")) == text
