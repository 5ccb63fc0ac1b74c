"""Markdown as the tests of the documentation see it: code blocks, headings, links, inline code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import fuw

ROOT = Path(fuw.__file__).parent
README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
GUIDES = [README, *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")),
             *sorted((ROOT / "starter").glob("*.md")), *sorted((ROOT / "tests").rglob("*.md"))]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BENCH = re.compile(r"<!-- bench: .*?<!-- /bench -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `language` is "" where none is given."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines without comments."""
        lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line]


def blocks(document: Path, language: str | None = None) -> list[Block]:
    """The fenced blocks of a document, of one language or of all."""
    found = [Block(tag.strip(), text) for tag, text in _FENCE.findall(document.read_text())]
    return [b for b in found if language is None or b.language == language]


def prose(document: Path) -> str:
    """The document without fenced blocks and without the generated latency tables."""
    return _BENCH.sub("", _FENCE.sub("", document.read_text()))


def headings(document: Path) -> list[tuple[int, str]]:
    """(level, text) of every heading."""
    found = re.findall(r"^(#+) +(.+?) *$", prose(document), re.MULTILINE)
    return [(len(marks), text) for marks, text in found]


def anchors(document: Path) -> set[str]:
    """What may follow the # of a link into the document, as GitHub derives it."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            for _, text in headings(document)}


def links(document: Path) -> list[str]:
    """Targets of all links and pictures."""
    plain = re.sub(r"`[^`\n]*`", "", prose(document))
    return re.findall(r"\]\(([^)\s]+)\)", plain)


def inline_code(document: Path) -> list[str]:
    """Everything between single backticks, line breaks made spaces."""
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose(document))]


def table_rows(document: Path) -> int:
    """How many rows its tables have, the latency tables not counted."""
    return len(re.findall(r"^\|", prose(document), re.MULTILINE))
