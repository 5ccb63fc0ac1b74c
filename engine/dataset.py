"""VITON-HD test folders: where each file lies, which are there, read and written as the set has it.

Folder and file names as the official set and its code use them; where two spellings are around
(the code's `openpose-img`, the download's `openpose_img`), both are read and the download's is
written. `docs/viton_hd_folders.md` shows the tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuw.engine.arrays import U8
from fuw.engine.decode import damage_told, decode_labels
from fuw.engine.errors import InputError
from fuw.engine.files import make_folder, open_input, sweep, text_of, write_whole
from fuw.engine.images import load_image, load_mask, load_parse, save_image
from fuw.engine.openpose_json import read_openpose_json, write_openpose_json
from fuw.engine.palettes import colour_iuv, iuv_from_colours, save_labels
from fuw.engine.records import Garment, Given, Person
from fuw.kernels.cpu.agnostic import OFFICIAL_HEIGHT, image_agnostic

SIZE = (1024, 768)  # height, width: what the preprocessing files count in
PAIRS = "test_pairs.txt"
MAX_NAME = 120  # bytes; file systems take 255, and a result has two names in one
MAX_STEM = 80  # bytes; of names that we give
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Kind:
    """One kind of file: its folders (the first is written) and what follows the picture's stem."""

    folders: tuple[str, ...]
    ending: str


KINDS = {
    "image": Kind(("image",), ".jpg"),
    "cloth": Kind(("cloth",), ".jpg"),
    "cloth-mask": Kind(("cloth-mask", "cloth_mask"), ".jpg"),
    "skeleton": Kind(("openpose_img", "openpose-img"), "_rendered.png"),
    "keypoints": Kind(("openpose_json", "openpose-json"), "_keypoints.json"),
    "parse": Kind(("image-parse-v3", "image-parse"), ".png"),
    "parse-agnostic": Kind(("image-parse-agnostic-v3.2", "image-parse-agnostic"), ".png"),
    "agnostic": Kind(("agnostic-v3.2", "agnostic"), ".jpg"),
    "densepose": Kind(("image-densepose",), ".jpg"),
}
# The picture is written last: where it is, everything else of that person or garment is.
PERSON_KINDS = ("keypoints", "skeleton", "parse", "parse-agnostic", "agnostic", "densepose",
                "image")
GARMENT_KINDS = ("cloth-mask", "cloth")


