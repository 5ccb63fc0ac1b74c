"""The whole pipeline against the official code's run, networks in Torch with made-up weights."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from golden_files import compare, fill, golden
from PIL import Image

from fuw.engine import pipeline
from fuw.engine.clock import Clock
from fuw.engine.images import load_image, load_parse
from fuw.engine.openpose_json import read_openpose_json
from fuw.engine.ops import Ops, cpu_ops
from fuw.engine.records import Given
from fuw.export.nets import build

PAIRS = ["00891_00__01430_00", "08909_00__02783_00"]
NO_NOISE = np.zeros((1, 1, 256, 192), np.float32)
MILD = {"regression.linear.*": 0.1}


class TorchNetwork:
    """A network as the pipeline calls it, computed by Torch."""

    def __init__(self, name: str, gain: dict[str, float] | None = None) -> None:
        self.module = build(name)
        shapes = {k: tuple(v.shape) for k, v in self.module.state_dict().items()}
        weights = fill.fill_state_dict(shapes, 0, gain)
        self.module.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
        self.calls: list[list[np.ndarray]] = []
        self.answers: list[np.ndarray] = []

    @torch.inference_mode()
    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        self.calls.append(list(inputs))
        out = self.module(*(torch.from_numpy(np.ascontiguousarray(i)) for i in inputs))
        outputs = [o.numpy() for o in (out if isinstance(out, tuple) else (out,))]
        self.answers.append(outputs[0])
        return outputs


class Official(dict[str, TorchNetwork]):
    """Networks by name, which want the official agnostic picture."""

    def keeps(self) -> tuple[int, ...]:
        return ()


@pytest.fixture(scope="module")
def nets() -> Official:
    return Official(seg=TorchNetwork("seg"), gmm=TorchNetwork("gmm", MILD),
                    alias=TorchNetwork("alias"))


def official(pair: str) -> SimpleNamespace:
    """Official inputs and outputs of a pair."""
    person, _, _ = pair.partition("__")
    made, run = golden(f"preprocess/{person}"), golden(f"pipeline/{pair}")
    body, hands = read_openpose_json(made / "openpose.json")
    given = Given(body=body, hands=hands, parse=load_parse(made / "image-parse.png"),
                  skeleton=load_image(made / "openpose-img.png").pixels)
    return SimpleNamespace(
        image=load_image(made / "image.jpg").pixels, given=given, run=run,
        cloth=load_image(run / "cloth.jpg").pixels,
        mask=np.where(np.asarray(Image.open(run / "cloth-mask.jpg").convert("L")) >= 128,
                      np.uint8(255), np.uint8(0)),
        arrays=np.load(run / "arrays.npz"))


def ops_with(**steps: Any) -> Ops:
    """CPU ops with some steps replaced by stored answers."""
    ops = cpu_ops()
    for name, step in steps.items():
        setattr(ops, name, step)
    return ops


def ids(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.mark.golden
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_the_real_variant_is_the_official_picture(pair: str, nets: Official) -> None:
    """All three networks and every step between, from photo and parse to the picture."""
    truth = official(pair)
    ops = cpu_ops()
    person = pipeline.prepare_person(nets, ops, truth.image, Clock(), truth.given)
    nets["seg"].calls.clear()
    real = ops_with(seg_labels=lambda *_: ops.group13(person.parse))
    picture, parts = pipeline.fit(nets, real, person, truth.cloth, truth.mask, Clock(), NO_NOISE)

    want = truth.arrays
    assert compare.rel_l2(nets["seg"].calls[-1][0][:, :, ::4, ::4], want["seg_input_s4"]) < 1e-6
    assert compare.rel_l2(parts.theta, want["real/theta"]) < 1e-4
    assert np.array_equal(parts.seg, ids(truth.run / "real-parse-7.png"))
    x, _, _, misalign = nets["alias"].calls[-1]
    assert compare.rel_l2(x[:, 6:, ::8, ::8], want["real/warped_cloth_s8"]) < 2e-4
    # Absolute, as the README asks: a grid error of 3e-6 is 1.2e-3 of a pixel at a mask's edge.
    assert np.abs(misalign[:, :, ::8, ::8] - want["real/misalign_s8"]).max() < 1.2e-3
    assert compare.rel_l2(nets["alias"].answers[-1][:, :, ::8, ::8], want["real/out_s8"]) < 2e-4
    difference = np.abs(picture.astype(int) - ids(truth.run / "real-final.png").astype(int))
    assert difference.max() <= 1
    # Truncation to 8 bit turns rounding at exact levels into steps of 1; a shift is everywhere.
    assert (difference > 0).mean() < 0.05


@pytest.mark.golden
@pytest.mark.slow
def test_the_predicted_labels_are_the_official_ones(nets: Official) -> None:
    """Arg max of the blurred prediction; the README allows some 100 near-tied pixels."""
    truth = official(PAIRS[0])
    ops = cpu_ops()
    person = pipeline.prepare_person(nets, ops, truth.image, Clock(), truth.given)
    x = ops.seg_input(truth.mask, truth.cloth, person.groups_agnostic, person.skeleton, NO_NOISE)
    (probabilities,) = nets["seg"](x)
    assert compare.rel_l2(probabilities[:, :, ::2, ::2], truth.arrays["seg_out_s2"]) < 1e-4
    labels = ops.seg_labels(probabilities, 1024, 768)
    assert (labels != ids(truth.run / "pred-labels-13.png")).sum() <= 100


@pytest.mark.golden
@pytest.mark.slow
def test_the_pred_variant_from_the_stored_parse(nets: Official) -> None:
    """GMM without gain on a junk parse map: folds everywhere, still the official warp."""
    truth = official(PAIRS[0])
    ops = cpu_ops()
    person = pipeline.prepare_person(nets, ops, truth.image, Clock(), truth.given)
    seven = ids(truth.run / "pred-parse-7.png")
    stored = ops_with(group7=lambda _: seven)
    wild = Official(nets, gmm=TorchNetwork("gmm"))
    picture, parts = pipeline.fit(wild, stored, person, truth.cloth, truth.mask, Clock(), NO_NOISE)
    assert compare.rel_l2(parts.theta, truth.arrays["pred/theta"]) < 1e-4
    difference = np.abs(picture.astype(int) - ids(truth.run / "pred-final.png").astype(int))
    assert (difference.max(-1) > 1).mean() < 0.002
    facts = json.loads((truth.run / "info.json").read_text())["pred"]
    assert [int((seven == i).sum()) for i in range(7)] == facts["class_pixels_7"]
