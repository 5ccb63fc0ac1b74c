"""A contact sheet: pictures side by side, each with its name above it."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fuw.engine.arrays import U8

PAPER, INK = (255, 255, 255), (32, 32, 32)


def sheet(cells: Sequence[tuple[str, U8]], columns: int = 6, width: int = 256) -> U8:
    """Lay (label, picture) cells out in rows of `columns`; u8 (h, w, 3) RGB.

    Pictures are u8 (H, W, 3) RGB or (H, W); each is shrunk to `width` pixels (never enlarged)
    and stands in the middle of its cell. A label too long for its cell is cut with dots.
    """
    if not cells:
        raise ValueError("a contact sheet needs at least one picture")
    columns = max(1, min(columns, len(cells)))
    shown = [_shrunk(picture, width) for _, picture in cells]
    font = ImageFont.load_default(max(11, width // 16))
    gap, line = max(6, width // 24), max(16, width // 10)
    tall = max(image.height for image in shown)
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (gap + columns * (width + gap), gap + rows * (line + tall + gap)),
                     PAPER)
    draw = ImageDraw.Draw(page)
    for i, ((label, _), image) in enumerate(zip(cells, shown, strict=True)):
        x = gap + i % columns * (width + gap)
        y = gap + i // columns * (line + tall + gap)
        draw.text((x, y + line // 2), _cut(label, width, draw, font), INK, font, anchor="lm")
        page.paste(image, (x + (width - image.width) // 2, y + line))
    return np.array(page)


def _shrunk(picture: U8, width: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
    if image.width <= width:
        return image
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _cut(label: str, width: int, draw: ImageDraw.ImageDraw,
         font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if draw.textlength(label, font) <= width:
        return label
    while label and draw.textlength(label + "...", font) > width:
        label = label[:-1]
    return label + "..."
