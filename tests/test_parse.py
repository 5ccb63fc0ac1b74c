"""SCHP's crop and labels against the official ones, the groups, and the bridge from LIP ids."""

import hashlib
import importlib.util

import numpy as np
import pytest
from golden_files import golden
from made_up import standing

from fuw.kernels.cpu.fit import schp_affine, schp_crop, schp_input
from fuw.kernels.cpu.parse import group7, group13, lip_rules, lip_to_viton, one_hot, schp_labels
from fuw.kernels.cpu.taps import argmax_labels, linear_taps

SIZES = ("1024x768", "320x211", "1333x2000")


def _load(size: str) -> tuple[dict[str, np.ndarray], object]:
    """The weight-free goldens, and the frozen input maker beside them."""
    path = golden("segmentation/prepost_seed0.npz")
    arrays = np.load(path)
    if f"schp_post.{size}.labels" not in arrays.files:
        pytest.skip(f"{size} is only in the full set of goldens, too large to ship")
    spec = importlib.util.spec_from_file_location("seg_inputs", path.with_name("seg_inputs.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return arrays, module


@pytest.mark.parametrize("size", SIZES)
def test_schp_crop(size: str) -> None:
    arrays, made = _load(size)
    height, width = map(int, size.split("x"))
    photo = made.synth_image(height, width, 0)
    for inverse, name in ((False, "affine"), (True, "affine_inv")):
        np.testing.assert_allclose(schp_affine(height, width, inverse=inverse),
                                   arrays[f"schp_pre.{size}.{name}"], rtol=0, atol=1e-12)
    crop = np.ascontiguousarray(schp_crop(photo)[:, :, ::-1])
    np.testing.assert_array_equal(crop[::3, ::3], arrays[f"schp_pre.{size}.crop473_bgr_u8"])
    assert hashlib.sha256(crop.tobytes()).hexdigest() == str(
        arrays[f"schp_pre.{size}.crop473_sha256_cv4"])
    x = schp_input(photo)
    assert x.shape == (1, 3, 473, 473) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, :, ::11, ::11], arrays[f"schp_pre.{size}.input.s11"], atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_schp_labels(size: str) -> None:
    arrays, made = _load(size)
    height, width = map(int, size.split("x"))
    labels = schp_labels(made.smooth_logits(20, 119, 119, 0)[None], height, width)
    unequal = int((labels != arrays[f"schp_post.{size}.labels"]).sum())
    assert unequal <= int(arrays[f"schp_post.{size}.n_margin_below_0.05"]) * 1e-3


def test_first_of_equal_classes_wins() -> None:
    planes = np.ones((5, 9, 7), np.float32)
    planes[2, 4:] = 2
    planes[4, 4:] = 2
    labels = argmax_labels(planes, linear_taps(150, 9), linear_taps(131, 7))
    assert labels.shape == (150, 131)
    assert set(np.unique(labels)) == {0, 2}
    assert labels[0, 0] == 0 and labels[-1, -1] == 2


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (119, 57)])
def test_taps_equal_the_plain_sum(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((4, *shape)).astype(np.float32)
    rows, columns = linear_taps(97, shape[0]), linear_taps(201, shape[1], align_corners=True)
    plain = np.einsum("Yy,cyx,Xx->cYX", rows, planes, columns, optimize=True)
    sure = np.diff(np.sort(plain, 0)[-2:], axis=0)[0] > 1e-5
    np.testing.assert_array_equal(argmax_labels(planes, rows, columns)[sure], plain.argmax(0)[sure])


def test_groups() -> None:
    ids = np.arange(20, dtype=np.uint8)[None]
    assert group13(ids)[0].tolist() == [
        0, 1, 1, 12, 2, 3, 3, 3, 11, 4, 0, 12, 4, 2, 5, 6, 7, 8, 9, 10]
    assert group7(np.arange(13, dtype=np.uint8)[None])[0].tolist() == [
        0, 3, 1, 2, 1, 4, 5, 1, 1, 1, 1, 1, 6]
    hot = one_hot(group13(ids), 13)
    assert hot.shape == (1, 13, 1, 20) and hot.dtype == np.float32
    np.testing.assert_array_equal(hot.argmax(1)[0], group13(ids))
    np.testing.assert_array_equal(hot.sum(1), 1)


def _face_and_neck() -> tuple[np.ndarray, np.ndarray]:
    """A face and the skin below it down to the collar, all labelled 13 as LIP's parsers do."""
    parse = np.zeros((1024, 768), np.uint8)
    parse[80:280, 330:440] = 13
    parse[280:600, 250:520] = 5
    return parse, standing()


def test_neck_below_the_jaw() -> None:
    parse, body = _face_and_neck()
    result = lip_to_viton(parse, body)
    nose, neck = body[0].astype(int), body[1].astype(int)
    assert result[nose[1], nose[0]] == 13
    assert result[neck[1] - 20, neck[0]] == 10
    assert result[nose[1] + 30, nose[0]] == 13
    assert 0.2 < (result == 10).sum() / (parse == 13).sum() < 0.8
    changed = result != parse
    assert set(np.unique(parse[changed])) == {13} and set(np.unique(result[changed])) == {10}


def test_without_nose_or_neck_the_face_stays() -> None:
    parse, body = _face_and_neck()
    body[0] = 0
    np.testing.assert_array_equal(lip_to_viton(parse, body), parse)


def test_jumpsuit_is_cut_at_the_hips() -> None:
    body = standing()
    body[12, 1] += 40  # slanting hips
    parse = np.zeros((1024, 768), np.uint8)
    parse[300:900, 250:520] = 10
    result = lip_to_viton(parse, body)
    assert not (result == 10).any()
    for x in (300, 384, 470):
        column = result[300:900, x]
        cut = 300 + int((column == 5).sum())
        slope = (body[12, 1] - body[9, 1]) / (body[12, 0] - body[9, 0])
        assert abs(cut - (body[9, 1] + (x - body[9, 0]) * slope)) <= 1
        assert (np.diff(column.astype(int)) >= 0).all()
    body[[9, 12]] = 0
    assert set(np.unique(lip_to_viton(parse, body))) == {0, 5, 9}
    body[:] = 0
    assert set(np.unique(lip_to_viton(parse, body))) == {0, 5}


def test_densepose_finds_bare_torso() -> None:
    parse, body = _face_and_neck()
    parse[280:330, 300:460] = 0  # a deep neckline that the parser called background
    iuv = np.zeros((1024, 768, 3), np.uint8)
    iuv[280:600, 260:500, 0] = 2
    result = lip_to_viton(parse, body, iuv)
    assert (result[285:330, 300:460] == 10).all()
    assert (result[340:600, 250:520] == 5).all()


def test_only_the_torso_of_densepose_becomes_neck() -> None:
    parse, iuv = np.zeros((1024, 768), np.uint8), np.zeros((1024, 768, 3), np.uint8)
    for row, part in enumerate((1, 2, 3, 15)):
        iuv[400 + 20 * row : 420 + 20 * row, 300:400, 0] = part
    result = lip_to_viton(parse, standing(), iuv)
    assert [int(result[410 + 20 * row, 350]) for row in range(4)] == [10, 10, 0, 0]
    assert (result == 10).sum() == 2 * 20 * 100


def test_ears_far_apart_make_a_broad_jaw() -> None:
    """A face's breadth is half the distance of both ears, where that is more than its length
    says."""
    body = standing()
    narrow = lip_rules(body, 1024).across
    body[[17, 18], 0] = body[0, 0] - 3 * narrow, body[0, 0] + 3 * narrow
    body[[17, 18], 1] = body[0, 1]
    assert lip_rules(body, 1024).across == pytest.approx(3 * narrow, rel=1e-4)
