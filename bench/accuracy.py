"""How far a configuration's answers are from the fp32 chain's, network by network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fuw.bench import measures
from fuw.bench.chain import PARTS, STAGE_OF, TOTAL

Answers = Mapping[str, list[npt.NDArray[np.float64]]]
PICTURE = "picture"


def read_answers(path: Path) -> dict[str, list[npt.NDArray[np.float64]]]:
    """Network -> its outputs, and PICTURE -> the picture, as bench/worker.py wrote them."""
    found: dict[str, list[npt.NDArray[np.float64]]] = {}
    with np.load(path) as data:
        for key in data.files:
            found.setdefault(key.partition(" ")[0], []).append(data[key].astype(np.float64))
    return found


def errors(answers: Answers, reference: Answers) -> dict[str, float]:
    """Relative L2 error of every row: of its network, and of a part the largest inside.

    The inputs of a stage are the same in both, since the scene is handed downstream, so an error
    is the stage's own. Rows without a network compute the same everywhere: 0.
    """
    by_stage = {STAGE_OF[name]: max(_relative(a, b) for a, b in zip(found, reference[name],
                                                                     strict=True))
                for name, found in answers.items() if name in STAGE_OF}
    rows = {**by_stage, **{f"{stage} network": error for stage, error in by_stage.items()}}
    for part, stages in PARTS.items():
        rows[part] = max(by_stage.get(stage, 0.0) for stage in stages)
    rows[TOTAL] = max(by_stage.values())
    return rows


def psnr(answers: Answers, reference: Answers) -> dict[str, float]:
    """dB of the ALIAS generator's output (-1..1, so a peak of 2) and of the u8 picture."""
    return {"alias": _psnr(answers["alias"][0], reference["alias"][0], 2.0),
            "picture": _psnr(answers[PICTURE][0], reference[PICTURE][0], 255.0)}


def _relative(got: npt.NDArray[np.float64], want: npt.NDArray[np.float64]) -> float:
    size = float(np.linalg.norm(want))
    return float(np.linalg.norm(got - want)) / size if size else float(np.abs(got).max())


def _psnr(got: npt.NDArray[np.float64], want: npt.NDArray[np.float64], peak: float) -> float:
    return min(200.0, measures.psnr(got, want, peak))  # JSON has no infinity