class VitonFolder:
    """A VITON-HD folder: `image/`, `cloth/` and their preprocessing files, or `test/` with those.

    A person or garment is named as in the pairs file ("00891_00.jpg").
    """

    def __init__(self, root: str | Path) -> None:
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"{root}: is not a folder; give the VITON-HD folder that holds image/ "
                             "and cloth/")
        found = [r for r in (root, root / "test") if (r / "image").is_dir()]
        if not found:
            raise InputError(f"{root}: holds neither image/ nor test/image/; a VITON-HD folder has "
                             "people in image/ and garments in cloth/")
        self.root = found[0]

    @classmethod
    def create(cls, root: str | Path) -> VitonFolder:
        """Make the folders (what is there stays) and take away what a killed run left half done.

        Raises OutputError where they cannot be made.
        """
        for kind in KINDS.values():
            sweep(make_folder(Path(root) / kind.folders[0]))
        return cls(root)

    def path(self, kind: str, name: str) -> Path:
        """Where that file is, or where it will be written if it is not there."""
        stem, table = Path(name).stem, KINDS[kind]
        keeps_name = kind in ("image", "cloth")
        paths = [self.root / folder / (name if keeps_name else stem + table.ending)
                 for folder in table.folders]
        if kind == "cloth-mask":  # some sets hold PNG masks
            paths += [p.with_suffix(".png") for p in paths]
        return next((p for p in paths if p.exists()), paths[0])

    def present(self, name: str, kinds: Iterable[str] = PERSON_KINDS) -> dict[str, Path]:
        """The files that are there for a person (or, with GARMENT_KINDS, a garment)."""
        paths = {kind: self.path(kind, name) for kind in kinds}
        return {kind: path for kind, path in paths.items() if path.exists()}

    def pairs_path(self) -> Path:
        """The folder's pairs file: beside `image/`, or one up, beside `test/`."""
        beside, above = self.root / PAIRS, self.root.parent / PAIRS
        return above if above.exists() and not beside.exists() else beside

    # --- reading ------------------------------------------------------------------------------

    def image(self, name: str) -> Path:
        """The person's photo; InputError where it is not there."""
        return self._needed("image", name, "person")

    def cloth(self, name: str) -> Path:
        """The garment's photo; InputError where it is not there."""
        return self._needed("cloth", name, "garment")

    def cloth_mask(self, name: str) -> U8 | None:
        """The garment's mask u8 (H, W) at its photo's size, None where there is no file."""
        path = self.path("cloth-mask", name)
        return load_mask(path, _size(self.cloth(name))) if path.exists() else None

    def given(self, name: str) -> Given:
        """What preprocessing files say about a person, None for what has no file.

        They count in pixels of a 768x1024 picture: with any other picture they are an InputError.
        Of `image-densepose` only the part ids can be read back; U and V are 0.
        """
        there = self.present(name, ("keypoints", "skeleton", "parse", "densepose"))
        if not there:
            return Given()
        size = _size(self.image(name))
        if size != SIZE:
            raise InputError(f"{self.image(name)}: is {size[1]}x{size[0]}, but preprocessing files "
                             f"belong to 768x1024 pictures; remove {there.popitem()[1]} and the "
                             "like, or resize the picture")
        body = hands = skeleton = parse = iuv = None
        if "keypoints" in there:
            body, hands = read_openpose_json(there["keypoints"])
        if "skeleton" in there:
            skeleton = _picture(there["skeleton"], size)
        if "parse" in there:
            parse = load_parse(there["parse"], size)
        if "densepose" in there:
            iuv = iuv_from_colours(_picture(there["densepose"], size))
        return Given(body=body, hands=hands, skeleton=skeleton, parse=parse, labels="viton",
                     iuv=iuv)

    # --- writing ------------------------------------------------------------------------------

    def has_person(self, name: str, densepose: bool = True) -> bool:
        """Every file of this person is there (`densepose`: the IUV picture counts)."""
        kinds = [k for k in PERSON_KINDS if densepose or k != "densepose"]
        return len(self.present(name, kinds)) == len(kinds)

    def has_garment(self, name: str) -> bool:
        """Photo and mask of this garment are there."""
        return len(self.present(name, GARMENT_KINDS)) == len(GARMENT_KINDS)

    def write_person(self, name: str, person: Person) -> None:
        """Write all files of a person, each whole or not at all, the picture last."""
        writers: dict[str, Callable[[Path], object]] = {
            "keypoints": lambda p: write_openpose_json(p, person.body, person.hands),
            "skeleton": lambda p: save_image(p, person.skeleton),
            "parse": lambda p: save_labels(p, person.parse),
            "parse-agnostic": lambda p: save_labels(p, person.parse_agnostic),
            "agnostic": lambda p: save_image(p, official_agnostic(person)),
            "image": lambda p: save_image(p, person.image),
        }
        if (iuv := person.iuv) is not None:
            writers["densepose"] = lambda p: save_image(p, colour_iuv(iuv))
        for kind in PERSON_KINDS:
            if kind in writers:
                writers[kind](self._target(kind, name))

    def write_garment(self, name: str, garment: Garment) -> None:
        """Write mask and photo of a garment, each whole or not at all, the photo last."""
        save_image(self._target("cloth-mask", name), garment.mask)
        save_image(self._target("cloth", name), garment.image)

    def _target(self, kind: str, name: str) -> Path:
        stem, table = Path(name).stem, KINDS[kind]
        return self.root / table.folders[0] / (stem + table.ending)

    def _needed(self, kind: str, name: str, what: str) -> Path:
        path = self.path(kind, name)
        if not path.exists():
            raise InputError(f"{path}: there is no such {what}; the pairs file names "
                             f"{name}, so put it there or take the line out")
        return path


