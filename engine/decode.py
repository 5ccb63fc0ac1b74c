"""Any picture file -> 8-bit sRGB pixels: size limits, orientation, colour profile, alpha, depth.

Pillow decodes. Formats are named one by one: its list of all would hand a file that claims to be
PostScript to Ghostscript.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError, features

from fuw.engine.arrays import U8
from fuw.engine.errors import InputError

MIN_SIDE = 64  # pixels
MAX_PIXELS = 100_000_000
GROUND = (246, 246, 246)  # the light grey behind VITON-HD's garments; transparent parts get it

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "PPM")  # JPEG opens MPO (two-lens) files too
_OPTIONAL = ("WEBP", "AVIF")  # a Pillow built without them does not know their names
_MOVING = ("GIF", "PNG", "WEBP", "AVIF")  # many frames are an animation; elsewhere, pages
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # EXIF tag
_WARNINGS_LOCK = threading.Lock()  # `warnings.catch_warnings` changes the whole process


@dataclass
class Decoded:
    """Pixels u8 (H, W, 3) sRGB, alpha u8 (H, W) where the file had some, and what was done."""

    pixels: U8
    alpha: U8 | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decode(handle: BinaryIO, name: str) -> Decoded:
    """Decode one picture, upright and in sRGB; InputError (one sentence, with `name`) if it is
    none, damaged, animated, smaller than 64 pixels or larger than 100 megapixels.

    The size is checked in the header, before any pixel is decoded.
    """
    with _heard() as heard, damage_told(name):
        image, orientation = _load(handle, name)
        done = _to_rgb(image, name)
    if orientation != 1:
        done.pixels = _upright(done.pixels, orientation)
        done.alpha = None if done.alpha is None else _upright(done.alpha, orientation)
        done.notes.append(f"turned upright (EXIF orientation {orientation})")
    done.warnings += [f"{name}: {text}" for text in heard]
    return done


def decode_labels(handle: BinaryIO, name: str, what: str) -> Image.Image:
    """Decode a parse map or a mask as it stands: no colour management, no turning."""
    with _heard(), damage_told(name, what):
        return _load(handle, name)[0]


@contextmanager
def damage_told(name: str, what: str = "photo") -> Iterator[None]:
    """Whatever decoding or converting raises inside becomes an InputError about the file."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: is not a picture that can be read; give the {what} as JPEG, "
                         "PNG, WebP, TIFF or AVIF") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: declares far more than {MAX_PIXELS // 1_000_000} megapixels; "
                         "shrink it first") from None
    except Exception as error:  # decoders meet hostile bytes: whatever they raise, it is the file
        raise InputError(f"{name}: is truncated or damaged ({_first_line(error)}); save or "
                         f"download the {what} again") from None


def check_size(width: int, height: int, name: str) -> None:
    """Raise InputError if a picture of this size is not taken."""
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: is {width}x{height} pixels; a photo needs at least {MIN_SIDE} "
                         "on its shorter side (768 to look good)")
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: is {width}x{height}, {width * height / 1e6:.0f} megapixels; "
                         f"at most {MAX_PIXELS // 1_000_000} are taken, so shrink it first")


