"""What fuw-prepare refuses before it opens a network."""

from pathlib import Path

import numpy as np
import pytest

from fuw.engine.errors import InputError
from fuw.engine.images import save_image
from fuw.engine.prepare import PrepareJob, prepare


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