def read_pairs(path: str | Path) -> list[tuple[str, str]]:
    """Read a pairs file: a person's and a garment's file name on each line; empty lines skip.

    Raises InputError with the line's number for anything else, also for names that are paths.
    """
    pairs = []
    for number, line in enumerate(text_of(Path(path), "pairs file").splitlines(), 1):
        names = line.split()
        if not names:
            continue
        if len(names) != 2:
            raise InputError(f"{path}, line {number}: has {len(names)} words where a person's and "
                             "a garment's file name are needed, like '00891_00.jpg 01430_00.jpg'")
        for name in names:
            _check_name(name, f"{path}, line {number}")
        pairs.append((names[0], names[1]))
    if not pairs:
        raise InputError(f"{path}: names no pair; write lines like '00891_00.jpg 01430_00.jpg'")
    return pairs


def write_pairs(path: str | Path, pairs: Iterable[tuple[str, str]]) -> Path:
    """Write a pairs file, complete or absent; names must be free of spaces (`file_name`)."""
    pairs = list(pairs)
    for name in (name for pair in pairs for name in pair):
        _check_name(name, str(path))
    text = "".join(f"{person} {cloth}\n" for person, cloth in pairs)
    write_whole(Path(path), lambda handle: handle.write(text.encode()))
    return Path(path)


def file_name(photo: str | Path) -> str:
    """The name of a photo in the set: its stem (80 bytes of it), made safe, and .jpg.

    Examples:
        "My photo (2).HEIC" -> "My_photo_2.jpg"
    """
    stem = re.sub(r"[^\w.-]+", "_", Path(photo).stem).strip("._") or "photo"
    return stem.encode()[:MAX_STEM].decode(errors="ignore") + ".jpg"


def result_name(person: str, cloth: str) -> str:
    """The try-on picture's name: the official "00891_01430_00.jpg" for official names.

    Other people's stems are kept whole, so that me_1 and me_2 do not overwrite each other.
    """
    stem = Path(person).stem
    if re.fullmatch(r"\d+_00", stem):
        stem = stem.split("_")[0]
    return f"{stem}_{Path(cloth).stem}.jpg"


def _check_name(name: str, where: str) -> None:
    plain = (name.isprintable() and name == "".join(name.split()) and not name.startswith(".")
             and not any(c in name for c in "/\\") and len(name.encode()) <= MAX_NAME)
    if not plain or Path(name).suffix.lower() not in _PICTURES:
        raise InputError(f"{where}: {name[:80]!r} is not a picture's file name without folders, "
                         "spaces or a leading dot, like '00891_00.jpg'")


def _size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture that may carry an EXIF orientation."""
    pixels = load_image(path).pixels
    return pixels.shape[0], pixels.shape[1]


def _picture(path: Path, size: tuple[int, int]) -> U8:
    """A picture of the set as its pixels stand, u8 (H, W, 3), of exactly `size`."""
    with open_input(path, "picture") as handle, damage_told(str(path), "picture"):
        pixels: U8 = np.array(decode_labels(handle, str(path), "picture").convert("RGB"))
    if pixels.shape[:2] != size:
        raise InputError(f"{path}: is {pixels.shape[1]}x{pixels.shape[0]} but its photo is "
                         f"{size[1]}x{size[0]}; make it again from that photo")
    return pixels


def official_agnostic(person: Person) -> U8:
    """I_a as the official data set has it, whatever the networks at hand want kept in theirs."""
    scale = person.image.shape[0] / OFFICIAL_HEIGHT
    return image_agnostic(person.image, person.parse, person.body, scale)
