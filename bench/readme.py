"""Write the README's latency tables from `bench/results/*.json`: python -m fuw.bench.readme"""

from __future__ import annotations

import json
import re
from pathlib import Path

import fuw
from fuw.bench.report import readme_table

ROOT = Path(fuw.__file__).parent
BEGIN, END = "<!-- bench: ", "<!-- /bench -->"


def tables(results: Path) -> str:
    """One table a machine, newest format only, in the order of the file names."""
    return "\n\n".join(readme_table(json.loads(path.read_text()))
                       for path in sorted(results.glob("latency_*.json")))


def with_tables(readme: str, text: str) -> str:
    """`readme` with `text` between its two marks."""
    found = re.search(f"({re.escape(BEGIN)}[^\n]*\n).*?({re.escape(END)})", readme, re.DOTALL)
    if not found:
        raise ValueError("the README has lost its bench marks")
    inside = f"\n{text}\n\n" if text else ""
    return readme[: found.end(1)] + inside + readme[found.start(2):]


def main() -> None:
    """Rewrite the README in place."""
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text(), tables(ROOT / "bench" / "results")))


if __name__ == "__main__":
    main()
