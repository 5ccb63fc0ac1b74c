"""What an export did, as rows, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fuw.export.verify import Verdict

Status = Literal["proved", "up to date", "agrees", "built", "skipped", "failed"]
HEADER = ("network", "file", "status", "worst rel. L2", "gate", "at", "fp32 nodes", "MB", "s")


@dataclass(frozen=True)
class Row:
    """One file of one network.

    Attributes:
        reason: why it was rebuilt, skipped or failed; "" where there is nothing to say.
        verdicts: every comparison made, in words.
        rel_l2, gate, psnr, at: of the worst of them.
        weights: the file they come from, and whether that is the official one.
        islands: share of the nodes that stay fp32, 0..1; None in an fp32 file.
    """

    network: str
    precision: str
    status: Status
    file: str = ""
    reason: str = ""
    weights: str = ""
    verdicts: tuple[str, ...] = ()
    rel_l2: float | None = None
    gate: float | None = None
    psnr: float | None = None
    at: str = ""
    islands: float | None = None
    bytes: int = 0
    seconds: float = 0.0


def row_of(verdicts: Sequence[Verdict], **known: Any) -> Row:
    """A row with the figures of the worst verdict."""
    verdict = max(verdicts, key=lambda v: v.excess)
    worst = verdict.worst
    return Row(network=verdict.network, verdicts=tuple(str(v) for v in verdicts),
               rel_l2=worst.rel_l2, gate=verdict.gate.rel_l2, psnr=worst.psnr,
               at=f"{worst.tensor}{list(worst.at)}", **known)


@dataclass(frozen=True)
class Report:
    """All rows of one export."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed and there is at least one file."""
        files = [r for r in self.rows if r.status in ("proved", "up to date")]
        return bool(files) and all(r.status != "failed" for r in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The report as plain data."""
        return {"ok": self.ok, "rows": [asdict(r) for r in self.rows]}

    def table(self) -> str:
        """A table of all rows, and below it a sentence for each that needs one."""
        lines = [HEADER, *(_cells(r) for r in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
        text = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
                for line in lines]
        notes = [f"{r.network} {r.precision}: {r.reason}" for r in self.rows if r.reason]
        notes += dict.fromkeys(f"{r.network}: {r.weights}" for r in self.rows if r.weights)
        return "\n".join([*text, *([""] if notes else []), *notes])


def _cells(row: Row) -> tuple[str, ...]:
    error = "" if row.rel_l2 is None else f"{row.rel_l2:.1e}"
    if row.psnr is not None:
        error += f" ({row.psnr:.0f} dB)"
    return (
        row.network, row.file or row.precision, row.status, error,
        "" if row.gate is None else f"{row.gate:.0e}", row.at,
        "" if row.islands is None else f"{row.islands:.0%}",
        f"{row.bytes / 1e6:.1f}" if row.bytes else "", f"{row.seconds:.0f}" if row.seconds else "",
    )
