"""Fuzz the doors: broken pictures, key point files, parse maps, masks and pairs files.

    python tests/fuzz_doors.py --cases 10000 --seed 1

Every case takes a good file, damages it, and opens it. It must load or raise a FuwError of one
line, within SECONDS and MEGABYTES. The quick part runs in the suite (`test_fuzz_doors.py`).
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from fuw.engine.dataset import read_pairs
from fuw.engine.errors import FuwError
from fuw.engine.images import load_image, load_mask, load_parse
from fuw.engine.openpose_json import read_openpose_json

SECONDS = 10.0  # a shared, busy machine; typical is a millisecond
MEGABYTES = 1500  # a header may honestly declare 100 megapixels

Door = Callable[[Path], object]


def seeds() -> list[tuple[str, bytes, Door]]:
    """(name, good bytes, door) of every kind of file."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (80, 96, 3), "u1"))
    labels = Image.fromarray(rng.integers(0, 20, (80, 96), "u1"))
    palette = labels.convert("P")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    frames = {"save_all": True, "append_images": [photo.rotate(90)]}
    profile = _srgb()
    out: list[tuple[str, bytes, Door]] = []
    for name, image, form, options in (
        ("jpeg", photo, "JPEG", {"exif": exif, "icc_profile": profile}),
        ("progressive", photo, "JPEG", {"progressive": True, "quality": 30}),
        ("cmyk", photo.convert("CMYK"), "JPEG", {}), ("mpo", photo, "MPO", frames),
        ("png", photo, "PNG", {"exif": exif, "icc_profile": profile}),
        ("png16", Image.fromarray(rng.integers(0, 65535, (80, 96), "u2")), "PNG", {}),
        ("apng", photo, "PNG", frames), ("palette", photo.quantize(16), "PNG", {}),
        ("webp", photo, "WEBP", {"exif": exif, "icc_profile": profile}),
        ("webp-lossless", photo.convert("RGBA"), "WEBP", {"lossless": True}),
        ("webp-frames", photo, "WEBP", frames), ("gif", photo, "GIF", frames),
        ("bmp", photo, "BMP", {}), ("tiff", photo, "TIFF", {"compression": "tiff_deflate"}),
        ("ppm", photo, "PPM", {}),
    ):
        data = io.BytesIO()
        image.save(data, form, **options)
        out.append((name, data.getvalue(), load_image))
    for name, image, door in (("parse", palette, load_parse), ("parse-l", labels, load_parse),
                              ("mask", labels.point(lambda v: v * 13), load_mask)):
        data = io.BytesIO()
        image.save(data, "PNG")
        out.append((name, data.getvalue(), door))
    person = {"person_id": [-1], "pose_keypoints_2d": list(range(75)),
              "hand_left_keypoints_2d": [0.5] * 63, "hand_right_keypoints_2d": []}
    out.append(("keypoints", json.dumps({"version": 1.3, "people": [person]}).encode(),
                read_openpose_json))
    out.append(("pairs", b"00001_00.jpg 00002_00.jpg\n" * 20, read_pairs))
    return out


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four of: bytes changed (often in the header), cut, doubled, blown up, made text."""
    raw = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if len(raw) < 2:
            break
        head = max(2, min(len(raw), 200) if rng.random() < 0.5 else len(raw))
        at = int(rng.integers(0, head))
        kind = rng.integers(0, 9)
        if kind <= 2:
            raw[at] = int(rng.integers(0, 256))
        elif kind == 3:
            raw[at:at + 4] = rng.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff",
                                         b"\x00\x00\xff\xff", b"\x80\0\0\0"])
        elif kind == 4:
            del raw[at:]
        elif kind == 5:
            del raw[at:at + int(rng.integers(1, 40))]
        elif kind == 6:
            raw[at:at] = raw[at:at + int(rng.integers(1, 400))]
        elif kind == 7:
            raw[at:at] = rng.integers(0, 256, int(rng.integers(1, 60)), "u1").tobytes()
        else:
            raw[at:at] = bytes(rng.choice(
                [b"[" * 3000, b"NaN", b"1e999", b"-Infinity", b'{"people":', b"null", b'"\\ud800"',
                 b"99999999999999999999", b"../../x.jpg ", b"\xed\xa0\x80", b"\0"]))
    return bytes(raw)


def run(cases: int, seed: int, folder: Path, log: Callable[[str], None] = print) -> Counter[str]:
    """Run `cases` cases; returns how they ended. AssertionError names the seed of a bad one."""
    files, ended = seeds(), Counter[str]()
    path = folder / "case"
    for case in range(cases):
        name, good, door = files[case % len(files)]
        path.write_bytes(damaged(good, np.random.default_rng([seed, case])))
        start = time.monotonic()
        try:
            door(path)
            ended["loaded"] += 1
        except FuwError as error:
            text = str(error)
            assert text and "\n" not in text and len(text) < 600, f"{seed=} {case=} {name}: {text}"
            ended["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"{seed=} {case=} {name}: {error!r}") from error
        took = time.monotonic() - start
        assert took < SECONDS, f"{seed=} {case=} {name}: took {took:.1f} s"
        if case % 1000 == 999:
            log(f"{case + 1}: {dict(ended)}, {_peak()} MB at the peak")
    assert _peak() < MEGABYTES, f"{_peak()} MB at the peak"
    return ended


def _peak() -> int:
    """Largest resident memory so far, MB. Not getrusage's: that one is inherited through exec."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: time and outcome are judged all the same
        return 0
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) >> 10


def _srgb() -> bytes:
    from PIL import ImageCms
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        print(dict(run(arguments.cases, arguments.seed, Path(place))))
    sys.exit(0)
