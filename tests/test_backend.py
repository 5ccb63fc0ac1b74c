"""The same answers and the same refusals from every CPU backend."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up import at_once
from tiny import tiny_model

from fuw.engine.backend import Backend, Network, OpenOptions
from fuw.engine.choose import choose
from fuw.engine.errors import BackendError
from fuw.engine.ort import OrtCpu
from fuw.engine.ov import OpenVino

BACKENDS = [OrtCpu(), OpenVino()]
X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)
both = pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)


@both
def test_outputs_come_in_the_specs_order(tmp_path: Path, backend: Backend) -> None:
    with Network(tiny_model(tmp_path), backend, OpenOptions(1)) as net:
        total, twice = net(X, X + 1)
    np.testing.assert_array_equal(total, 2 * X + 1)
    np.testing.assert_array_equal(twice, 2 * X)


@both
def test_an_answer_outlives_the_next_run(tmp_path: Path, backend: Backend) -> None:
    with Network(tiny_model(tmp_path), backend, OpenOptions(1)) as net:
        first, _ = net(X, X)
        net(X + 100, X)
    np.testing.assert_array_equal(first, 2 * X)


@both
def test_two_threads_share_a_network(tmp_path: Path, backend: Backend) -> None:
    wrong: list[int] = []
    with Network(tiny_model(tmp_path), backend, OpenOptions(1)) as net:

        def work(k: int) -> None:
            for _ in range(50):
                if not np.array_equal(net(X + k, X)[0], 2 * X + k):
                    wrong.append(k)

        at_once(work)
    assert not wrong


@both
@pytest.mark.parametrize(("inputs", "words"), [
    ((X,), "received 1 inputs; expected 2: x, y"),
    ((X, X[:, :1]), r"input y is float32 \(1, 1, 3, 5\); expected float32 \(1, 2, 3, 5\)"),
    ((X.astype(np.float64), X), "input x is float64"),
])
def test_wrong_inputs_are_refused_in_front(tmp_path: Path, backend: Backend,
                                           inputs: tuple[np.ndarray, ...], words: str) -> None:
    with Network(tiny_model(tmp_path), backend, OpenOptions(1)) as net, \
            pytest.raises(BackendError, match=words):
        net(*inputs)


@both
def test_a_file_that_is_no_network_names_itself_and_the_mend(tmp_path: Path,
                                                            backend: Backend) -> None:
    model = tiny_model(tmp_path)
    model.path.write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(BackendError, match=r"tiny.fp32.onnx.*fuw-export --force"):
        Network(model, backend, OpenOptions(1)).open()


def test_openvino_computes_fp32_when_asked(tmp_path: Path) -> None:
    """Its default on processors with bf16 is bf16: 1 + 2^-10 would come back as 1."""
    model = tiny_model(tmp_path)
    x = np.full_like(X, 1 + 2**-10)
    with Network(replace(model, precision="fp32"), OpenVino(), OpenOptions(1)) as net:
        np.testing.assert_array_equal(net(x, x)[1], 2 * x)


def test_choice_refuses_what_is_not_there() -> None:
    assert choose("cpu", "ort-cpu", "auto").precision == "fp32"
    with pytest.raises(BackendError, match="there are openvino, ort-cpu"):
        choose("cpu", "tpu")
    with pytest.raises(BackendError, match="computes in fp32 on a CPU, not bf16"):
        choose("cpu", "ort-cpu", "bf16")
