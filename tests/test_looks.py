"""Several looks at a picture: mirrored ones come back exchanged, squares lie where they were."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fuw.engine import looks as asked
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.nets import Networks
from fuw.engine.networks import NETWORKS
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.spec import View
from fuw.kernels.cpu import looks, schp_labels
from fuw.kernels.cpu.fit import schp_affine

SIZE, GRID = 117, 30  # of the asked square, and of the logits: corners on corners
H, W = 256, 192
WHOLE, UPPER, LOWER = View(), View("upper"), View("lower")
EXCHANGED = {14: 15, 15: 14, 16: 17, 17: 16, 18: 19, 19: 18}


def figure() -> np.ndarray:
    """A label map with a torso, unlike arms and legs, and hair in a corner."""
    labels = np.zeros((H, W), np.uint8)
    cv2.ellipse(labels, (90, 110), (36, 60), 0, 0, 360, 5, -1)
    cv2.line(labels, (50, 80), (20, 150), 15, 14)
    cv2.line(labels, (130, 80), (170, 60), 14, 18)
    cv2.line(labels, (75, 170), (70, 250), 17, 20)
    cv2.line(labels, (110, 170), (120, 250), 16, 26)
    labels[:30, :40] = 2
    return labels


def seen(labels: np.ndarray, view: View) -> np.ndarray:
    """The logits of a perfect parser that looks so, f32 (1, 20, GRID, GRID)."""
    top, bottom = looks.rows_of(view, *labels.shape)
    crop = labels[top:bottom, ::-1] if view.mirrored else labels[top:bottom]
    if view.mirrored:
        table = np.arange(20, dtype=np.uint8)
        table[list(EXCHANGED)] = list(EXCHANGED.values())
        crop = table[crop]
    planes = (np.arange(20)[:, None, None] == crop).astype(np.float32)
    matrix = schp_affine(crop.shape[0], crop.shape[1], SIZE)
    square = [cv2.warpAffine(cv2.blur(p, (5, 5)), matrix, (SIZE, SIZE)) for p in planes]
    return np.stack(square)[None, :, ::4, ::4].astype(np.float32)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    return float((a == b).mean())


@pytest.mark.parametrize("views", [
    (View(mirrored=True),), (WHOLE, View(mirrored=True)), (UPPER, LOWER),
    (WHOLE, View("upper", True), View("lower", True)), (WHOLE, UPPER, LOWER, View("lower", True))])
def test_looks_at_a_figure_give_the_figure(views: tuple[View, ...]) -> None:
    labels = figure()
    found = looks.mean_labels([seen(labels, v) for v in views], views, H, W, SIZE)
    once = schp_labels(seen(labels, WHOLE), H, W, SIZE)
    assert agreement(found, labels) >= min(0.97, agreement(once, labels))
    for label in np.unique(labels):  # each where it belongs, left and right too
        both = np.count_nonzero((found == label) & (labels == label))
        assert both > 0.75 * np.count_nonzero((found == label) | (labels == label)), label


def test_a_mirrored_answer_that_is_not_mirrored_back_is_another_figure() -> None:
    labels = figure()
    wrong = looks.mean_labels([seen(labels, View(mirrored=True))], (WHOLE,), H, W, SIZE)
    assert agreement(wrong, labels) < 0.85


def test_one_whole_look_is_what_the_official_step_gives() -> None:
    logits = seen(figure(), WHOLE)
    assert np.array_equal(looks.mean_labels([logits], (WHOLE,), H, W, SIZE),
                          schp_labels(logits, H, W, SIZE))


def test_the_closer_look_sees_what_the_whole_one_cannot() -> None:
    """A pixel's mean is over the looks that show it: rows of one square alone have its answer."""
    labels = figure()
    empty = seen(np.zeros_like(labels), WHOLE) * 0
    found = looks.mean_labels([empty, seen(labels, UPPER), seen(labels, LOWER)],
                              (WHOLE, UPPER, LOWER), H, W, SIZE)
    assert agreement(found, labels) > 0.97


def test_a_square_picture_has_no_closer_look() -> None:
    assert {looks.rows_of(v, 64, 64) for v in (WHOLE, UPPER, LOWER)} == {(0, 64)}
    assert looks.rows_of(LOWER, 64, 100) == (0, 64)