def rgb_from_array(array: npt.NDArray[np.generic], name: str) -> Decoded:
    """Take u8 or u16 (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA; the pixels are copied."""
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: has dtype {array.dtype}; give uint8 (0..255) or uint16")
    if not (array.ndim == 2 or array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        raise InputError(f"{name}: has shape {array.shape}; give (H, W, 3) RGB, (H, W, 4) RGBA "
                         "or (H, W) grey")
    check_size(array.shape[1], array.shape[0], name)
    done = Decoded(np.empty(0, np.uint8))
    values = np.asarray(array)
    if values.dtype == np.uint16:
        values = _eight_bits(values)
        done.notes.append("16 bit to 8 bit")
    if values.ndim == 2:
        values = values[..., None]
    if values.shape[2] == 1:
        values = np.repeat(values, 3, axis=2)
    return _flatten(Image.fromarray(np.ascontiguousarray(values, np.uint8)), done)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what Pillow would print (damaged EXIF, many pixels) instead of printing it."""
    texts: list[str] = []
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
        texts += sorted({str(w.message) for w in caught
                         if not issubclass(w.category, Image.DecompressionBombWarning)})


def _load(handle: BinaryIO, name: str) -> tuple[Image.Image, int]:
    """The decoded first picture and its EXIF orientation (1..8)."""
    image = Image.open(handle, formats=_formats(handle, name))
    check_size(*image.size, name)
    _check_still(image, name)
    orientation = _orientation(image)
    image.load()
    return image, orientation


def _formats(handle: BinaryIO, name: str) -> tuple[str, ...]:
    head = handle.read(64)
    handle.seek(0)
    if head[4:8] != b"ftyp" or b"avif" in head or head[8:12] not in _HEIC_BRANDS:
        return _FORMATS + tuple(f for f in _OPTIONAL if features.check(f.lower()))
    try:
        import pillow_heif
    except ImportError:
        raise InputError(f"{name}: is a HEIC photo; install pillow-heif (pip install "
                         "'fuw[heic]') or save it as JPEG") from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _check_still(image: Image.Image, name: str) -> None:
    if image.format in _MOVING and getattr(image, "is_animated", False):
        raise InputError(f"{name}: is an animated {image.format}; save the one frame that is "
                         "meant as JPEG or PNG")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception as error:  # struct, index, syntax errors: a photo is usable without its EXIF
        warnings.warn(f"its EXIF data is damaged and was ignored ({_first_line(error)})",
                      stacklevel=2)
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(a: U8, orientation: int) -> U8:
    """Undo the EXIF orientation of `a` (H, W, ...)."""
    turned = {
        2: lambda: a[:, ::-1], 3: lambda: a[::-1, ::-1], 4: lambda: a[::-1],
        5: lambda: a.swapaxes(0, 1), 6: lambda: np.rot90(a, -1),
        7: lambda: a[::-1, ::-1].swapaxes(0, 1), 8: lambda: np.rot90(a, 1),
    }[orientation]()
    return np.ascontiguousarray(turned)


def _to_rgb(image: Image.Image, name: str) -> Decoded:
    done = Decoded(np.empty(0, np.uint8))
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "TIFF":
        done.warnings.append(f"{name}: has {frames} pages; the first one is used")
    profile = image.info.get("icc_profile")
    image = _plain_mode(image, name, done)
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is not None:
        image = image.convert(image.mode[:-1])
    if profile:
        image = _to_srgb(image, profile, name, done)
    if image.mode != "RGB":
        done.notes.append({"CMYK": "CMYK to RGB", "L": "grey to RGB"}.get(image.mode, "to RGB"))
        image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return _flatten(image, done)


def _plain_mode(image: Image.Image, name: str, done: Decoded) -> Image.Image:
    """Bring the many modes of Pillow down to L, LA, RGB, RGBA or CMYK."""
    if image.mode == "F":
        raise InputError(f"{name}: holds floating-point values, whose white is unknown; save it "
                         "with 8 or 16 bits")
    if image.mode.startswith("I"):
        done.notes.append("16 bit to 8 bit")
        return Image.fromarray(_eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        return image.convert("LA" if image.mode in ("LA", "La", "L", "1") else "RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _eight_bits(values: npt.NDArray[np.generic]) -> U8:
    levels: U8 = ((np.clip(values, 0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)
    return levels


def _to_srgb(image: Image.Image, profile: bytes, name: str, done: Decoded) -> Image.Image:
    """Relative colorimetric conversion; pictures that say sRGB stay bit for bit."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        title = ImageCms.getProfileDescription(source).strip()
        if "srgb" in title.lower():
            return image
        turned = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        done.warnings.append(f"{name}: its colour profile cannot be used and was ignored "
                             f"({_first_line(error)}); colours may be off")
        return image
    done.notes.append(f"{title or 'embedded profile'} to sRGB")
    assert turned is not None  # None is only returned when converting in place
    return turned


def _flatten(image: Image.Image, done: Decoded) -> Decoded:
    """Lay transparent parts on GROUND; keep the alpha, since it is a mask somebody made."""
    if image.mode == "RGBA":
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            ground = Image.new("RGBA", image.size, (*GROUND, 255))
            image = Image.alpha_composite(ground, image)
            done.alpha = alpha.copy()
            done.notes.append("transparent parts laid on light grey")
        image = image.convert("RGB")
    done.pixels = np.array(image, np.uint8)
    return done


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
