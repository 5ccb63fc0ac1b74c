"""What a run of the bench is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MADE_UP = "made-up"


@dataclass(frozen=True)
class BenchOptions:
    """What to measure; the command line's options carry the same names.

    Attributes:
        person, cloth: the photos the scene is made of.
        backends, precisions: every pair that exists takes part; the first is the one the summary
            speaks of.
        sizes: (height, width) of the pictures.
        batch: garments of the row "one person x N garments".
        threads: CPU threads of everything; 0 means all cores.
        baseline: also the official way: eager fp32, eager bf16 channels-last, plain ONNX Runtime.
        weights: MADE_UP (official sizes), "starter", or a folder that fuw-export wrote; the last
            two without a baseline in Torch.
        seconds: for the counted chains of one size, everybody's together.
        width: channel width of made-up networks; below 1 a run is a rehearsal.
        folder: keeps exported made-up networks and compiled engines between runs.
    """

    person: Path
    cloth: Path
    backends: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    sizes: tuple[tuple[int, int], ...] = ((1024, 768),)
    batch: int = 8
    threads: int = 0
    baseline: bool = True
    weights: str = MADE_UP
    seconds: float = 240.0
    width: float = 1.0
    folder: Path | None = None
