"""The doors for pictures: every kind a camera or a designer hands over, every kind that is bad."""

import io
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import icc
import numpy as np
import pytest
from PIL import Image

from fuw.engine import files
from fuw.engine.decode import GROUND
from fuw.engine.errors import InputError, OutputError
from fuw.engine.images import (
    check_output,
    load_image,
    load_mask,
    load_parse,
    save_image,
)


def ramp(height: int = 96, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, 255 - x * 255 // width], 2).astype("u1")


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def png(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "PNG", **options)


def refusal(source: object, match: str) -> str:
    """The message, checked to be short: what, where, how to mend."""
    with pytest.raises(InputError, match=match) as caught:
        load_image(source)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


# --- what people have -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_bit_for_bit(form, tmp_path):
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(ramp()), form))
    photo = load_image(tmp_path / "a")
    assert np.array_equal(photo.pixels, ramp())
    assert photo.notes == () and photo.warnings == () and photo.alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone_as_pillow_does(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png(Image.fromarray(ramp()), exif=exif)
    from PIL import ImageOps
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    photo = load_image(data)
    assert np.array_equal(photo.pixels, expected)
    assert any(f"orientation {orientation}" in n for n in photo.notes) == (orientation != 1)


def test_alpha_turns_with_the_pixels():
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([ramp(), np.tile(np.arange(80, dtype="u1") * 3, (96, 1))])
    photo = load_image(png(Image.fromarray(rgba), exif=exif))
    assert np.array_equal(photo.alpha, np.rot90(rgba[..., 3], -1))


def test_damaged_exif_is_a_warning_not_an_end():
    data = encoded(Image.fromarray(ramp()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing may be printed
        photo = load_image(data)
    assert photo.pixels.shape == (96, 80, 3)


def test_display_p3_becomes_srgb_and_srgb_stays():
    grey_red = np.full((64, 64, 3), (200, 90, 80), "u1")
    wide = load_image(png(Image.fromarray(grey_red), icc_profile=icc.profile("Display P3")))
    assert "Display P3 to sRGB" in wide.notes
    # P3's red is redder than sRGB's: the same colour needs more red and less green there.
    assert wide.pixels[0, 0, 0] > 205 and wide.pixels[0, 0, 1] < 88
    named = load_image(png(Image.fromarray(grey_red), icc_profile=icc.profile("sRGB IEC61966-2.1")))
    assert np.array_equal(named.pixels, grey_red)
    neutral = load_image(png(Image.fromarray(np.full((64, 64, 3), 255, "u1")),
                             icc_profile=icc.profile("Display P3")))
    assert neutral.pixels.min() >= 254


def test_a_broken_profile_is_a_warning():
    photo = load_image(png(Image.fromarray(ramp()), icc_profile=b"not a profile"))
    assert np.array_equal(photo.pixels, ramp())
    assert "colour profile" in photo.warnings[0]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_lie_on_light_grey(mode):
    rgba = np.dstack([np.full((70, 70, 3), 40, "u1"), np.zeros((70, 70), "u1")])
    rgba[20:50, 20:50, 3] = 255
    picture = Image.fromarray(rgba)
    photo = load_image(png(picture.quantize(8) if mode == "P" else picture.convert(mode)))
    assert tuple(photo.pixels[0, 0]) == GROUND
    assert tuple(photo.pixels[30, 30]) == (40, 40, 40)
    assert photo.alpha is not None and photo.alpha[0, 0] == 0 and photo.alpha[30, 30] == 255


def test_a_cut_out_is_a_mask_rounded_corners_are_not():
    rgba = np.dstack([ramp(), np.zeros((96, 80), "u1")])
    rgba[20:60, 20:60, 3] = 255
    assert np.array_equal(load_image(rgba).cutout, rgba[..., 3])
    rgba[..., 3] = 255
    rgba[:5, :5, 3] = 0
    rounded = load_image(rgba)
    assert rounded.alpha is not None and rounded.cutout is None
    assert load_image(ramp()).cutout is None


def test_opaque_alpha_changes_nothing():
    photo = load_image(png(Image.fromarray(ramp()).convert("RGBA")))
    assert photo.alpha is None and photo.notes == () and np.array_equal(photo.pixels, ramp())


def test_cmyk_grey_palette_and_bilevel():
    cmyk = load_image(encoded(Image.fromarray(ramp()).convert("CMYK"), "JPEG", quality=100))
    assert "CMYK to RGB" in cmyk.notes
    assert np.abs(cmyk.pixels.astype(int) - ramp()).mean() < 4
    grey = load_image(png(Image.fromarray(ramp()[..., 0])))
    assert np.array_equal(grey.pixels[..., 2], ramp()[..., 0])
    assert load_image(png(Image.fromarray(ramp()).quantize(32))).pixels.shape == (96, 80, 3)
    assert set(np.unique(load_image(png(Image.new("1", (64, 64), 1))).pixels)) == {255}


def test_sixteen_bits():
    deep = (np.arange(96 * 80).reshape(96, 80) * 8).astype(np.uint16)
    photo = load_image(png(Image.fromarray(deep)))
    assert "16 bit to 8 bit" in photo.notes
    assert np.abs(photo.pixels[..., 0].astype(float) - deep / 257).max() <= 0.5
    array = load_image(np.dstack([deep] * 3))
    assert np.array_equal(array.pixels, photo.pixels)


def test_arrays_are_copied_and_checked():
    a = ramp()
    photo = load_image(a)
    a[:] = 0
    assert photo.pixels.max() > 0
    assert load_image(photo) is photo
    assert load_image(ramp()[..., 0]).pixels.shape == (96, 80, 3)
    refusal(ramp().astype(np.float32), "float32")
    refusal(np.zeros((3, 96, 80), "u1"), r"shape \(3, 96, 80\)")


def test_a_picture_of_several_pages_gives_the_first():
    pages = [Image.fromarray(ramp()), Image.new("RGB", (80, 96))]
    tiff = load_image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "scan")
    assert np.array_equal(tiff.pixels, ramp()) and "2 pages" in tiff.warnings[0]
    mpo = load_image(encoded(pages[0], "MPO", save_all=True, append_images=pages[1:], quality=100))
    assert np.abs(mpo.pixels.astype(int) - ramp()).mean() < 6 and not mpo.warnings


def test_heic():
    try:
        import pillow_heif
    except ImportError:
        message = refusal(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC")
        assert "pillow-heif" in message
        return
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    flat = Image.new("RGB", (96, 64), (180, 60, 40))
    flat.paste((20, 200, 90), (0, 0, 48, 64))
    photo = load_image(encoded(flat, "HEIF", quality=95, exif=exif.tobytes()))
    assert photo.pixels.shape == (96, 64, 3)  # turned once, not twice
    assert photo.pixels[10, 32, 1] > 150 and photo.pixels[80, 32, 0] > 150


# --- what is bad ------------------------------------------------------------------------------


def test_not_there_a_folder_empty_a_pipe(tmp_path):
    refusal(tmp_path / "no.jpg", "no such photo")
    refusal(tmp_path, "is a folder")
    (tmp_path / "empty.jpg").touch()
    refusal(tmp_path / "empty.jpg", "empty")
    refusal(b"", "empty")
    os.mkfifo(tmp_path / "pipe.jpg")
    refusal(tmp_path / "pipe.jpg", "pipe")  # and does not wait for a writer
    refusal(tmp_path / "a\0b.jpg", "cannot be read")
    refusal(tmp_path / ("n" * 300), "cannot be read")


def test_unreadable(tmp_path, monkeypatch):
    path = tmp_path / "locked.png"
    path.write_bytes(png(Image.fromarray(ramp())))
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: let the system call say no
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")
        monkeypatch.setattr(Path, "open", refuse)
    refusal(path, "permission denied")


@pytest.mark.parametrize("data", [b"hello, this is text\n" * 20, b"%!PS-Adobe-3.0\n" * 20,
                                  bytes(5000), b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_not_an_image(data):
    refusal(data, "not a picture|truncated or damaged")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_truncated(form):
    noise = np.random.default_rng(0).integers(0, 255, (96, 80, 3), "u1")
    data = encoded(Image.fromarray(noise), form)
    refusal(data[:len(data) // 2], "truncated|not a picture")


def test_a_palette_picture_without_its_palette(tmp_path):
    data = png(Image.fromarray(ramp()).quantize(16))
    at = data.index(b"PLTE") - 4
    size = int.from_bytes(data[at:at + 4], "big")
    (tmp_path / "p.png").write_bytes(data[:at] + data[at + 12 + size:])
    refusal(tmp_path / "p.png", "truncated or damaged")
    with pytest.raises(InputError, match="download the mask again"):
        load_mask(tmp_path / "p.png")


def test_too_small_and_too_large():
    refusal(png(Image.new("RGB", (20, 20))), "20x20 pixels; a photo needs at least 64")
    refusal(png(Image.new("RGB", (2000, 63))), "2000x63")
    refusal(np.zeros((10, 700, 3), "u1"), "700x10")
    refusal(png(Image.new("1", (16000, 12500))), "megapixels")
    assert "20000x" in refusal(header_only(20000, 6000), "20000x6000, 120 megapixels")


def header_only(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds a few bytes: a decompression bomb's front door."""
    def chunk(kind: bytes, body: bytes) -> bytes:
        tail = kind + body
        return len(body).to_bytes(4, "big") + tail + zlib.crc32(tail).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + b"\x08\x02\0\0\0")
            + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))


def test_a_bomb_is_refused_by_its_header_alone():
    refusal(header_only(60000, 60000), "megapixels")
    refusal(header_only(2_000_000_000, 1000), "megapixels")
    refusal(header_only(3000, 3000), "truncated or damaged")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animated(form):
    frames = [Image.new("RGB", (64, 64), c) for c in ("red", "blue")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    refusal(data, f"animated {form}")
    assert load_image(encoded(frames[0], form)).pixels.shape == (64, 64, 3)


def test_floating_point_is_refused():
    refusal(encoded(Image.fromarray(np.zeros((64, 64), np.float32)), "TIFF"), "floating-point")


# --- writing ----------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    for name in ("a.png", "deep/er/a.PNG"):
        save_image(tmp_path / name, ramp())
        assert np.array_equal(load_image(tmp_path / name).pixels, ramp())
    for name in ("a.jpg", "a.jpeg", "a.webp"):
        save_image(tmp_path / name, ramp(), quality=98)
        assert np.abs(load_image(tmp_path / name).pixels.astype(int) - ramp()).mean() < 4
    grey = save_image(tmp_path / "m.png", ramp()[..., 0])
    assert Image.open(grey).mode == "L"
    assert not [p for p in tmp_path.rglob(".*")]


def test_exif_and_gps_stay_behind(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif.get_ifd(0x8825)[1] = "N"
    source = encoded(Image.fromarray(ramp()), "JPEG", exif=exif)
    assert Image.open(io.BytesIO(source)).getexif().get_ifd(0x8825)
    for name in ("o.jpg", "o.png", "o.webp"):
        saved = Image.open(save_image(tmp_path / name, load_image(source).pixels))
        assert not saved.getexif() and "icc_profile" not in saved.info
        assert b"Camera" not in (tmp_path / name).read_bytes()


def test_unknown_ending_and_folders_are_refused(tmp_path):
    for bad in ("a.gif", "a", "a.tar.gz"):
        with pytest.raises(OutputError, match=r"\.jpg, \.jpeg, \.png, \.webp"):
            save_image(tmp_path / bad, ramp())
        with pytest.raises(OutputError):
            check_output(tmp_path / bad)
    (tmp_path / "d.png").mkdir()
    with pytest.raises(OutputError, match="folder"):
        check_output(tmp_path / "d.png")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_image(tmp_path / "file" / "a.png", ramp())
    with pytest.raises(OutputError, match="cannot hold"):
        save_image(tmp_path / "a.webp", np.zeros((70, 16500, 3), "u1"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.png", "file"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    target = save_image(tmp_path / "a.png", ramp())
    before = target.read_bytes()
    code = f"""
import resource, numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
from fuw.engine.errors import OutputError
from fuw.engine.images import save_image
try:
    save_image({str(target)!r}, np.random.default_rng(0).integers(0, 255, (300, 300, 3), "u1"))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout and done.stderr == ""
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_killed_writer_is_swept_a_living_one_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".a.png.1.{dead.pid}.part").touch()
    (tmp_path / f".b.png.1.{os.getpid()}.part").touch()
    assert [p.name for p in files.sweep(tmp_path)] == [f".a.png.1.{dead.pid}.part"]
    assert [p.name for p in tmp_path.iterdir()] == [f".b.png.1.{os.getpid()}.part"]


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def stop(handle: io.BytesIO) -> None:
        handle.write(b"half")
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(tmp_path / "a.bin", stop)
    assert list(tmp_path.iterdir()) == []


# --- parse maps and masks ---------------------------------------------------------------------


def labels() -> np.ndarray:
    return (np.arange(96 * 80).reshape(96, 80) // 400 % 20).astype("u1")


def test_parse_from_palette_or_grey(tmp_path):
    palette = Image.fromarray(labels(), "L").convert("P")
    palette = Image.frombytes("P", (80, 96), labels().tobytes())
    palette.putpalette(list(range(60)))
    palette.save(tmp_path / "p.png")
    Image.fromarray(labels()).save(tmp_path / "l.png")
    for name in ("p.png", "l.png"):
        assert np.array_equal(load_parse(tmp_path / name, (96, 80)), labels())


def test_parse_that_cannot_be_one(tmp_path):
    Image.fromarray(labels()).save(tmp_path / "l.png")
    with pytest.raises(InputError, match="is 80x96 but its photo is 768x1024"):
        load_parse(tmp_path / "l.png", (1024, 768))
    Image.fromarray(labels() + 10).save(tmp_path / "high.png")
    with pytest.raises(InputError, match=r"label 29, a parse map has ids 0\.\.19"):
        load_parse(tmp_path / "high.png")
    Image.fromarray(ramp()).save(tmp_path / "rgb.png")
    with pytest.raises(InputError, match="has colours"):
        load_parse(tmp_path / "rgb.png")
    (tmp_path / "t.png").write_text("0 1 2")
    with pytest.raises(InputError, match="give the parse map as"):
        load_parse(tmp_path / "t.png")


def test_mask(tmp_path):
    soft = np.zeros((96, 80), "u1")
    soft[20:60, 20:60] = 200
    Image.fromarray(soft).save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png", (96, 80)), soft)
    Image.fromarray(np.dstack([np.full((96, 80, 3), 255, "u1"), soft])).save(tmp_path / "a.png")
    assert np.array_equal(load_mask(tmp_path / "a.png") >= 128, soft >= 128)
    Image.fromarray(soft.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(load_mask(tmp_path / "deep.png"), soft)
    Image.fromarray(soft // 2).save(tmp_path / "empty.png")
    with pytest.raises(InputError, match="empty mask"):
        load_mask(tmp_path / "empty.png")
    with pytest.raises(InputError, match="is 80x96 but its photo is 64x64"):
        load_mask(tmp_path / "m.png", (64, 64))