def test_mean_maps_puts_joints_and_fields_back() -> None:
    """Maps drawn for a person and for the mirrored person, drawn by the training's own code."""
    body = pytest.importorskip("fuw.starter.training.body")
    rng, (h, w) = np.random.default_rng(0), (24, 18)
    points = np.concatenate([rng.uniform(1, (w - 2, h - 2), (25, 2)), np.ones((25, 1))], 1)
    other = points[body.SWAPPED]
    other[:, 0] = w - 1 - other[:, 0]

    def answer(p: np.ndarray) -> np.ndarray:
        maps = [body.heat_maps(p, (h, w)), body.affinity_fields(p, (h, w))]
        return np.concatenate(maps)[None].astype(np.float32)

    plain, mirrored = answer(points), answer(other)
    back = looks.mean_maps([mirrored], (View(mirrored=True),))
    # Where two limbs cross, the one drawn last wins, and the order of the sides is exchanged too.
    assert np.isclose(back[:, :26], plain[:, :26], atol=1e-5).all()
    assert np.isclose(back, plain, atol=1e-5).mean() > 0.97
    mean = looks.mean_maps([plain, mirrored], (View(), View(mirrored=True)))
    assert np.allclose(mean, (plain + back) / 2, atol=1e-6)
    assert not np.allclose(looks.mean_maps([mirrored], (View(),)), plain, atol=0.1)


class Nets:
    """Networks that remember what they were asked, and how often they are to look."""

    def __init__(self, views: tuple[View, ...]) -> None:
        self.given: list[np.ndarray] = []
        self.looks = views

    def __getitem__(self, name: str) -> Any:
        def answer(x: np.ndarray) -> list[np.ndarray]:
            self.given.append(x)
            shape = (78, 24, 18) if name == "openpose_body" else (20, GRID, GRID)
            return [np.random.default_rng(len(self.given)).normal(size=(1, *shape))
                    .astype(np.float32)]
        return answer

    def fit(self, name: str) -> dict[str, int]:
        """Small."""
        return {"net_height": 192, "size": SIZE}

    def views(self, name: str) -> tuple[View, ...]:
        """As told."""
        return self.looks


def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (H, W, 3), np.uint8)


def test_the_body_network_is_asked_once_a_look() -> None:
    once, twice = Nets((View(),)), Nets((View(), View(mirrored=True)))
    maps, scale = asked.body_maps(once, cpu_ops(), picture())  # type: ignore[arg-type]
    mean, same = asked.body_maps(twice, cpu_ops(), picture())  # type: ignore[arg-type]
    assert len(once.given) == 1 and len(twice.given) == 2 and scale == same
    assert np.array_equal(twice.given[1], twice.given[0][..., ::-1])
    assert maps.shape == mean.shape and not np.array_equal(maps, mean)


def test_the_parser_is_asked_once_a_look() -> None:
    once, thrice = Nets((View(),)), Nets(NETWORKS["schp"].variant("starter").views)
    ops = cpu_ops()
    one = asked.parse_labels(once, ops, picture())  # type: ignore[arg-type]
    logits = Nets((View(),))["schp"](picture())[0]
    assert np.array_equal(one, schp_labels(logits, H, W, SIZE)) and len(once.given) == 1
    three = asked.parse_labels(thrice, ops, picture())  # type: ignore[arg-type]
    assert three.shape == (H, W) and three.dtype == np.uint8 and len(thrice.given) == 3
    square = ops.schp_input(picture()[:W], SIZE)
    assert np.array_equal(thrice.given[1], square[..., ::-1])


def test_official_networks_look_once_and_no_file_goes_stale_by_looks() -> None:
    for spec in NETWORKS.values():
        for name, variant in spec.variants.items():
            if name.startswith("official"):
                assert variant.views == (View(),) and variant.keeps == ()
            other = replace(spec, variants={**spec.variants, name: replace(
                variant, views=(*variant.views, View()), keeps=(3,))})
            assert other.hash(name) == spec.hash(name)
    assert len(NETWORKS["openpose_body"].variant("starter").views) == 2


def test_more_is_kept_only_where_both_try_on_networks_want_it() -> None:
    def networks(**variants: str) -> Networks:
        models = {name: Model(NETWORKS[name], variant, Path("none.onnx"), "fp32",
                              NETWORKS[name].sizes(variant, (1024, 768)))
                  for name, variant in variants.items()}
        return Networks(models, OrtCpu(), OpenOptions(1), "u2net", "made up")

    assert networks(gmm="starter", alias="starter").keeps() == (0, 1, 2)
    assert networks(gmm="official", alias="starter").keeps() == ()
    assert networks(gmm="official", alias="official").keeps() == ()
    assert networks(seg="starter").keeps() == ()
