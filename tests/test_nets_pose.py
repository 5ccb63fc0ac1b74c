"""OpenPose and DensePose in Torch against the official networks' outputs (golden/pose)."""

from functools import cache

import numpy as np
import pytest
import torch
from golden_files import golden, inputs, pose_tool

from fuw.export.nets.densepose import LEVELS, DensePose, roi_pool
from fuw.export.nets.openpose import OpenPoseBody, OpenPoseHand
from fuw.kernels.cpu.iuv import box_pixels, sample_iuv

MEAN = np.array([103.53, 116.28, 123.675], np.float32)[:, None, None]


@cache
def archive(name):
    with np.load(golden(f"pose/{name}.npz")) as z:
        return {key: z[key] for key in z.files}


def tensors(arrays):
    return {key: torch.from_numpy(value) for key, value in arrays.items()}


@cache
def openpose(net):
    model = {"body25": OpenPoseBody, "hand": OpenPoseHand}[net]()
    model.load_state_dict(tensors(pose_tool("caffemodel").weights(net, 0)), strict=True)
    return model.eval()


@cache
def densepose():
    model = DensePose()
    model.load_state_dict(tensors(pose_tool("densepose_pkl").weights(0)), strict=True)
    return model.eval()


def worst(actual, z, key):
    """Largest difference to the stored, strided tensor."""
    assert tuple(actual.shape) == tuple(z[f"{key}/shape"])
    stride = z[f"{key}/stride"]
    if len(stride) == 2:
        stride = (1, stride[0], stride[1], stride[1])
    cut = tuple(slice(None, None, int(s)) for s in stride[: actual.ndim])
    return float(np.abs(actual.numpy()[cut] - z[f"{key}/strided"]).max())


@pytest.mark.parametrize("net, size, bound", [
    ("body25", (184, 144), 3e-4), ("body25", (368, 272), 3e-4),
    ("hand", (128, 96), 5e-5), ("hand", (368, 368), 5e-5),
])  # fmt: skip
@torch.inference_mode()
def test_openpose_golden(net, size, bound):
    z = archive("openpose")
    case = f"{net}_{size[0]}x{size[1]}_s0"
    x = torch.from_numpy(0.5 * inputs.image(f"pose/{net}/{size[0]}x{size[1]}", (1, 3, *size), 0))
    model = openpose(net)
    assert worst(model(x), z, f"{case}/net_output") <= bound
    stages = model.stage_outputs(x)
    if net == "body25":
        assert worst(stages[0][0], z, f"{case}/Mconv7_stage0_L2") <= bound
        assert worst(stages[0][3], z, f"{case}/Mconv7_stage3_L2") <= bound
        assert worst(stages[1][0], z, f"{case}/Mconv7_stage0_L1") <= bound
    else:
        assert worst(stages[0], z, f"{case}/conv6_2_CPM") <= bound
        assert worst(stages[4], z, f"{case}/Mconv7_stage5") <= bound


def prepared(height, width):
    """The golden picture, normalised first and padded afterwards."""
    raw = inputs.image(f"densepose/{height}x{width}", (3, height, width), 0)
    picture = np.clip(np.rint(127.5 * raw + 127.5), 0, 255).astype(np.float32)
    x = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    x[0, :, :height, :width] = picture - MEAN
    return torch.from_numpy(x)


@pytest.mark.parametrize("case, size", [
    ("small", (200, 180)), pytest.param("official", (1067, 800), marks=pytest.mark.slow),
])  # fmt: skip
@torch.inference_mode()
def test_densepose_golden(case, size):
    z = archive("densepose")
    model, x = densepose(), prepared(*size)
    pyramid = model.backbone(x)
    for level, features in zip(LEVELS, pyramid, strict=True):
        assert worst(features, z, f"{case}/p{level}") <= 1e-5 * abs(z[f"{case}/p{level}/stats"][3])
    decoded = model.roi_heads.decoder(pyramid)
    assert worst(decoded, z, f"{case}/decoder") <= 1e-5 * z[f"{case}/decoder/stats"][3]
    for i, box in enumerate(z[f"{case}/dp_boxes"]):
        maps = model.forward(x, torch.from_numpy(box[None]))
        for name, actual in zip(("coarse", "fine", "u", "v"), maps, strict=True):
            key = f"{case}/dp_{name}_112"
            c, s = z[f"{key}/stride"]
            difference = np.abs(actual.numpy()[0, ::c, ::s, ::s] - z[f"{key}/strided"][i]).max()
            assert difference <= 2e-5 * np.abs(z[f"{key}/stats"][2:4]).max(), name
        _, _, width, height = box_pixels(box)
        labels, _ = sample_iuv(*(m.numpy() for m in maps), height, width)
        step = 1 if case == "small" else 4
        assert (labels[::step, ::step] != z[f"{case}/dp_labels_{i}"]).mean() <= 0.001


@torch.inference_mode()
def test_densepose_detector_weights_are_the_official_ones():
    z = archive("densepose")
    model = densepose()
    pyramid = model.backbone(prepared(200, 180))
    for level, features in zip(LEVELS, pyramid, strict=True):
        logits, deltas = model.proposal_generator.rpn_head(features)
        for name, actual in (("logits", logits), ("deltas", deltas)):
            key = f"small/rpn_{name}_p{level}"
            assert worst(actual, z, key) <= 1e-5 * np.abs(z[f"{key}/stats"][2:4]).max()
    box = torch.from_numpy(z["small/roi_boxes"][2:3])  # inside the picture, on p2
    pooled = roi_pool(pyramid[0], box, 4, 7)
    heads = model.roi_heads
    scores, deltas = heads.box_predictor(heads.box_head(pooled))
    for name, actual in (("cls_score", scores), ("bbox_pred", deltas)):
        stored = z[f"small/{name}/strided"]
        assert np.abs(actual.numpy()[0] - stored[2]).max() <= 2e-5 * np.abs(stored).max()


@pytest.mark.parametrize("model, args, shapes", [
    (OpenPoseBody(0.125, stages=(2, 1), blocks=2), [(2, 3, 64, 48)], [(2, 78, 8, 6)]),
    (OpenPoseHand(0.125, stages=2), [(2, 3, 64, 64)], [(2, 22, 8, 8)]),
    (DensePose(0.125, blocks=(1, 1, 1, 1), head_layers=2, detector=False),
     [(2, 3, 64, 96), (2, 4)], [(2, c, 112, 112) for c in (2, 25, 25, 25)]),
])  # fmt: skip
def test_narrow_network_trains(model, args, shapes):
    torch.manual_seed(0)
    model.train()
    values = [torch.rand(shape) for shape in args]
    if len(values) == 2:
        values[1] = torch.tensor([[3.0, 4.0, 80.0, 60.0], [0.0, 0.0, 96.0, 64.0]])
    outputs = model(*values)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [tuple(o.shape) for o in outputs] == shapes
    sum(o.square().mean() for o in outputs).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_narrow_network_refuses_official_weights():
    with pytest.raises(RuntimeError, match="size mismatch"):
        OpenPoseHand(0.5).load_state_dict(openpose("hand").state_dict())
