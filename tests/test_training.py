"""Training of the starter weights: augmentation, targets, losses, loop, what ships."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch (extra: export)")
onnx = pytest.importorskip("onnx", reason="shipping needs onnx (extra: export)")

from torch import nn  # noqa: E402

from fuw.engine import keypoints  # noqa: E402
from fuw.export.nets import build  # noqa: E402
from fuw.export.nets.tps import tps_grid  # noqa: E402
from fuw.starter.figures import sample_io  # noqa: E402
from fuw.starter.training import alias, augment, body, gmm, losses, resize, run, start  # noqa: E402
from fuw.starter.training.data import Figures, Photos, Sample  # noqa: E402
from fuw.starter.training.loop import Plan, Trainer, rate  # noqa: E402
from fuw.starter.training.norms import add_norms, fold_norms  # noqa: E402
from fuw.starter.training.rare import LONG_SLEEVES, RareIds  # noqa: E402
from fuw.starter.training.ship import store_half  # noqa: E402

H, W = 256, 192


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def standing() -> np.ndarray:
    """A made-up BODY_25 pose in 256x192."""
    points = np.zeros((25, 3), np.float32)
    places = {0: (96, 40), 1: (96, 70), 2: (70, 72), 3: (58, 110), 4: (60, 145), 5: (122, 72),
              6: (134, 110), 7: (132, 145), 8: (96, 150), 9: (82, 150), 10: (80, 195),
              12: (110, 150), 13: (112, 195), 15: (91, 35), 16: (101, 35), 17: (85, 38),
              18: (107, 38)}
    for k, (x, y) in places.items():
        points[k] = x, y, 1
    return points


def dressed(seed: int) -> sample_io.Dressed:
    r = rng(seed)
    parse = np.zeros((H, W), np.uint8)
    parse[30:55, 80:112] = 13
    parse[55:70, 88:104] = 10
    parse[70:150, 66:126] = 5
    parse[90:150, 50:64], parse[90:150, 128:142] = 15, 14
    parse[150:, 72:120] = 9
    colours = r.integers(0, 256, (20, 3)).astype(np.uint8)
    garment = np.full((H, W, 3), 245, np.uint8)
    garment[60:200, 40:150] = colours[5]
    mask = np.zeros((H, W), np.uint8)
    mask[60:200, 40:150] = 255
    iuv = np.zeros((H, W, 3), np.uint8)
    iuv[..., 0] = (parse > 0) * 2
    corr = np.full((H // 4, W // 4, 2), np.nan, np.float16)
    for i in range(16, 48):
        for j in range(11, 36):
            corr[i, j] = (66 + (4 * j - 40) * 60 / 110, 70 + (4 * i - 60) * 80 / 140)
    return sample_io.Dressed(colours[parse], garment, parse, mask, iuv, corr)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    folder = tmp_path_factory.mktemp("figures")
    hands = np.zeros((2, 21, 3), np.float32)
    hands[0] = [132, 150, 1]
    hands[1] = [60, 150, 1]
    hands[:, :, :2] += rng().uniform(-8, 8, (2, 21, 2)).astype(np.float32)
    for seed in range(2):
        figure = sample_io.Figure(seed, dressed(seed), dressed(seed + 9), standing(), hands, {})
        sample_io.write(folder, figure)
    return Figures(folder)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    import cv2

    folder = tmp_path_factory.mktemp("photos") / "shirt"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.jpg"), rng().integers(0, 256, (133, 100, 3)).astype(np.uint8))
    return Photos(folder.parent)


def test_points_and_pictures_move_together() -> None:
    for seed in range(5):
        matrix, _ = augment.random_affine(rng(seed), (H, W), (H, W), scale=(0.8, 1.2),
                                          rotation=10, shift=0.05)
        dot = np.zeros((H, W, 3), np.uint8)
        dot[118:123, 78:83] = 255
        moved = augment.warp(dot, matrix, (H, W))[..., 0]
        y, x = (np.argwhere(moved > 128)).mean(0)
        wanted = augment.warp_points(np.array([[80, 120, 1]], np.float32), matrix)[0]
        assert abs(x - wanted[0]) < 1 and abs(y - wanted[1]) < 1


def test_a_mirrored_person_keeps_left_and_right() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[:, 1] = 14
    mirror = np.array([[-1, 0, 7], [0, 1, 0]], np.float32)
    out = augment.warp_labels(labels, mirror, (8, 8), mirrored=True)
    assert (out[:, 6] == 15).all() and (out == 14).sum() == 0
    assert sorted(body.SWAPPED) == list(range(25))
    assert [body.SWAPPED[k] for k in body.SWAPPED] == list(range(25))  # its own inverse


def test_rare_labels_are_sought(figures: Figures) -> None:
    rare = RareIds(figures, (9, 14, 14, 6))
    drawn = {rare.pick(rng(seed)) for seed in range(40)}
    assert drawn == {(seed, side) for seed in range(2) for side in "ab"}
    assert sorted(rare.places) == [9, 14]
    assert RareIds(figures, (6,)).pick(rng()) is None
    assert RareIds(figures, (LONG_SLEEVES,)).pick(rng()) is None  # the arms are bare


def test_a_blended_garment_has_the_colour_of_the_wall() -> None:
    picture = rng().integers(60, 200, (H, W, 3)).astype(np.uint8)
    mask = np.zeros((H, W), np.uint8)
    mask[50:150, 50:150] = 255
    out = augment.blended_in(picture, mask, (240, 230, 220), 0.2)
    assert np.abs(out[60:140, 60:140].mean((0, 1)) - (238, 228, 218)).max() < 8
    assert (out[:40] == picture[:40]).all()


def test_enlargement_and_its_gradient_are_those_of_interpolate() -> None:
    torch.manual_seed(0)
    x, like = torch.randn(2, 4, 3, 5, requires_grad=True), torch.zeros(1, 1, 9, 11)
    usual = torch.nn.functional.interpolate(x, (9, 11), mode="bilinear", align_corners=True)
    quick = resize.enlarge(x, like)
    assert torch.allclose(usual, quick, atol=1e-6)
    # what `cat` hands back: a slice of a larger gradient
    grad = torch.randn(2, 9, 9, 11).to(memory_format=torch.channels_last)[:, 3:7]
    wanted, = torch.autograd.grad(usual, x, grad)
    got, = torch.autograd.grad(quick, x, grad)
    assert torch.allclose(wanted, got, atol=1e-5)


def test_only_neck_and_shoulders_move_towards_openpose() -> None:
    points = standing()
    moved = body.as_openpose(points)
    up = points[:, 1] - moved[:, 1]
    assert up[[1, 2, 5]] == pytest.approx(body.RAISE * 80, abs=1e-3)
    assert np.delete(up, [1, 2, 5]).max() == 0


def test_the_decoder_finds_the_pose_that_the_targets_show() -> None:
    points = standing()
    moved = points.copy()
    moved[:, :2] = body.cells(points[:, :2])
    grid = (H // 8, W // 8)
    maps = np.concatenate([body.heat_maps(moved, grid), body.affinity_fields(moved, grid)])
    (found,) = keypoints.decode_body(maps, 1.0)
    seen = points[:, 2] > 0
    assert (found[seen, 2] > 0).all() and (found[~seen, 2] == 0).all()
    assert np.abs(found[seen, :2] - points[seen, :2]).max() < 2.5


def test_norms_fold_into_the_convolutions() -> None:
    options: dict[str, Any] = {"stages": (1, 1), "blocks": 1}
    torch.manual_seed(0)
    net = add_norms(build("openpose_body", 0.0625, **options), lambda n: n.startswith("Mconv7"))
    net.train()
    for _ in range(3):
        net(torch.randn(2, 3, 32, 32))
    plain = fold_norms(net.eval(), build("openpose_body", 0.0625, **options))
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(net(x), plain(x), atol=1e-4)


def test_losses_are_zero_where_they_should_be() -> None:
    labels = torch.tensor([[[0, 1], [2, 2]]])
    sure = nn.functional.one_hot(labels, 3).permute(0, 3, 1, 2).float()
    assert losses.soft_dice(sure, labels) == 0
    assert losses.soft_dice(sure.flip(1), labels) > 0.3
    still = torch.zeros(1, 50)
    assert losses.second_order(gmm.places(still)) == pytest.approx(0, abs=1e-6)
    assert losses.second_order(gmm.places(torch.randn(1, 50) * 0.1)) > 0.01
    assert losses.outlines(labels).tolist() == [[[1, 1], [0, 0]]]


def test_control_points_move_by_their_own_offset() -> None:
    """theta holds 25 offsets in x, then 25 in y."""
    theta = torch.zeros(1, 50)
    theta[0, 7], theta[0, 25 + 3] = 0.2, -0.1
    moved = (gmm.places(theta) - gmm.places(torch.zeros(1, 50))).reshape(25, 2)
    wanted = torch.zeros(25, 2)
    wanted[7, 0], wanted[3, 1] = 0.2, -0.1
    assert torch.allclose(moved, wanted, atol=1e-6)


def test_the_garment_has_to_cover_its_region_and_nothing_else(figures: Figures,
                                                              photos: Photos) -> None:
    task, (h, w) = gmm.Matching(figures, photos), gmm.SIZE
    y, x = torch.meshgrid((torch.arange(h) + 0.5) * 2 / h - 1, (torch.arange(w) + 0.5) * 2 / w - 1,
                          indexing="ij")
    region = torch.zeros(1, 1, h, w)
    region[..., 64:192, 48:144] = 1
    hidden = torch.zeros(1, 1, h, w)
    hidden[..., :64, :] = 1

    def cover(mask: torch.Tensor) -> float:
        batch = {"b": torch.zeros(1, 3, h, w), "worn": torch.zeros(1, 3, h, w), "mask": mask,
                 "upper": region, "hidden": hidden, "pairs": torch.full((1, 4, 4), torch.nan)}
        _, parts = task._loss(torch.zeros(1, 50), torch.stack((x, y), -1)[None], batch)
        return parts["cover"]

    ground = float(((1 - region) * (1 - hidden)).sum() / region.sum())
    assert cover(region) == pytest.approx(0, abs=1e-5)
    assert cover(torch.zeros_like(region)) == pytest.approx(1, abs=1e-5)
    assert cover(torch.ones_like(region)) == pytest.approx(ground, abs=1e-4)


def test_true_correspondences_cost_nothing() -> None:
    grid = tps_grid(torch.zeros(1, 50), H, W)
    worn = np.stack(np.meshgrid(np.arange(40, 150, 4), np.arange(60, 200, 4)), 2)
    at = grid[0, worn[..., 1], worn[..., 0]].reshape(-1, 2)
    here = torch.from_numpy((worn.reshape(-1, 2) + 0.5) * 2 / np.array([W, H]) - 1).float()
    pairs = torch.cat([here, at], 1)[None]
    assert gmm._match(grid, pairs) < 1e-4
    pairs[..., 2] += 0.1
    assert gmm._match(grid, pairs) == pytest.approx(0.1, abs=1e-3)


def test_the_rate_warms_up_stays_and_falls() -> None:
    rates = [rate(p, 0.5) for p in (0.0, 0.1, 0.5, 0.75, 1.0)]
    assert rates[0] < 0.1 and rates[1] == rates[2] == 1 and 0.4 < rates[3] < 0.6
    assert rates[4] == pytest.approx(0.02)


@dataclass
class Line:
    """Task: y = 2 x."""

    name: str = "line"
    batch: int = 8
    peak_lr: float = 0.05

    def build(self) -> nn.Module:
        return nn.Conv2d(1, 1, 1)

    def draw(self, rng: np.random.Generator) -> Sample:
        x = rng.standard_normal((1, 2, 2)).astype(np.float32)
        return {"x": x, "y": 2 * x}

    def loss(self, net: nn.Module, batch: Any) -> Any:
        return (net(batch["x"]).float() - batch["y"]).square().mean(), {}


def test_the_loop_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        first = Trainer(Line(), Plan(tmp_path, steps=60, workers=0, threads=1))
        first.run()
        again = Trainer(Line(), Plan(tmp_path, steps=60, workers=0, threads=1))
        assert again.step == 60
        assert torch.equal(again.net.weight, first.net.weight)  # type: ignore[arg-type]
        again.run()
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
    assert again.step == 120 and again.ema.weight.item() == pytest.approx(2, abs=0.2)  # type: ignore[operator,union-attr]
    assert list(tmp_path.glob("*.part")) == []


SMALL = {"schp": {"size": 65}, "u2net": {"size": 64}, "openpose_body": {"size": 128},
         "openpose_hand": {"size": 96}, "densepose": {"size": 96}, "seg": {"size": 64}, "gmm": {}}


@pytest.mark.parametrize("network", sorted(SMALL))
def test_every_task_makes_samples_that_its_network_can_learn_from(
    network: str, figures: Figures, photos: Photos, tmp_path: Path
) -> None:
    options: dict[str, Any] = dict(SMALL[network])
    if network == "seg":
        options["weights"] = tmp_path
    task = run.task_class(network)(figures, photos, **options)
    samples = [task.draw(rng(k)) for k in range(2)]
    batch = torch.utils.data.default_collate(samples)
    net = task.build().train()
    loss, parts = task.loss(net, batch)
    loss.backward()
    assert torch.isfinite(loss) and parts
    moved = [p for p in net.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(moved) > 0.8 * len(list(net.parameters()))


@pytest.mark.parametrize("gan", [False, True], ids=["first", "last phase"])
def test_painting_learns_from_what_the_networks_before_it_say(
    gan: bool, figures: Figures, photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in alias.FROZEN:
        torch.save({"ema": build(name, variant="starter").state_dict()}, tmp_path / f"{name}.pt")
    task = alias.Painting(figures, photos, weights=tmp_path, size=256, gan=gan, perceive=False)
    batch = torch.utils.data.default_collate([task.draw(rng(k)) for k in range(2)])
    net = task.build().train()
    loss, parts = task.loss(net, batch)
    loss.backward()
    assert torch.isfinite(loss) and ("critic" in parts) == gan
    moved = [p for p in net.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert len(moved) > 0.8 * len(list(net.parameters()))
    # The gates' teacher counts in full at first, hardly in the last phase.
    name = "CHOICE_LAST" if gan else "CHOICE"
    weight = 0.1 if gan else 1.0
    monkeypatch.setattr(alias, name, 0.0)
    monkeypatch.setattr(task, "_judge", lambda *_: (torch.zeros(()), torch.zeros(()), 0.0))
    without = float(task.loss(net, batch)[0].detach())
    monkeypatch.setattr(alias, name, weight)
    taught = float(task.loss(net, batch)[0].detach()) - without
    assert taught == pytest.approx(weight * parts["choice"], rel=0.05)


def test_a_small_generator_grows_by_a_level(tmp_path: Path) -> None:
    half = build("alias", 0.0625, least=4, levels=4)
    full = build("alias", 0.0625, least=4, levels=5)
    before = {k: v.clone() for k, v in full.state_dict().items()}
    torch.save({"ema": half.state_dict()}, tmp_path / "half.pt")
    start.grow(full, tmp_path / "half.pt")
    after = full.state_dict()
    assert torch.equal(after["head_0.conv_0.weight_orig"],
                       half.state_dict()["head_0.conv_0.weight_orig"])
    assert torch.equal(after["up_1.conv_0.weight_orig"], before["up_1.conv_0.weight_orig"])


def test_half_storage_halves_the_file_and_keeps_the_function() -> None:
    import onnxruntime

    weight = (rng().standard_normal((32, 16, 3, 3)) * 0.1).astype(np.float32)
    x_info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 16, 8, 8])
    y_info = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])], "g", [x_info], [y_info],
        [onnx.numpy_helper.from_array(weight, "w")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)],
                                   ir_version=9)
    plain = model.SerializeToString()
    small = store_half(model).SerializeToString()
    assert len(small) < 0.55 * len(plain)
    x = rng(1).standard_normal((1, 16, 8, 8)).astype(np.float32)
    outs = [onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"]).run(None, {"x": x})
            for m in (plain, small)]
    assert np.abs(outs[0][0] - outs[1][0]).max() < 5e-3
