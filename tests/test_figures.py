"""Rendered figures: the files, the rasteriser, and what A and B of one figure must share."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fuw.engine.errors import FuwError
from fuw.starter.figures import material, sample_io
from fuw.starter.figures.raster import Picture, library, sample, vertex_normals
from fuw.starter.figures.sample_io import Dressed, Figure, viton_to_lip

WIDTH = 96
SEED = 7


def made_up(seed: int = 3, height: int = 32, width: int = 24) -> Figure:
    """A figure that no renderer made: smooth pictures (JPEG keeps them) and random labels."""
    rng = np.random.default_rng(seed)

    def dressed() -> Dressed:
        ramp = np.linspace(40, 200, width, dtype=np.float32) + rng.uniform(-20, 20)
        picture = np.broadcast_to(ramp[None, :, None], (height, width, 3)).astype(np.uint8)
        corr = rng.uniform(0, width, (height // 4, width // 4, 2)).astype(np.float16)
        corr[0] = np.nan
        return Dressed(
            person=picture.copy(),
            garment=picture[:, ::-1].copy(),
            parse=rng.integers(0, 20, (height, width), dtype=np.uint8),
            mask=rng.choice(np.array([0, 255], np.uint8), (height, width)),
            iuv=(rng.integers(0, 12, (height, width, 3)) * 2).astype(np.uint8),
            corr=corr,
        )

    body = rng.uniform(0, 30, (25, 3)).astype(np.float32)
    hands = rng.uniform(0, 30, (2, 21, 3)).astype(np.float32)
    return Figure(seed, dressed(), dressed(), body, hands, {"renderer": 0, "arms": ["hang", "up"]})


def test_sample_io_round_trip(tmp_path: Path) -> None:
    figure = made_up()
    sample_io.write(tmp_path, figure)
    back = sample_io.read(tmp_path, figure.seed)
    for a, b in ((figure.a, back.a), (figure.b, back.b)):
        for name in ("parse", "mask", "iuv"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.corr, b.corr)  # nan where nan
        for name in ("person", "garment"):
            far = getattr(a, name).astype(int) - getattr(b, name)
            assert abs(far).max() <= 4, name
    np.testing.assert_array_equal(figure.body, back.body)
    np.testing.assert_array_equal(figure.hands, back.hands)
    assert back.meta == figure.meta
    assert back.seed == figure.seed


def test_a_figure_counts_only_when_it_is_complete(tmp_path: Path) -> None:
    for seed in (12, 5):
        sample_io.write(tmp_path, replace(made_up(), seed=seed))
    assert sample_io.seeds(tmp_path) == [5, 12]
    assert not list(tmp_path.glob(".*")), "a file was left beside its name"
    (tmp_path / "0000005_meta.json").unlink()
    assert sample_io.seeds(tmp_path) == [12]


def test_a_broken_figure_is_named(tmp_path: Path) -> None:
    figure = made_up()
    sample_io.write(tmp_path, figure)
    (tmp_path / "0000003_labels.npz").write_bytes(b"not a zip")
    with pytest.raises(FuwError, match="0000003_labels.npz"):
        sample_io.read(tmp_path, figure.seed)
    sample_io.write(tmp_path, figure)
    (tmp_path / "0000003_gb.jpg").unlink()
    with pytest.raises(FuwError, match="0000003_gb.jpg"):
        sample_io.read(tmp_path, figure.seed)


def test_viton_to_lip_gives_the_neck_to_the_face_and_the_belly_to_the_ground() -> None:
    parse = np.zeros((8, 4), np.uint8)
    parse[0], parse[1] = 13, 10  # face on neck
    parse[3], parse[4], parse[5] = 5, 10, 9  # crop top, belly, trousers
    lip = viton_to_lip(parse)
    assert (lip[:2] == 13).all()
    assert (lip[4] == 0).all()
    assert (lip[3] == 5).all() and (lip[5] == 9).all()
    assert (parse[1] == 10).all(), "the input was changed"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    if shutil.which("cc") is None:
        pytest.skip("the renderer needs a C compiler named cc")
    return library(tmp_path_factory.mktemp("compiled"))


def test_the_nearer_triangle_is_seen_and_fields_cut(lib) -> None:  # type: ignore[no-untyped-def]
    tri = np.array([[0, 1, 2]])
    pic = Picture(lib, 8, 8)
    pic.draw("far", tri, np.array([[0, 0, 5.0], [16, 0, 5], [0, 16, 5]]))
    clip = np.array([[3.5], [3.5 - 16], [3.5]])  # >= 0 left of x = 3.5
    pic.draw("near", tri, np.array([[0, 0, 1.0], [16, 0, 1], [0, 16, 1]]), clip)
    pic.finish()
    seen = np.full(64, 9)
    seen[pic.where] = pic.mesh
    expected = np.zeros((8, 8), int)
    expected[:, :4] = 1  # pixel centres 0.5 .. 3.5
    np.testing.assert_array_equal(seen.reshape(8, 8), expected)
    x = pic.at(np.array([[0.0], [16], [0]] * 2))[:, 0]
    np.testing.assert_allclose(x, pic.where % 8 + 0.5, atol=1e-4)


def test_sample_is_bilinear_and_mirrors(lib) -> None:  # type: ignore[no-untyped-def]
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    xy = np.array([[1.5, 0.5], [-1.0, 0.0], [4.0, 2.0], [0.0, 3.0]], np.float32)
    np.testing.assert_allclose(sample(lib, image, xy), [3.5, 0, 11, 8], atol=1e-5)


def test_vertex_normals_of_a_square(lib) -> None:  # type: ignore[no-untyped-def]
    v = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    n = vertex_normals(lib, v, np.array([[0, 1, 2], [0, 2, 3]]))
    np.testing.assert_allclose(n, np.tile([0, 0, 1], (4, 1)), atol=1e-6)


@pytest.fixture(scope="module")
def studio(lib):  # type: ignore[no-untyped-def]
    from fuw.starter.figures.studio import Studio

    try:
        found = material.find()
    except FuwError as e:
        pytest.skip(f"no CC0 material to render from: {e}")
    return Studio(found, photos=False)


@pytest.fixture(scope="module")
def figure(studio) -> Figure:  # type: ignore[no-untyped-def]
    from fuw.starter.figures.figure import make_figure

    return make_figure(studio, SEED, WIDTH, photos=0)


def test_missing_material_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FuwError, match="fuw.starter.fetch"):
        material.find(tmp_path)


def test_the_same_seed_gives_the_same_bytes(studio, figure: Figure, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from fuw.starter.figures.figure import make_figure

    make_figure(studio, SEED + 1, WIDTH, photos=0)  # what was rendered before must not matter
    again = make_figure(studio, SEED, WIDTH, photos=0)
    for name, f in (("one", figure), ("two", again)):
        sample_io.write(tmp_path / name, f)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_and_b_differ_in_nothing_but_the_garment(studio, figure: Figure) -> None:  # type: ignore[no-untyped-def]
    from fuw.starter.figures.figure import make_figure

    for f in (figure, make_figure(studio, SEED + 2, WIDTH, photos=0)):
        np.testing.assert_array_equal(f.a.iuv, f.b.iuv)
        ground = ((f.a.parse == 0) & (f.b.parse == 0)).astype(np.uint8)
        ground = cv2.erode(ground, np.ones((9, 9)), borderValue=1) > 0  # the camera blurs
        assert ground.sum() > 100
        np.testing.assert_array_equal(f.a.person[ground], f.b.person[ground])
        assert (f.a.person != f.b.person).any()
        assert (f.a.garment != f.b.garment).any()


def test_labels_are_in_range_and_agree(figure: Figure) -> None:
    from fuw.starter.figures.sample_io import CORR_STEP

    height = WIDTH * 4 // 3
    for d in (figure.a, figure.b):
        assert d.person.shape == d.garment.shape == (height, WIDTH, 3)
        assert d.parse.shape == d.mask.shape == (height, WIDTH)
        assert d.parse.max() < 20 and d.iuv[..., 0].max() <= 24
        assert set(np.unique(d.mask)) == {0, 255}
        assert np.isin(d.parse, (5, 6, 7)).sum() > 50, "nobody wears the garment"
        ok = np.isfinite(d.corr[..., 0])
        assert ok.sum() > 5
        assert (d.mask[::CORR_STEP, ::CORR_STEP][ok] > 0).all(), "a product pixel off the product"
        x, y = d.corr[ok].astype(int).T
        assert np.isin(d.parse[y, x], (5, 6, 7)).mean() > 0.95, "worn pixels off the garment"
    assert figure.body.shape == (25, 3) and figure.hands.shape == (2, 21, 3)
    inside = figure.body[figure.body[:, 2] > 0]
    assert ((inside[:, 0] >= 0) & (inside[:, 0] < WIDTH) & (inside[:, 1] < height)).all()
    x, y = inside[:, :2].astype(int).T
    assert (figure.a.iuv[y, x, 0] > 0).mean() > 0.7, "key points off the body"


def test_left_is_left(studio, figure: Figure) -> None:  # type: ignore[no-untyped-def]
    """The person's left arm (14, key points 5 to 7) is on the picture's right."""
    assert figure.body[5, 0] > figure.body[2, 0]
    left, right = (np.isin(figure.a.iuv[..., 0], parts) for parts in ((15, 17), (16, 18)))
    assert np.nonzero(left)[1].mean() > np.nonzero(right)[1].mean()
