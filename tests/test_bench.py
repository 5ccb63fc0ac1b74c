"""The bench's parts on small things, and a rehearsal of the whole with narrow networks."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper

import fuw
from fuw import cli
from fuw.bench import accuracy, compare, kernels, page, report, work
from fuw.bench.chain import TOTAL
from fuw.bench.configurations import CHAIN, configurations, named, opened
from fuw.bench.crew import Member
from fuw.bench.eager import EagerNetwork, EagerOps
from fuw.bench.latency import BenchOptions, measure, summary
from fuw.bench.made_up import exported
from fuw.bench.scene import Scene, example_photos, scene_of
from fuw.bench.stats import Stats, schedule, shares
from fuw.engine.errors import BackendError, FuwError, InputError
from fuw.engine.fitter import Fitter
from fuw.engine.networks import network
from fuw.engine.ops import Ops, cpu_ops
from fuw.engine.weights import find_models

EXAMPLES = Path(fuw.__file__).parent / "examples"
PHOTOS = EXAMPLES / "person_1.jpg", EXAMPLES / "garment_1.jpg"


@pytest.fixture(scope="module")
def scene() -> Scene:
    with Fitter.open(precision="fp32", threads=1) as fitter:
        return scene_of(fitter, *PHOTOS)


def test_slow_ones_run_seldom_and_everybody_is_spread_evenly() -> None:
    counts = shares({"ours": 1.0, "eager": 20.0}, 60, {"ours": 4, "eager": 2}, most=12)
    assert counts == {"ours": 12, "eager": 2}
    order = schedule(counts)
    assert len(order) == 14
    where = [k for k, name in enumerate(order) if name == "eager"]
    assert 2 <= where[0] <= 4 and 9 <= where[1] <= 11


def test_percentiles() -> None:
    assert Stats.of([1.0, 2.0, 3.0]) == Stats(2.0, pytest.approx(2.8), pytest.approx(2.98), 3)


def test_work_of_a_convolution_is_counted(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, (8, 3, 3, 3), np.zeros(216).tolist())
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 10, 20))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 8, 10, 20))], [weight])
    path = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    done = work.counted(path)
    assert done.gflop == pytest.approx(2 * 8 * 200 * 27 / 1e9)
    assert done.values == pytest.approx((600 + 216 + 1600) / 1e9)


def test_a_share_is_of_the_larger_ceiling() -> None:
    rows = {"seg network": {"p50": 10.0}}
    ceilings = {"gemm_f32_gflops": 100.0, "gemm_bf16_gflops": 200.0, "copy_gbs": 10.0}
    told = work.shares({"seg": work.Work(1.0, 1.0, 0.001)}, rows, {"seg": "bf16"}, ceilings)["seg"]
    assert told["floor_ms"] == pytest.approx(5.0) and told["share"] == pytest.approx(0.5)
    assert told["gbytes"] == pytest.approx(0.002)


def test_errors_are_relative_and_a_part_has_its_worst() -> None:
    want = {"seg": [np.ones(4)], "gmm": [np.ones(4)], "alias": [np.zeros(4)],
            "picture": [np.full(4, 100.0)]}
    got = {**want, "gmm": [np.full(4, 1.1)], "alias": [np.full(4, 0.02)],
           "picture": [np.full(4, 101.0)]}
    rows = accuracy.errors(got, want)
    assert rows["warp"] == pytest.approx(0.1) == rows["fit"] == rows[TOTAL]
    assert rows["seg"] == 0
    assert accuracy.psnr(got, want) == {"alias": pytest.approx(40.0),
                                        "picture": pytest.approx(48.13, abs=0.01)}


def test_only_pairs_that_exist() -> None:
    assert named(("ort-cpu", "openvino"), ("bf16", "fp32")) == [
        ("ort-cpu", "fp32"), ("openvino", "bf16"), ("openvino", "fp32")]
    with pytest.raises(BackendError, match="ort-cpu"):
        named(("ort-cpu",), ("fp16",))


def test_the_baseline_computes_what_we_compute(scene: Scene) -> None:
    """Its own two steps; a baseline that did less would flatter us as one that did more."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((1, 13, 16, 12), np.float32))
    probabilities = torch.nn.functional.interpolate(coarse, (256, 192), mode="bilinear").numpy()
    same = (EagerOps.seg_labels(probabilities, 512, 384)
            == Ops.seg_labels(probabilities, 512, 384)).mean()
    assert same > 0.999
    arguments = scene.cloth, scene.mask, scene.theta, 1024, 768
    for got, want in zip(EagerOps.warp_garment(*arguments), Ops.warp_garment(*arguments),
                         strict=True):
        assert np.abs(got - want).mean() < 1e-3
    module = torch.nn.Conv2d(3, 4, 3).eval()
    x = rng.random((1, 3, 8, 8), np.float32)
    plain = module(torch.from_numpy(x)).detach().numpy()
    assert np.abs(EagerNetwork(module, bf16=False)(x)[0] - plain).max() == 0
    assert 0 < np.abs(EagerNetwork(module, bf16=True)(x)[0] - plain).max() < 0.05


