"""VITON-HD folders: the official spellings are read, the set's formats are written, resumably."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapes
from PIL import Image

from fuw.engine import dataset
from fuw.engine.errors import InputError, OutputError
from fuw.engine.framing import whole_frame
from fuw.engine.images import save_image
from fuw.engine.palettes import LABELS
from fuw.engine.records import Garment, Person
from fuw.kernels.cpu import image_agnostic

SIZE = (1024, 768)


def person(iuv: bool = True) -> Person:
    body = shapes.body()
    parse = shapes.parse(body)
    photo = np.repeat((parse * 12)[..., None], 3, axis=2)
    rng = np.random.default_rng(0)
    return Person(image=photo, body=body, hands=rng.uniform(1, 700, (2, 21, 3)).astype("f4"),
                  skeleton=np.roll(photo, 5, 1), parse=parse,
                  iuv=shapes.iuv(parse) if iuv else None,
                  parse_agnostic=np.where(parse == 5, 0, parse).astype("u1"),
                  groups_agnostic=parse, agnostic=np.where(photo == 60, 128, photo).astype("u1"),
                  photo=photo, frame=whole_frame(photo))


def garment() -> Garment:
    mask = shapes.garment("tshirt", 660)
    return Garment(np.full((*SIZE, 3), 246, "u1"), mask, mask)


@pytest.fixture
def folder(tmp_path) -> dataset.VitonFolder:
    made = dataset.VitonFolder.create(tmp_path / "data")
    made.write_person("00001_00.jpg", person())
    made.write_garment("00002_00.jpg", garment())
    return made


def test_names_and_formats_are_the_official_ones(folder):
    files = sorted(str(p.relative_to(folder.root)) for p in folder.root.rglob("*") if p.is_file())
    assert files == [
        "agnostic-v3.2/00001_00.jpg", "cloth-mask/00002_00.jpg", "cloth/00002_00.jpg",
        "image-densepose/00001_00.jpg", "image-parse-agnostic-v3.2/00001_00.png",
        "image-parse-v3/00001_00.png", "image/00001_00.jpg",
        "openpose_img/00001_00_rendered.png", "openpose_json/00001_00_keypoints.json"]
    for path in files:
        if not path.endswith("json"):
            assert Image.open(folder.root / path).size == (768, 1024)
    parse = Image.open(folder.root / "image-parse-v3/00001_00.png")
    assert parse.mode == "P" and parse.getpalette()[:60] == [v for c in LABELS for v in c]
    assert Image.open(folder.root / "cloth-mask/00002_00.jpg").mode == "L"


def test_what_was_written_is_read_back(folder):
    made, given = person(), folder.given("00001_00.jpg")
    assert np.abs(given.body - made.body).max() < 5e-3  # six digits, as OpenPose writes
    assert np.abs(given.hands - made.hands).max() < 5e-3
    assert np.array_equal(given.parse, made.parse) and given.labels == "viton"
    assert np.array_equal(given.skeleton, made.skeleton)
    assert (given.iuv[..., 0] == made.iuv[..., 0]).mean() > 0.985
    mask = folder.cloth_mask("00002_00.jpg")
    assert ((mask >= 128) == (garment().mask >= 128)).mean() > 0.999


def test_a_folder_with_pictures_only(tmp_path):
    save_image(tmp_path / "test/image/a.jpg", np.zeros((*SIZE, 3), "u1"))
    save_image(tmp_path / "test/cloth/b.png", np.zeros((*SIZE, 3), "u1"))
    (tmp_path / "test_pairs.txt").write_text("a.jpg b.png\n")
    folder = dataset.VitonFolder(tmp_path)
    assert folder.root == tmp_path / "test" and folder.pairs_path() == tmp_path / "test_pairs.txt"
    assert vars(folder.given("a.jpg")) == vars(dataset.Given())
    assert folder.cloth_mask("b.png") is None and folder.cloth("b.png").suffix == ".png"
    assert folder.present("a.jpg") == {"image": tmp_path / "test/image/a.jpg"}


def test_the_spellings_of_the_official_code_are_read(folder):
    for new, old in (("openpose_img", "openpose-img"), ("openpose_json", "openpose-json"),
                     ("image-parse-v3", "image-parse"), ("agnostic-v3.2", "agnostic"),
                     ("image-parse-agnostic-v3.2", "image-parse-agnostic")):
        (folder.root / new).rename(folder.root / old)
    given = dataset.VitonFolder(folder.root).given("00001_00.jpg")
    assert given.body is not None and given.parse is not None and given.skeleton is not None
    assert folder.has_person("00001_00.jpg")


def test_resuming(folder):
    assert folder.has_person("00001_00.jpg") and folder.has_garment("00002_00.jpg")
    assert not folder.has_person("other.jpg") and not folder.has_garment("00001_00.jpg")
    folder.path("densepose", "00001_00.jpg").unlink()
    assert not folder.has_person("00001_00.jpg")
    assert folder.has_person("00001_00.jpg", densepose=False)
    folder.write_person("00003_00.jpg", person(iuv=False))
    assert folder.has_person("00003_00.jpg", densepose=False)
    left = folder.root / "image" / ".x.jpg.1.999999999.part"
    left.touch()
    dataset.VitonFolder.create(folder.root)
    assert not left.exists() and folder.has_garment("00002_00.jpg")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "data").touch()  # a file where the folder must be
    with pytest.raises(OutputError, match="cannot be made a folder.*-o"):
        dataset.VitonFolder.create(tmp_path / "data")


def test_a_writer_that_fails_leaves_no_picture(tmp_path, monkeypatch):
    folder = dataset.VitonFolder.create(tmp_path)
    (tmp_path / "agnostic-v3.2").rmdir()
    (tmp_path / "agnostic-v3.2").touch()  # a file where a folder must be
    with pytest.raises(OutputError):
        folder.write_person("a.jpg", person())
    assert not (tmp_path / "image/a.jpg").exists() and not folder.has_person("a.jpg")
    assert not list(tmp_path.rglob("*.part"))


def test_folders_and_pictures_that_are_not_there(tmp_path, folder):
    with pytest.raises(InputError, match="is not a folder"):
        dataset.VitonFolder(tmp_path / "no")
    with pytest.raises(InputError, match="neither image/ nor test/image/"):
        dataset.VitonFolder(tmp_path)
    with pytest.raises(InputError, match="no such person; the pairs file names x.jpg"):
        folder.image("x.jpg")
    with pytest.raises(InputError, match="no such garment"):
        folder.cloth("x.jpg")


def test_preprocessing_files_of_another_size_are_told(folder):
    save_image(folder.root / "image/00001_00.jpg", np.zeros((512, 384, 3), "u1"))
    with pytest.raises(InputError, match="is 384x512, but preprocessing files belong to 768x1024"):
        folder.given("00001_00.jpg")
    folder.write_person("00001_00.jpg", person())
    save_image(folder.path("skeleton", "00001_00.jpg"), np.zeros((512, 384, 3), "u1"))
    with pytest.raises(InputError, match="_rendered.png: is 384x512 but its photo is 768x1024"):
        folder.given("00001_00.jpg")
    save_image(folder.path("cloth-mask", "00002_00.jpg"), np.full((512, 384), 255, "u1"))
    with pytest.raises(InputError, match="is 384x512 but its photo is 768x1024"):
        folder.cloth_mask("00002_00.jpg")


def test_pairs_make_the_round_trip(tmp_path):
    pairs = [("00001_00.jpg", "00002_00.jpg"), ("a.png", "b.webp")]
    path = dataset.write_pairs(tmp_path / "test_pairs.txt", pairs)
    assert path.read_text() == "00001_00.jpg 00002_00.jpg\na.png b.webp\n"
    assert dataset.read_pairs(path) == pairs
    path.write_bytes(b"\xef\xbb\xbf\r\n  a.jpg\tb.jpg  \r\n\r\n")
    assert dataset.read_pairs(path) == [("a.jpg", "b.jpg")]


@pytest.mark.parametrize("text,match", [
    ("a.jpg b.jpg\na.jpg\n", "line 2: has 1 words"),
    ("a.jpg b.jpg c.jpg\n", "line 1: has 3 words"),
    ("a.jpg ../b.jpg\n", r"line 1: '../b.jpg' is not"),
    ("a.jpg .b.jpg\n", "line 1: '.b.jpg' is not"),
    ("\n\na.jpg b.txt\n", "line 3: 'b.txt' is not"),
    ("\n \n", "names no pair"),
    ("a.jpg " + "[" * 3000 + ".jpg", r"line 1: '\[{80}' is not"),  # found by fuzzing
    ("a.jpg b\x1b[2J.jpg", "line 1: .* is not"),
])
def test_bad_pairs_say_where(tmp_path, text, match):
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(InputError, match=match):
        dataset.read_pairs(tmp_path / "p.txt")


def test_pairs_that_are_no_text_and_names_that_cannot_be_written(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="is not a text file"):
        dataset.read_pairs(tmp_path / "p.txt")
    with pytest.raises(InputError, match="'my shirt.jpg' is not"):
        dataset.write_pairs(tmp_path / "q.txt", [("a.jpg", "my shirt.jpg")])
    assert not (tmp_path / "q.txt").exists()


def test_names():
    assert dataset.result_name("00891_00.jpg", "01430_00.jpg") == "00891_01430_00.jpg"
    assert len(dataset.file_name("x" * 999)) == 84
    assert len(dataset.file_name("셔" * 99).encode()) <= 84
    assert dataset.result_name("me_1.jpg", "x.png") == "me_1_x.jpg"
    assert dataset.file_name(Path("d/My photo (2).HEIC")) == "My_photo_2.jpg"
    assert dataset.file_name("..jpg") == "photo.jpg" and dataset.file_name("셔츠.png") == "셔츠.jpg"
    for odd in ("a b.png", "셔" * 99, "x\ty.jpg", "…", ".hidden.jpg"):
        dataset._check_name(dataset.file_name(odd), "test")


WRITER = """
import sys, numpy as np
from fuw.engine.dataset import VitonFolder
from fuw.engine.framing import whole_frame
from fuw.engine.records import Person
a = np.random.default_rng(0).integers(0, 20, (320, 240), "u1")
rgb = np.repeat(a[..., None], 3, axis=2)
person = Person(rgb, np.ones((25, 3), "f4"), np.ones((2, 21, 3), "f4"), rgb, a, rgb, a, a, rgb, rgb,
                whole_frame(rgb))
