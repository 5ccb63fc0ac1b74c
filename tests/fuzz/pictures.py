"""Doors for photos, parse maps and masks."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from fuw.engine.dataset import _picture
from fuw.engine.images import load_image, load_mask, load_parse
from fuzz.damage import in_bytes, in_png
from fuzz.door import Door

ANIMATED = {"apng", "webp-frames", "gif"}  # refused as they are


def doors() -> list[Door]:
    """A door for each format and mode of picture."""
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (80, 96, 3), "u1"))
    labels = Image.fromarray(rng.integers(0, 20, (80, 96), "u1"))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    tagged = {"exif": exif, "icc_profile": _srgb()}
    frames = {"save_all": True, "append_images": [photo.rotate(90)]}
    deep = Image.fromarray(rng.integers(0, 65535, (80, 96), "u2"))
    return [
        _door("jpeg", photo, "JPEG", **tagged),
        _door("progressive", photo, "JPEG", progressive=True, quality=30),
        _door("cmyk", photo.convert("CMYK"), "JPEG"),
        _door("mpo", photo, "MPO", **frames),
        _door("png", photo, "PNG", **tagged),
        _door("png16", deep, "PNG"),
        _door("apng", photo, "PNG", **frames),
        _door("palette", photo.quantize(16), "PNG"),
        _door("webp", photo, "WEBP", **tagged),
        _door("webp-lossless", photo.convert("RGBA"), "WEBP", lossless=True),
        _door("webp-frames", photo, "WEBP", **frames),
        _door("gif", photo, "GIF", **frames),
        _door("bmp", photo, "BMP"),
        _door("tiff", photo, "TIFF", compression="tiff_deflate"),
        _door("ppm", photo, "PPM"),
        _door("parse", labels.convert("P"), "PNG", load_parse),
        _door("parse-grey", labels, "PNG", load_parse),
        _door("skeleton", photo.quantize(64), "PNG", lambda path: _picture(path, (80, 96))),
        _door("mask", labels.point(lambda v: v * 13), "PNG", load_mask),
    ]


def _door(name: str, image: Image.Image, form: str,
          opened: Callable[[Path], object] = load_image, **options: Any) -> Door:
    data = io.BytesIO()
    image.save(data, form, **options)
    return Door(name, data.getvalue(), opened,
                damages=(in_bytes, in_png) if form == "PNG" else (in_bytes,))


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
