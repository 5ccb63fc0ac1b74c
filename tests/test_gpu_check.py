"""The check's own verdicts; what it checks needs a GPU."""

import json
from dataclasses import replace
from pathlib import Path

import narrow
import numpy as np
import pytest
from click.testing import CliRunner
from made_up_cuda import MadeUpCuda
from narrow import narrow_garment, narrow_model, narrow_person
from queued import QueuedBackend
from static_alias import static_alias
from tiny import tiny_model

from fuw.bench import gpu_check
from fuw.bench.gpu_ceilings import copy_gbs, floor_ms, work_of
from fuw.bench.gpu_check import CheckOptions, distance, judge_tests, main
from fuw.engine import devices
from fuw.engine.backend import Model, OpenOptions
from fuw.engine.device_fit import FIT_NETS
from fuw.engine.fitter import Fitter, Options
from fuw.engine.nets import Networks
from fuw.engine.ops import cpu_ops
from fuw.engine.ort import OrtCpu
from fuw.engine.ort_cuda import OrtCuda
from fuw.export.samples import sample_inputs
from fuw.kernels.launch import CudaDevice

X = np.arange(30, dtype=np.float32).reshape(1, 2, 3, 5)


def _report(folder: Path, *inside: str) -> Path:
    cases = "".join(f'<testcase classname="t" name="n{i}">{x}</testcase>'
                    for i, x in enumerate(inside))
    path = folder / "junit.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    return path


def test_a_skipped_golden_counts_as_failed(tmp_path: Path) -> None:
    part = judge_tests(_report(tmp_path, "", '<skipped message="golden x is not at hand"/>'))
    assert part["status"] == "failed" and (part["tests"], part["passed"]) == (2, 1)
    assert part["wrong"] == ["t.n1: skipped: golden x is not at hand"]
    assert judge_tests(_report(tmp_path, "", ""))["status"] == "passed"
    assert judge_tests(_report(tmp_path))["status"] == "failed"  # nothing was shown


def test_without_a_gpu_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: ([], ""))
    path = tmp_path / "out" / "gpu.json"
    done = CliRunner().invoke(main, ["--json", str(path)])
    assert done.exit_code == 7, done.output
    result = json.loads(path.read_text())
    assert not result["ok"] and set(result["parts"]) == {"tests", "engines", "fits", "roofline"}
    assert all(part["status"] == "not run" for part in result["parts"].values())
    assert "no NVIDIA GPU answers" in result["parts"]["engines"]["why"]


def test_a_part_that_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: CheckOptions) -> gpu_check.Part:
        raise RuntimeError("cuda went away")

    monkeypatch.setattr(devices, "gpus", lambda: ([devices.cpu()], ""))
    monkeypatch.setattr(gpu_check, "gpu_tests", broken)
    monkeypatch.setattr(gpu_check, "engines", lambda options: {"status": "passed"})
    monkeypatch.setattr(gpu_check, "fits", lambda options: {"status": "passed"})
    result = gpu_check.check(CheckOptions(), lambda line: None)
    assert result["parts"]["tests"] == {"status": "failed", "why": "RuntimeError: cuda went away"}
    assert result["parts"]["fits"]["status"] == "passed" and not result["ok"]


@pytest.mark.parametrize(("off", "status"), [(0.0, "passed"), (0.5, "failed")])
def test_a_network_is_held_to_its_gate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: float,
                                       status: str) -> None:
    class Session:
        def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [feeds["x"] + feeds["y"] + np.float32(off), 2 * feeds["x"]]

        def close(self) -> None:
            self.run = None  # type: ignore[assignment]

    monkeypatch.setattr(OrtCuda, "open", lambda self, model, options: Session())
    part = gpu_check._engine("ort-cuda", tiny_model(tmp_path), [X, X], [2 * X, 2 * X],
                             CheckOptions(cache=tmp_path, rounds=2))
    assert part["status"] == status and part["ms"]["n"] == 2


@pytest.mark.parametrize("form", ["", "static"])
def test_the_static_form_is_held_to_the_same_gate(cuda: MadeUpCuda, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch, form: str,
                                                  ) -> None:
    (model,) = static_alias(tmp_path, [1 << 20])
    backend, opened = QueuedBackend(cuda), list[str]()

    def on_the_made_up_gpu(self: OrtCuda, model: Model, options: OpenOptions) -> object:
        opened.append(model.path.name)
        return backend.open(model, replace(options, gpu=gpu))

    monkeypatch.setattr(OrtCuda, "open", on_the_made_up_gpu)
    inputs, gpu = sample_inputs(model.spec, model.sizes), CudaDevice()
    want = gpu_check._answers(OrtCpu().open, model, inputs, OpenOptions())[0]
    part = gpu_check._engine("ort-cuda", model, inputs, want, CheckOptions(rounds=1), form)
    assert part["status"] == "passed" and part["rel_l2"] < 1e-4, part
    assert opened == ["static-1048576.onnx" if form else "dense.onnx"]
    gpu.close()


def test_nothing_to_compare_is_not_a_success() -> None:
    assert gpu_check._engine("ort-cuda", None, [X], [X], CheckOptions())["status"] == "not run"
    assert gpu_check._worst([]) == "not run"
    assert gpu_check._worst([{"status": "passed"}, {"status": "not run"}]) == "not run"


def test_infinity_is_infinitely_far() -> None:
    bad = X.copy()
    bad[0, 0, 0, 0] = np.inf
    assert distance(bad, X)[0] == np.inf and distance(X, X) == (0.0, np.inf)


def test_the_least_time_is_the_longer_of_arithmetic_and_traffic(tmp_path: Path) -> None:
    model = narrow_model("alias", tmp_path, 2)
    gflop, values = work_of(model.path)
    numbers = 2 * 256 * 128
    assert gflop == pytest.approx(2 * numbers * 3 * 25 * 9 / 1e9)
    assert values == pytest.approx((numbers * (25 + 3) + 3 * 25 * 9) / 1e9)
    rows = floor_ms({"a": (10.0, 0.001), "b": (0.001, 0.5)}, tflops=100.0, gbs=4000.0, width=2)
    assert rows == {"a": pytest.approx(0.1), "b": pytest.approx(0.25), "all": pytest.approx(0.35)}


def test_stages_and_copies_are_timed_on_a_device(cuda: MadeUpCuda, tmp_path: Path) -> None:
    gpu, models = CudaDevice(), {name: narrow_model(name, tmp_path, 1) for name in FIT_NETS}
    nets = Networks(models, QueuedBackend(cuda), OpenOptions(1, "cuda:0", None, gpu), "u2net", "")
    with Fitter(nets, cpu_ops(), Options(size=narrow.SIZE), "", None, None, gpu) as fitter:
        person, garment = narrow_person(0), narrow_garment(0)
        assert not fitter.recorded
        fitter.fit(person, garment)
        assert fitter.recorded
        spent = gpu_check._stages(fitter, person, garment)
        assert list(spent) == ["seg", "warp", "misalign", "alias", "picture"]
        cuda.room(cuda.used() + (8 << 20))
        assert copy_gbs(gpu) > 0
