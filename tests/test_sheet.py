"""The contact sheet and the colours it shows."""

import numpy as np
import pytest
import shapes
from golden_files import golden
from PIL import Image

from fuw.engine import palettes
from fuw.engine.errors import OutputError
from fuw.engine.images import load_parse
from fuw.engine.sheet import INK, PAPER, sheet


def test_every_cell_is_there_in_order():
    cells = [(f"stage {i}", np.full((400, 300, 3), 10 * i, np.uint8)) for i in range(7)]
    page = sheet(cells, columns=4, width=120)
    assert page.dtype == np.uint8 and page.shape[1] == 6 + 4 * 126
    assert page.shape[0] == 6 + 2 * (16 + 160 + 6)
    for i in range(7):
        y, x = 6 + i // 4 * 182 + 16 + 80, 6 + i % 4 * 126 + 60
        assert (page[y, x] == 10 * i).all()
    assert (page[-20, -20] == PAPER).all()


def test_labels_are_written_and_cut_where_they_do_not_fit():
    blank = np.full((60, 100, 3), 255, np.uint8)
    short, long = (sheet([(label, blank)], width=100) for label in ("M_c", "M" * 60))
    dark = [np.flatnonzero((p[:22] < 120).all(2).any(0)) for p in (short, long)]
    assert 0 < len(dark[0]) < len(dark[1]) and dark[1].max() <= 106
    assert (short[:22].reshape(-1, 3) == INK).all(1).any()


def test_masks_small_pictures_and_mixed_shapes():
    page = sheet([("mask", np.full((50, 30), 200, np.uint8)),
                  ("wide", np.zeros((20, 500, 3), np.uint8))], columns=9, width=64)
    assert (page[30, 6 + 32] == 200).all() and page.shape[1] == 6 + 2 * 70
    with pytest.raises(ValueError, match="at least one"):
        sheet([])


@pytest.mark.golden
def test_palette_is_the_official_one(tmp_path):
    official = Image.open(golden("preprocess/00891_00/image-parse.png"))
    assert official.getpalette()[:60] == [v for c in palettes.LABELS for v in c]
    again = palettes.save_labels(tmp_path / "p.png", np.asarray(official))
    assert Image.open(again).mode == "P"
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(official))
    assert np.array_equal(palettes.colour_labels(np.asarray(official)),
                          np.asarray(official.convert("RGB")))


def test_densepose_colours_are_the_official_ones():
    import json
    facts = json.loads(golden("pose/densepose.json").read_text())["dp_segm_picture"]
    official = [tuple(bgr[::-1]) for bgr in facts["colour_bgr_by_label"]]
    assert palettes.DENSEPOSE[1:] == tuple(official[1:]) and palettes.DENSEPOSE[0] == (0, 0, 0)


def test_labels_make_the_round_trip(tmp_path):
    labels = (np.arange(100 * 70).reshape(100, 70) // 350).astype(np.uint8)
    assert np.array_equal(load_parse(palettes.save_labels(tmp_path / "a.png", labels)), labels)
    with pytest.raises(OutputError):
        palettes.save_labels(tmp_path / "a.png" / "b.png", labels)


def test_densepose_survives_a_jpeg(tmp_path):
    iuv = shapes.iuv(shapes.parse(shapes.body()))
    Image.fromarray(palettes.colour_iuv(iuv)).save(tmp_path / "a.jpg", quality=95)
    back = palettes.iuv_from_colours(np.asarray(Image.open(tmp_path / "a.jpg")))
    assert (back[..., 0] == iuv[..., 0]).mean() > 0.985 and back[..., 1:].max() == 0
    clean = palettes.iuv_from_colours(palettes.colour(np.arange(25, dtype=np.uint8)[None],
                                                      palettes.DENSEPOSE))
    assert np.array_equal(clean[0, :, 0], np.arange(25))


def test_groups_have_a_colour_each():
    assert len(set(palettes.LABELS)) == 20 and len(set(palettes.GROUPS_13)) == 13
    assert palettes.colour_groups(np.array([[3]], np.uint8)).tolist() == [[[254, 85, 0]]]
    assert palettes.grey(np.array([[7]], np.uint8)).tolist() == [[[7, 7, 7]]]
