"""Pictures in and out of files: photos, parse maps, masks; results written whole or not at all."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fuw.engine.arrays import U8
from fuw.engine.decode import damage_told, decode, decode_labels, rgb_from_array
from fuw.engine.errors import InputError, OutputError
from fuw.engine.files import open_input, write_whole

MAX_LABEL = 19  # LIP and CIHP parse maps have ids 0..19
INSIDE = 128  # a mask's pixel is inside from here on, as the official loader has it

# WebP at 100 would still not be lossless; PNG is for that.
_WRITERS: dict[str, tuple[str, dict[str, object]]] = {
    ".jpg": ("JPEG", {"subsampling": 0}), ".jpeg": ("JPEG", {"subsampling": 0}),
    ".png": ("PNG", {}), ".webp": ("WEBP", {"method": 4}),
}


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo: upright, 8 bit, sRGB.

    pixels: u8 (H, W, 3) RGB. alpha: u8 (H, W) if the file was transparent somewhere (its pixels
    already lie on light grey), else None. notes: what was done to it. warnings: whole sentences.
    """

    pixels: U8
    name: str
    alpha: U8 | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def cutout(self) -> U8 | None:
        """The alpha as a mask, where it cuts something out: 2 to 90 % of the picture is opaque.

        Rounded corners and faint watermarks are no mask.
        """
        if self.alpha is None or not 0.02 <= float((self.alpha >= INSIDE).mean()) <= 0.9:
            return None
        return self.alpha


Source = str | Path | bytes | npt.NDArray[np.generic] | Photo


def load_image(source: Source, name: str = "photo") -> Photo:
    """Load a photo from a file, the bytes of a file, or an array (u8 or u16; RGB, RGBA or grey).

    Turned by its EXIF orientation, converted to sRGB by its ICC profile, transparent parts laid
    on light grey (246), CMYK, grey and 16 bit made 8-bit RGB. `name` stands in messages about
    bytes and arrays. Raises InputError (one sentence) for everything that is not one still
    picture of 64 pixels to 100 megapixels.
    """
    if isinstance(source, Photo):
        return source
    if isinstance(source, np.ndarray):
        done = rgb_from_array(source, name)
    elif isinstance(source, bytes):
        if not source:
            raise InputError(f"{name}: is empty (0 bytes)")
        done = decode(io.BytesIO(source), name)
    else:
        name = str(source)
        with open_input(Path(source), "photo") as handle:
            done = decode(handle, name)
    return Photo(done.pixels, name, done.alpha, tuple(done.notes), tuple(done.warnings))


def save_image(path: str | Path, image: U8, quality: int = 95) -> Path:
    """Write u8 (H, W, 3) RGB or (H, W) as its extension says (.jpg, .jpeg, .png, .webp).

    `quality` 1..100 counts for JPEG (4:4:4) and WebP. The file holds pixels only: no EXIF, no
    GPS position, no profile (it is sRGB). Complete or absent; OutputError says why not.
    """
    path = Path(path)
    form, options = _writer(path)
    picture = Image.fromarray(np.ascontiguousarray(image))
    try:
        write_whole(path, lambda handle: picture.save(handle, form, quality=quality, **options))
    except ValueError as error:  # a side beyond what the format can hold (WebP: 16383)
        raise OutputError(f"{path}: {form} cannot hold {picture.width}x{picture.height} pixels "
                          f"({error}); write PNG") from None
    return path


def check_output(path: str | Path) -> Path:
    """Raise OutputError now if `path` has no extension that `save_image` writes, or is a folder."""
    _writer(Path(path))
    if Path(path).is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    return Path(path)


def load_parse(path: str | Path, size: tuple[int, int] | None = None) -> U8:
    """Load a parse map (palette or grey PNG): u8 (H, W), ids 0..19.

    `size` (height, width): any other size is refused, since labels belong to pixels of one photo.
    """
    with open_input(Path(path), "parse map") as handle:
        image = decode_labels(handle, str(path), "parse map")
    if image.mode not in ("P", "L"):
        raise InputError(f"{path}: has colours (mode {image.mode}) where label ids 0..{MAX_LABEL} "
                         "are needed; save it as a palette or grey PNG")
    labels: U8 = np.array(image, np.uint8)
    _check_same_size(labels, size, str(path), "parse map")
    if labels.max() > MAX_LABEL:
        raise InputError(f"{path}: holds label {labels.max()}, a parse map has ids 0..{MAX_LABEL}; "
                         "save ids, not colours or grey levels")
    return labels


def load_mask(path: str | Path, size: tuple[int, int] | None = None) -> U8:
    """Load a mask as u8 (H, W), soft values kept; 128 and more is inside.

    Colours become grey; transparent parts become 0. A mask with nothing inside is refused.
    """
    with open_input(Path(path), "mask") as handle:
        image = decode_labels(handle, str(path), "mask")
    with damage_told(str(path), "mask"):  # a palette that is missing is met only now
        mask = _inside(image)
    _check_same_size(mask, size, str(path), "mask")
    if mask.max() < INSIDE:
        raise InputError(f"{path}: is an empty mask (no pixel of {INSIDE} or more); paint the "
                         "garment white")
    return mask


def _inside(image: Image.Image) -> U8:
    """A picture of any mode as a soft mask u8 (H, W)."""
    if image.mode.startswith("I"):
        deep: U8 = (np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)
        return deep
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.array(image.convert("L"))


def _writer(path: Path) -> tuple[str, dict[str, object]]:
    try:
        return _WRITERS[path.suffix.lower()]
    except KeyError:
        raise OutputError(f"{path}: pictures are written as {', '.join(_WRITERS)}; give the file "
                          "one of these endings") from None


def _check_same_size(a: U8, size: tuple[int, int] | None, name: str, what: str) -> None:
    if size is not None and a.shape != size:
        raise InputError(f"{name}: is {a.shape[1]}x{a.shape[0]} but its photo is "
                         f"{size[1]}x{size[0]}; give the {what} of that photo at its size")
