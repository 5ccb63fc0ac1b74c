"""What fuw-prepare refuses before it opens a network, and what it makes."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import fuw
from fuw.engine.errors import InputError
from fuw.engine.images import save_image
from fuw.engine.prepare import PrepareJob, prepare

EXAMPLES = Path(fuw.__file__).parent / "examples"


def refused(source: Path, match: str, **options: object) -> None:
    with pytest.raises(InputError, match=match):
        prepare(PrepareJob(source, source / "out"), dict(options), log=lambda line: None)
    assert not (source / "out").exists()


def test_a_size_that_no_viton_hd_folder_has(tmp_path: Path) -> None:
    refused(tmp_path, "pictures of 1024x768.*not 512x384; leave --size away", size=(512, 384))


def test_folders_without_photos_and_names_that_meet(tmp_path: Path) -> None:
    refused(tmp_path, "no folder people or image")
    (tmp_path / "people").mkdir()
    refused(tmp_path, "holds no photo")
    for name in ("me 1.jpg", "me_1.png"):
        save_image(tmp_path / "people" / name, np.zeros((64, 64, 3), np.uint8))
    refused(tmp_path, "would both become me_1.jpg")


def test_photos_become_a_test_folder_and_a_second_run_keeps_it(tmp_path: Path) -> None:
    """Two people (one photo shows nobody), one garment: every file of the official set, a pair, and
    what failed; then nothing is done twice."""
    for kind, name in (("people", "person_1.jpg"), ("garments", "garment_1.jpg")):
        (tmp_path / kind).mkdir()
        shutil.copy(EXAMPLES / name, tmp_path / kind)
    save_image(tmp_path / "people" / "wall.jpg", np.full((400, 300, 3), 90, np.uint8))
    job, said = PrepareJob(tmp_path, tmp_path / "out"), list[str]()
    done = prepare(job, {"precision": "fp32"}, said.append)
    assert (done.written, done.kept) == (2, 0) and "wall.jpg" in done.failed[0]
    assert (tmp_path / "out" / "test_pairs.txt").read_text() == "person_1.jpg garment_1.jpg\n"
    made = {str(p.relative_to(job.out)): p.stat().st_mtime_ns
            for p in job.out.rglob("*") if p.is_file()}
    assert {Path(name).parts[0 if "test_pairs" in name else -2] for name in made} == {
        "image", "cloth", "cloth-mask", "openpose_img", "openpose_json", "image-parse-v3",
        "image-parse-agnostic-v3.2", "agnostic-v3.2", "image-densepose", "test_pairs.txt"}
    again = prepare(job, {"precision": "fp32"}, said.append)
    assert (again.written, again.kept) == (0, 2) and len(again.failed) == 1
    for name, stamp in made.items():
        if "test_pairs" not in name:
            assert (job.out / name).stat().st_mtime_ns == stamp
