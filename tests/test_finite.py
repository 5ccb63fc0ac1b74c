"""What overflows in fp16 is run again in fp32, the caller is told, and the picture is the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny import tiny_model, tiny_spec

import fuw
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.errors import BackendError
from fuw.engine.files import sha256
from fuw.engine.finite import Watched, all_finite
from fuw.engine.fitter import Fitter
from fuw.engine.nets import Networks
from fuw.engine.ort import OrtCpu

X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)
EXAMPLES = Path(fuw.__file__).parent / "examples"


def _overflowing(source: Path, target: Path, factor: float) -> Path:
    """The network in `source`, its first output through fp16 at `factor` times its height."""
    model = onnx.load(str(source))
    name = model.graph.output[0].name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [f"{n}.exact" if n == name else n for n in names]
    cast, low = helper.make_node, TensorProto.FLOAT16
    model.graph.node.extend([
        cast("Mul", [f"{name}.exact", "up"], [f"{name}.high"]),
        cast("Cast", [f"{name}.high"], [f"{name}.half"], to=low),
        cast("Cast", [f"{name}.half"], [f"{name}.wide"], to=TensorProto.FLOAT),
        cast("Div", [f"{name}.wide", "up"], [name])])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(factor), "up"))
    onnx.save(model, str(target))
    return target


def _networks(folder: Path, plain: bool = True) -> Networks:
    """The tiny network, which overflows in fp16 where |total| passes 65.5, under the name seg."""
    model = tiny_model(folder)
    low = replace(model, path=_overflowing(model.path, folder / "low.onnx", 1e3), precision="fp16")
    return Networks({"seg": low}, OrtCpu(), OpenOptions(1), "u2net", "made-up",
                    {"seg": model} if plain else None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_is_found(bad: float) -> None:
    answer = np.ones((1, 3, 40, 50), np.float32)
    assert all_finite([answer, X]) and all_finite([])
    answer[0, 1, 2, 3] = bad
    assert not all_finite([X, answer]) and not all_finite([answer[..., ::2, 3:]])


def test_large_numbers_are_finite() -> None:
    assert all_finite([np.full((4, 4), 3e38, np.float32)])


def test_an_answer_in_range_is_left_alone(tmp_path: Path) -> None:
    nets = Watched(_networks(tmp_path))
    total, twice = nets["seg"](X, X - 20)
    np.testing.assert_allclose(total, 2 * X - 20, atol=0.05)
    np.testing.assert_array_equal(twice, 2 * X)
    assert nets.warnings == ()


def test_an_overflow_is_run_again_in_fp32(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    networks = _networks(tmp_path)
    assert np.isinf(networks["seg"](X + 100, X)[0]).any()  # it does overflow
    nets = Watched(networks)
    for _ in range(2):
        np.testing.assert_array_equal(nets["seg"](X + 100, X)[0], 2 * X + 100)
    (warning,) = nets.warnings
    assert warning.code == "overflow" and "seg" in warning.sentence and "fp16" in warning.sentence
    assert len(caplog.records) == 2 and "run again in fp32" in caplog.text
    assert Watched(networks).warnings == ()  # another call's are its own


def test_without_an_fp32_file_the_export_is_named(tmp_path: Path) -> None:
    nets = Watched(_networks(tmp_path, plain=False))
    with pytest.raises(BackendError, match="fuw-export --weights made-up --networks seg --fp32"):
        nets["seg"](X + 100, X)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_not_finite_in_fp32_either_is_an_error(tmp_path: Path, precision: str) -> None:
    model = replace(tiny_model(tmp_path), precision=precision, origin="my.pth")
    networks = Networks({"seg": model}, OrtCpu(), OpenOptions(1), "u2net", "made-up",
                        {"seg": replace(model, precision="fp32")})
    with pytest.raises(BackendError, match=r"NaN or infinity in fp32: its weights \(my.pth\)"):
        Watched(networks)["seg"](X, np.full_like(X, np.inf))


def test_closing_closes_both(tmp_path: Path) -> None:
    networks = _networks(tmp_path)
    Watched(networks)["seg"](X + 100, X)
    networks.close()
    assert networks["seg"].opened is None and networks.plain("seg").opened is None


def test_it_stands_for_the_networks(tmp_path: Path) -> None:
    networks = _networks(tmp_path)
    spec = replace(tiny_spec(), variants={"official": replace(
        tiny_spec().variants["official"], fit={"size": 5}, labels="lip")})
    networks._nets["seg"].model = replace(networks["seg"].model, spec=spec)
    nets = Watched(networks)
    assert (nets.mask_net, nets.fit("seg"), nets.labels("seg")) == ("u2net", {"size": 5}, "lip")


def test_a_fit_is_whole_and_says_so(tmp_path: Path) -> None:
    """The starter chain with an ALIAS that overflows: the same picture, and a warning."""
    with Fitter.open(backend="ort-cpu", precision="fp32", threads=1) as fitter:
        person = fitter.person(EXAMPLES / "person_1.jpg")
        garment = fitter.garment(EXAMPLES / "garment_1.jpg")
        want = fitter.fit(person, garment)
        model: Model = fitter.nets["alias"].model
        low = _overflowing(model.path, tmp_path / "alias.fp16.onnx", 1e6)
        fitter.nets["alias"].close()
        fitter.nets["alias"].model = replace(model, path=low, precision="fp16",
                                                sha256=sha256(low))
        got = fitter.fit(person, garment)
    assert [w.code for w in got.warnings if w not in want.warnings] == ["overflow"]
    np.testing.assert_array_equal(got.image, want.image)