def test_a_scene_is_one_file_and_has_other_sizes(scene: Scene, tmp_path: Path) -> None:
    again = Scene.load(scene.save(tmp_path / "scene.npz"))
    assert np.array_equal(again.person.parse, scene.person.parse)
    assert np.array_equal(again.theta, scene.theta)
    half = scene.resized((512, 384))
    assert half.person.image.shape == (512, 384, 3) and half.groups.shape == (512, 384)
    assert set(np.unique(half.person.parse)) <= set(np.unique(scene.person.parse))
    assert np.allclose(half.person.body[:, :2] * 2, scene.person.body[:, :2])


def test_a_step_is_checked_before_it_is_timed(scene: Scene) -> None:
    case = next(c for c in kernels.cases(scene) if c.step == "to_image")
    assert kernels.check_cpu(case, cpu_ops()) == ""

    class Broken(Ops):
        @staticmethod
        def to_image(x):  # type: ignore[no-untyped-def]
            x *= 2
            return Ops.to_image(x)

    spoilt = kernels.Case("to_image", (case.arguments[0].copy(),))
    assert kernels.check_cpu(spoilt, Broken()) != ""
    line = kernels.timed(case, lambda: None, 10**6, 10.0, 0.0)
    assert line.ms is not None and line.ms.n == 5 and "to_image" in kernels.table([line])


def test_a_device_that_disagrees_is_told() -> None:
    want = [np.zeros((10, 10), np.uint8)]
    off = [np.full((10, 10), 2, np.uint8)]
    assert kernels.differs(want, want) == "" and "100.00%" in kernels.differs(off, want)
    assert "off by" in kernels.differs([np.ones(3, np.float32)], [np.zeros(3, np.float32)])


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run with the starter weights, every process of it real but `fuw-run`'s."""
    starts = {"p50": 2000.0, "p90": 2100.0, "p99": 2100.0, "n": 1}
    options = BenchOptions(*PHOTOS, weights="starter", seconds=1.0, threads=1, batch=2,
                           baseline=False, folder=tmp_path_factory.mktemp("bench"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fuw.bench.latency.process_starts", lambda *_: {
            "first start ever": starts, "warm cache": starts})
        return measure(options, say=lambda _: None)


@pytest.mark.slow
def test_a_run_holds_every_row_and_what_goes_with_it(result: dict[str, Any]) -> None:
    json.dumps(result, allow_nan=False)
    (run,) = result["runs"]
    ours = run["configurations"][run["configuration"]]
    assert set(report.rows_of(run)) >= {"pose network", "hands pre/post", "densepose", "parse",
                                        "mask", "seg", "warp", "misalign", "alias", "picture",
                                        "prepare person", "prepare garment", "fit", TOTAL,
                                        "one person x 2 garments"}
    rows = ours["rows"]
    inside = sum(rows[part]["p50"] for part in ("prepare person", "prepare garment", "fit"))
    assert inside == pytest.approx(rows[TOTAL]["p50"], rel=0.3)
    assert rows["alias"]["p50"] == pytest.approx(
        rows["alias network"]["p50"] + rows["alias pre/post"]["p50"], rel=0.3)
    assert ours["built"]["first_picture_s"] > 0 and ours["peak_rss_mib"] > 50
    assert set(ours["open_s"]) == set(CHAIN) == set(run["work"])
    looks = sum(len(network(name).variant("starter").views) for name in CHAIN)
    assert ours["traffic"]["calls"] == looks and ours["traffic"]["bytes_in"] > 10**7
    assert run["fit_memory"]["resident"] == ["alias", "gmm", "seg"]
    assert result["summary"]["psnr_db"] > 20 and result["summary"]["baseline"] is None
    once = work.counted(find_models("starter", "fp32", (1024, 768))["schp"].path).gflop
    assert run["work"]["schp"]["gflop"] == pytest.approx(
        len(network("schp").variant("starter").views) * once)


