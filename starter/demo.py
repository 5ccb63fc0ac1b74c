"""The README's picture: `python -m fuw.starter.demo examples/demo.jpg`.

Person, garment and result of the example pair side by side, with the starter weights in fp32.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from PIL import Image

import fuw
from fuw.cli import guarded
from fuw.engine.arrays import U8
from fuw.engine.images import save_image

EXAMPLES = Path(fuw.__file__).parent / "examples"
SIZE = (384, 512)  # width, height of each picture
GAP = 12
QUALITY = 90


def strip() -> U8:
    """u8 (512, 1176, 3) RGB."""
    garment = EXAMPLES / "garment_1.jpg"
    with fuw.Fitter.open(precision="fp32") as fitter:
        fit = fitter.fit(fitter.person(EXAMPLES / "person_1.jpg"), fitter.garment(garment))
    with Image.open(garment) as shown:
        pictures = [Image.fromarray(fit.person.image), shown.convert("RGB"),
                    Image.fromarray(fit.image)]
    page = Image.new("RGB", (3 * SIZE[0] + 2 * GAP, SIZE[1]), "white")
    for place, picture in enumerate(pictures):
        page.paste(picture.resize(SIZE, Image.Resampling.LANCZOS), (place * (SIZE[0] + GAP), 0))
    return np.asarray(page)


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@guarded
def main(out: Path) -> None:
    """Write the strip as OUT."""
    save_image(out, strip(), QUALITY)


if __name__ == "__main__":
    main()
