"""Every file that cannot be used ends `fuw-run` with one sentence, its exit code, and nothing
written, before any network has run. What each sentence says is tested where it is made."""

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_images import encoded, header_only

import fuw
from fuw import cli
from fuw.engine import run as engine_run
from fuw.engine.backend import Network

EXAMPLES = Path(fuw.__file__).parent / "examples"
PERSON, GARMENT = EXAMPLES / "person_1.jpg", EXAMPLES / "garment_1.jpg"
HEIGHT, WIDTH = np.asarray(Image.open(PERSON)).shape[:2]


def _labels(size: tuple[int, int], value: int) -> bytes:
    return encoded(Image.fromarray(np.full(size, value, np.uint8)), "PNG")


def _frames() -> bytes:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "blue")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def _write(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


PHOTOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "there is no such"),
    "a folder": (Path.mkdir, "is a folder"),
    "a pipe": (os.mkfifo, "pipe"),
    "empty": (_write(b""), "is empty"),
    "a text": (_write(b"me.jpg" * 200), "is not a picture"),
    "PostScript": (_write(b"%!PS-Adobe-3.0\n" * 99), "is not a picture"),
    "truncated": (lambda path: path.write_bytes(PERSON.read_bytes()[:9000]), "truncated"),
    "20 pixels": (_write(encoded(Image.new("RGB", (20, 20)), "PNG")), "20x20"),
    "120 megapixels": (_write(header_only(12000, 10000)), "120 megapixels"),
    "200 megapixels": (_write(header_only(20000, 10000)), "more than 100 megapixels"),
    "a decompression bomb": (_write(header_only(60000, 60000)), "megapixels"),
    "animated": (_write(_frames()), "animated GIF"),
    "floats": (_write(encoded(Image.fromarray(np.zeros((80, 80), np.float32)), "TIFF")),
               "floating-point"),
}
NOBODY = json.dumps({"version": 1.3, "people": []}).encode()
GIVEN: dict[str, tuple[str, bytes, str, int]] = {
    "key points that are a text": ("--pose", b"x: 3, y: 4", "is not a JSON file", 3),
    "key points of nobody": ("--pose", NOBODY, "found nobody", 4),
    "a parse of another size": ("--parse", _labels((HEIGHT, WIDTH - 1), 5), "but its photo is", 3),
    "a parse with ids above 19": ("--parse", _labels((HEIGHT, WIDTH), 20), "holds label 20", 3),
    "a parse in colours": ("--parse", encoded(Image.new("RGB", (WIDTH, HEIGHT)), "PNG"),
                           "has colours", 3),
    "a parse that is a text": ("--parse", b"0 1 2" * 99, "is not a picture", 3),
    "an empty mask": ("--mask", _labels(np.asarray(Image.open(GARMENT)).shape[:2], 0),
                      "is an empty mask", 3),
    "a mask of another size": ("--mask", _labels((99, 99), 255), "but its photo is", 3),
}


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run in an empty folder; the rest of the name is what the sentence and the code have to be."""
    def computed(*_: object) -> None:
        raise AssertionError("a network ran before the files were looked at")

    monkeypatch.setattr(Network, "__call__", computed)
    monkeypatch.setattr(engine_run, "opened_ahead", lambda *_: nullcontext())
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)

    def run(words: str, code: int, *arguments: object) -> None:
        done = CliRunner().invoke(cli.run, [
            *map(str, arguments), "-o", "out.jpg", "--sheet", "sheet.png", "--parts", "parts",
            "--json", "report.json", "-q"])
        assert done.exit_code == code, done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith("fuw: ") and words in line and done.stdout == ""
        assert not list(desk.iterdir())

    return run


@pytest.mark.parametrize("place", ["person", "garment"])
@pytest.mark.parametrize("kind", PHOTOS)
def test_a_photo_that_cannot_be_one(kind: str, place: str, tmp_path: Path,
                                    refused: Callable[..., None]) -> None:
    make, words = PHOTOS[kind]
    make(tmp_path / "bad.jpg")
    person, garment = (tmp_path / "bad.jpg", GARMENT) if place == "person" else (
        PERSON, tmp_path / "bad.jpg")
    refused(words, 3, person, garment)


@pytest.mark.parametrize("kind", GIVEN)
def test_a_file_beside_it_that_cannot_be_one(kind: str, tmp_path: Path,
                                             refused: Callable[..., None]) -> None:
    option, data, words, code = GIVEN[kind]
    (tmp_path / "given").write_bytes(data)
    refused(words, code, PERSON, GARMENT, option, tmp_path / "given")