folder = VitonFolder.create(sys.argv[1])
print("ready", flush=True)
for i in range(30):
    if not folder.has_person(f"{i:05d}_00.jpg"):
        folder.write_person(f"{i:05d}_00.jpg", person)
print("done", flush=True)
"""


def test_killed_at_random_moments_files_are_complete_or_absent(tmp_path):
    rng = np.random.default_rng(7)
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)],
                                  stdout=subprocess.PIPE, text=True)
        writer.stdout.readline()
        time.sleep(float(rng.uniform(0.01, 0.25)))
        writer.kill()
        writer.wait()
        writer.stdout.close()
        for path in tmp_path.rglob("*"):
            if path.suffix in (".jpg", ".png"):
                Image.open(path).load()
            elif path.suffix == ".json":
                dataset.read_openpose_json(path)
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True,
                          text=True, check=True)
    assert done.stdout.split() == ["ready", "done"]
    folder = dataset.VitonFolder(tmp_path)
    assert all(folder.has_person(f"{i:05d}_00.jpg") for i in range(30))
    assert not list(tmp_path.rglob("*.part"))


def test_the_agnostic_picture_is_the_official_one_whatever_the_networks_keep(tmp_path):
    made, wearer = dataset.VitonFolder.create(tmp_path / "data"), person()
    made.write_person("00001_00.jpg", replace(wearer, agnostic=np.zeros_like(wearer.image)))
    written = np.asarray(Image.open(made.path("agnostic", "00001_00.jpg"))).astype(int)
    wanted = image_agnostic(wearer.image, wearer.parse, wearer.body).astype(int)
    assert np.abs(written - wanted).mean() < 3  # JPEG
