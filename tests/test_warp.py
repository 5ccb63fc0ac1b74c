"""The thin-plate warp against the official grid and pictures."""

import numpy as np
import pytest
from golden_files import compare, golden
from made_up import read_png
from PIL import Image

from fuw.kernels.cpu import warp

PAIRS = ("00891_00__01430_00", "08909_00__02783_00")
VARIANTS = ("pred", "real")


def _unit() -> dict[str, np.ndarray]:
    arrays = np.load(golden("viton_hd_nets.npz"))
    return {k.rsplit("/", 1)[1]: arrays[k] for k in arrays.files if k.startswith("unit/tps/")}


def test_grid_at_64x48() -> None:
    unit = _unit()
    for theta, grid in zip(unit["theta"], unit["grid"], strict=True):
        assert compare.rel_l2(warp.tps_grid(theta[None], 64, 48), grid) < 1e-4
    zero = warp.tps_grid(np.zeros((1, 50), np.float32), 64, 48)
    assert compare.rel_l2(zero, unit["grid_theta0"][0]) < 1e-4
    np.testing.assert_allclose(zero[0, 0], (-0.9, -0.9), atol=1e-4)


def test_kept_inverse_is_one() -> None:
    """The constant against the system it inverts, within what float32 leaves of it."""
    exact = np.linalg.inv(warp.tps_system())
    np.testing.assert_allclose(warp.tps_inverse(), exact, rtol=0, atol=1.2e-5)
    official = np.load(golden("viton_hd_nets.npz"))["gmm/Li"][0]
    np.testing.assert_array_equal(warp.tps_inverse(), official)


def test_sampling_at_64x48() -> None:
    """`_sample` on the official grid; the unit's picture is float, so it goes through as bytes."""
    unit = _unit()
    for picture, theta, official in zip(unit["image"], unit["theta"], unit["warp_border"],
                                        strict=True):
        low, high = float(picture.min()), float(picture.max())
        scale = (high - low) / 255
        levels = np.rint((picture - low) / scale).astype(np.uint8).transpose(1, 2, 0)
        cloth, mask = warp.warp_garment(levels, np.ones((64, 48), bool), theta[None], 64, 48)
        ours = (cloth[0] + 1) * 127.5 * scale + low
        assert np.abs(ours - official).max() < scale / 2 + 1e-3
        np.testing.assert_allclose(mask, 1, atol=1e-6)


def _plain(cloth: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """grid_sample in float64, border padding, align_corners False: (h, w, c) -> (H, W, c)."""
    h, w = cloth.shape[:2]
    x = np.clip(((grid[..., 0] + 1) * w - 1) / 2, 0, w - 1)
    y = np.clip(((grid[..., 1] + 1) * h - 1) / 2, 0, h - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, w - 1), np.minimum(y0 + 1, h - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    return ((cloth[y0, x0] * (1 - fx) + cloth[y0, x1] * fx) * (1 - fy)
            + (cloth[y1, x0] * (1 - fx) + cloth[y1, x1] * fx) * fy)


@pytest.mark.parametrize("size", [(2, 3), (3, 2), (33, 17), (64, 48), (65, 131)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    cloth = rng.integers(0, 256, (21, 30, 3), dtype=np.uint8)
    mask = rng.random((21, 30)) < 0.5
    theta = rng.normal(0, 0.3, (1, 50)).astype(np.float32)  # folds, and leaves the picture
    cloth_warped, mask_warped = warp.warp_garment(cloth, mask, theta, *size)
    plain = _plain(np.dstack([cloth / 127.5 - 1, mask]), _plain_grid(theta, *size))
    np.testing.assert_allclose(cloth_warped[0].transpose(1, 2, 0), plain[..., :3], atol=2e-3)
    np.testing.assert_allclose(mask_warped[0, 0], plain[..., 3], atol=1e-3)


def _plain_grid(theta: np.ndarray, height: int, width: int) -> np.ndarray:
    """The spline straight from its definition, in float64."""
    px, py = warp.control_points()
    n = len(px)
    target = np.zeros((n + 3, 2))
    target[:n] = np.stack([px, py], 1) + theta.reshape(2, n).T
    solved = np.linalg.solve(warp.tps_system(), target)
    y, x = np.meshgrid(np.linspace(-.9, .9, height), np.linspace(-.9, .9, width), indexing="ij")
    u = warp.radial((x[..., None] - px) ** 2 + (y[..., None] - py) ** 2)
    return u @ solved[:n] + solved[n] + x[..., None] * solved[n + 1] + y[..., None] * solved[n + 2]


@pytest.mark.golden
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("pair", PAIRS)
def test_official_matching(pair: str, variant: str) -> None:
    stage, person = golden(f"pipeline/{pair}"), golden(f"preprocess/{pair.split('__')[0]}")
    arrays = np.load(stage / "arrays.npz")
    cloth = np.asarray(Image.open(stage / "cloth.jpg").convert("RGB"))
    mask = np.asarray(Image.open(stage / "cloth-mask.jpg").convert("L")) >= 128
    skeleton = np.asarray(Image.open(person / "openpose-img.png").convert("RGB"))
    agnostic = read_png(person / "img-agnostic.png")
    a, b = warp.gmm_input(read_png(stage / f"{variant}-parse-7.png"), skeleton, agnostic, cloth)
    assert b.shape == (1, 3, 256, 192)
    np.testing.assert_allclose(a[:, :, ::4, ::4], arrays[f"{variant}/gmm_in_A_s4"], atol=1e-6)
    theta = arrays[f"{variant}/theta"]
    grid = warp.tps_grid(theta, 1024, 768)[None]
    assert compare.rel_l2(compare.strided(grid, "grid_s8"), arrays[f"{variant}/grid_s8"]) < 1e-4
    W_c, W_m = warp.warp_garment(cloth, mask, theta, 1024, 768)
    for ours, name in ((W_c, "warped_cloth"), (W_m, "warped_mask")):
        assert compare.rel_l2(ours[:, :, ::8, ::8], arrays[f"{variant}/{name}_s8"]) < 2e-4
