"""The check's own verdicts; what it checks needs a GPU."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tiny import tiny_model

from fuw.bench import gpu_check
from fuw.bench.gpu_check import CheckOptions, distance, judge_tests, main
from fuw.engine import devices
from fuw.engine.ort_cuda import OrtCuda

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


def test_nothing_to_compare_is_not_a_success() -> None:
    assert gpu_check._engine("ort-cuda", None, [X], [X], CheckOptions())["status"] == "not run"
    assert gpu_check._worst([]) == "not run"
    assert gpu_check._worst([{"status": "passed"}, {"status": "not run"}]) == "not run"


def test_infinity_is_infinitely_far() -> None:
    bad = X.copy()
    bad[0, 0, 0, 0] = np.inf
    assert distance(bad, X)[0] == np.inf and distance(X, X) == (0.0, np.inf)
