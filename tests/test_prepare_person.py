"""What a caller brings takes the place of a network, and only that network's."""

from typing import Any

import numpy as np
import pytest
from made_up import standing

from fuw.engine import pipeline
from fuw.engine.clock import Clock
from fuw.engine.errors import NoPersonError
from fuw.engine.ops import cpu_ops
from fuw.engine.records import Given
from fuw.engine.spec import View

H, W = 256, 192


class Nets:
    """Networks that answer zeros and remember who was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        def answer(*inputs: np.ndarray) -> list[np.ndarray]:
            self.asked.append(name)
            shapes = {"openpose_body": [(78, 24, 18)], "openpose_hand": [(22, 23, 23)],
                      "densepose": [(2, 16, 16)] + [(25, 16, 16)] * 3}[name]
            return [np.zeros((len(inputs[0]), *shape), np.float32) for shape in shapes]
        return answer

    def fit(self, name: str) -> dict[str, int]:
        """Small."""
        return {"net_height": 192, "size": 184, "shorter": 192}

    def labels(self, name: str) -> str:
        """As the starter's."""
        return "viton"

    def views(self, name: str) -> tuple[View, ...]:
        """Once."""
        return (View(),)

    def keeps(self) -> tuple[int, ...]:
        """What a test says."""
        return self.kept

    kept: tuple[int, ...] = ()


def prepare(nets: Nets, **known: Any) -> Any:
    image = np.full((H, W, 3), 90, np.uint8)
    return pipeline.prepare_person(nets, cpu_ops(), image, Clock(), Given(**known))  # type: ignore[arg-type]


@pytest.mark.parametrize(("labels", "asked"), [("viton", []), ("lip", ["densepose"])])
def test_densepose_runs_for_a_given_parse_only_where_a_neck_must_be_found(
        labels: str, asked: list[str]) -> None:
    nets = Nets()
    made = prepare(nets, body=standing(H, W), hands=np.zeros((2, 21, 3), np.float32),
                   parse=np.full((H, W), 5, np.uint8), labels=labels)
    assert nets.asked == asked and (made.iuv is None) == (not asked)


def test_nobody_in_a_framed_picture_is_an_error() -> None:
    with pytest.raises(NoPersonError, match="--pose"):
        prepare(Nets())


def test_what_the_networks_want_kept_stays_in_the_agnostic_picture() -> None:
    """Hair before the shoulders: erased officially, kept where both try-on networks say so."""
    parse = np.full((H, W), 5, np.uint8)
    parse[40:120, 60:100] = 2
    nets, keeping = Nets(), Nets()
    keeping.kept = (1, 2)
    known = {"body": standing(H, W), "hands": np.zeros((2, 21, 3), np.float32), "parse": parse}
    official, kept = (prepare(n, **known) for n in (nets, keeping))
    assert (official.agnostic[parse == 2] == 128).all(-1).any()
    assert (kept.agnostic[parse == 2] == 90).all()
    assert np.array_equal(kept.agnostic[parse == 5], official.agnostic[parse == 5])
    assert np.array_equal(kept.parse, official.parse)  # the parse itself knows nothing of it
    assert np.array_equal(kept.groups_agnostic, official.groups_agnostic)