def test_reports_say_what_the_result_holds(result: dict[str, Any], tmp_path: Path) -> None:
    """As if the same run had had a baseline, of made-up weights."""
    (run,) = result["runs"]
    base = json.loads(json.dumps(run["configurations"][run["configuration"]]))
    base["rows"][TOTAL]["p50"] *= 3
    both = {**run, "weights": "made-up", "handed_down": True, "reference": "eager fp32",
            "configurations": {**run["configurations"], "eager fp32": base}}
    assert summary(both)["chain_speedup"] == pytest.approx(3)
    whole = {**result, "runs": [run, both], "summary": summary(both)}
    text = report.table(whole)
    assert "handed downstream" in text and "no transfer to a device" in text
    html = page.page(whole)
    assert html.count("<svg") == 6 and "http" not in html.replace("http://www.w3.org/2000/svg", "")
    ElementTree.fromstring(f"<x>{''.join(re.findall('<svg.*?</svg>', html))}</x>")
    assert "3.0x" in report.readme_table(whole)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(whole))
    done = CliRunner().invoke(cli.bench, ["compare", str(path), str(path)])
    assert done.exit_code == 0 and "1.00x" in done.output


def test_the_baseline_has_the_weights_of_the_files(tmp_path: Path) -> None:
    """One narrow network: kept once exported, one file for both forms, the same in Torch."""
    exported(["gmm"], tmp_path, width=0.03)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("gmm.*")}
    exported(["gmm"], tmp_path, width=0.03)
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("gmm.*")}
    assert len(files) == 3
    ours, plain, eager = (one for one in configurations(
        [("openvino", "fp32")], str(tmp_path), 1, (1024, 768), tmp_path, True, 0.03)
        if one.precision == "fp32" and one.name != "eager bf16 channels-last")
    assert {plain.name, eager.name} == {"plain ort fp32", "eager fp32"}
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(-1, 1, t.shape(network("gmm").sizes("official"), 1)).astype(np.float32)
              for t in network("gmm").inputs]
    answers = [opened(one, ["gmm"])[0]["gmm"](*inputs)[0] for one in (ours, plain, eager)]
    assert np.abs(answers[2]).max() > 1e-3
    for answer in answers[:2]:
        assert np.abs(answer - answers[2]).max() < 1e-3 * np.abs(answers[2]).max()


def test_a_process_that_dies_is_said(scene: Scene, tmp_path: Path) -> None:
    (broken, *_) = configurations([("openvino", "fp32")], str(tmp_path / "none"), 1, (1024, 768),
                                  tmp_path, baseline=False)
    with pytest.raises(BackendError, match="no folder"):
        Member(broken, scene.save(tmp_path / "scene.npz"), hand_down=False)


def test_a_slower_row_is_named_and_fails(tmp_path: Path) -> None:
    def told(ms: float) -> dict[str, object]:
        row = {"p50": ms, "p90": ms, "p99": ms, "n": 3}
        return {"format": 2, "starts": {"warm cache": row}, "runs": [
            {"weights": "starter", "size": [1024, 768],
             "configurations": {"openvino bf16": {"rows": {"alias": row}}}}]}

    lines, slower = compare.compare(told(100.0), told(130.0))
    assert len(lines) == 2 == len(slower) and "1.30x" in slower[1] and "alias" in slower[1]
    assert compare.compare(told(100.0), told(110.0))[1] == []
    assert compare.compare(told(100.0), told(110.0), threshold=1.05)[1]
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, ms in zip(paths, (100.0, 130.0), strict=True):
        path.write_text(json.dumps(told(ms)))
    done = CliRunner().invoke(cli.bench, ["compare", *map(str, paths)])
    assert done.exit_code == 1 and "takes 1.30x as long" in done.stderr
    done = CliRunner().invoke(cli.bench, ["compare", *map(str, paths), "--threshold", "1.5"])
    assert done.exit_code == 0


def test_what_is_missing_is_told_before_anything_is_measured(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fuw.bench.latency.find_spec", lambda name: None)
    with pytest.raises(FuwError, match=r"torch.*fuw\[export\].*--weights starter"):
        measure(BenchOptions(*PHOTOS), say=lambda line: pytest.fail(line))
    monkeypatch.setattr("fuw.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(InputError, match="--person PHOTO"):
        example_photos()


@pytest.mark.parametrize("text", ["{", '{"format": 1}', '{"format": 2, "runs": []}', "[]"])
def test_what_is_no_report_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match="fuw-bench --json"):
        compare.read(path)


def test_the_command_line_gives_its_options() -> None:
    chosen = cli.bench_options(
        person=None, cloth=None, backends="openvino, ort-cpu", precisions="fp32",
        sizes="512x384,1024x768", no_baseline=True, quick=True, seconds=240.0, batch=4)
    assert chosen.backends == ("openvino", "ort-cpu") and chosen.sizes == ((512, 384), (1024, 768))
    assert (chosen.seconds, chosen.baseline, chosen.batch) == (30.0, False, 4)
    assert chosen.person.exists() and chosen.cloth.exists()
