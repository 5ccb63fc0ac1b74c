"""Which network files there are: the manifest beside them, and how a run finds what it needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from fuw.engine.backend import Model
from fuw.engine.errors import CheckpointError
from fuw.engine.files import sha256, write_json
from fuw.engine.networks import network
from fuw.engine.spec import PRECISIONS, NetSpec
from fuw.engine.windows import read_levels

MANIFEST = "manifest.json"
FORMAT = 1
LONGEST = 1 << 16  # of an axis; no picture that is taken has a longer side
_FILE = re.compile(r"[\w-][\w.-]*\.onnx")
_SHA256 = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True)
class Entry:
    """One exported network file.

    Attributes:
        file: name beside the manifest.
        network, variant, precision: what it holds.
        sizes: a number for every axis word of the spec.
        spec: `NetSpec.hash(variant)` at the time of export.
        origin: where the weights come from, in words ("starter", a checkpoint's file name).
        sha256: of the file.
        checkpoint: SHA-256 of the checkpoint it came from, "" for the starter weights.
        extra: what the export measured and chose, for example {"form": "sparse"}.
    """

    file: str
    network: str
    variant: str
    precision: str
    sizes: Mapping[str, int]
    spec: str
    origin: str
    sha256: str
    batch: int = 1
    checkpoint: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def file_name(spec: NetSpec, precision: str, sizes: Mapping[str, int], batch: int = 1) -> str:
    """The file name of an export, for example "alias-512x384.fp16.onnx" or "gmm.fp32.onnx"."""
    default = spec.variants["official"].sizes
    size = f"-{sizes['height']}x{sizes['width']}" if spec.sized and (
        sizes["height"], sizes["width"]) != (default["height"], default["width"]) else ""
    many = f"-b{batch}" if batch > 1 else ""
    return f"{spec.name}{size}{many}.{precision}.onnx"


def read_manifest(folder: Path) -> list[Entry]:
    """Entries of `folder`'s manifest; raises CheckpointError where it is missing or broken."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text())
        if data["format"] != FORMAT:
            raise CheckpointError(
                f"{path} was written by another version of fuw; export again: fuw-export --force"
            )
        return [_entry(row) for row in data["networks"]]
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no {MANIFEST} in {folder}: nothing was exported there yet; run "
            f"fuw-export --weights {folder}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({str(error)[:200]}); export again: fuw-export --force"
        ) from error


def _entry(row: Mapping[str, Any]) -> Entry:
    """A row of a manifest that says what it has to; TypeError or ValueError where it does not."""
    entry = Entry(**row)
    words = (entry.network, entry.variant, entry.spec, entry.origin, entry.checkpoint)
    if not all(isinstance(word, str) and len(word) < 500 for word in words):
        raise TypeError("a row's network, variant, spec, origin and checkpoint are words")
    if not isinstance(entry.file, str) or not _FILE.fullmatch(entry.file):
        raise ValueError(f"{str(entry.file)[:80]!r} is no name of an ONNX file beside it")
    if entry.precision not in PRECISIONS:
        raise ValueError(f"{entry.file} is in {str(entry.precision)[:20]!r}")
    if not isinstance(entry.sha256, str) or not _SHA256.fullmatch(entry.sha256):
        raise ValueError(f"{entry.file} has something else than a SHA-256")
    kinds = isinstance(entry.sizes, dict) and isinstance(entry.extra, dict)
    if not kinds or not _counts(entry.batch, *entry.sizes.values()):
        raise TypeError(f"{entry.file} has sizes or extras of a wrong kind")
    if "static" in entry.extra and not read_levels(entry.extra.get("windows")):
        raise ValueError(f"{entry.file} has a static form without windows")
    return entry


def _formed(model: Model, entry: Entry) -> Model:
    """`model` with the form that its export chose, and the other forms that lie beside it."""
    def beside(form: str) -> Model | None:
        file = entry.extra.get(form)
        if not (isinstance(file, str) and _FILE.fullmatch(file)):
            return None
        return replace(model, path=model.path.with_name(file),
                       sha256=str(entry.extra.get(f"{form}_sha256", "")))

    static = beside("static")
    if static is not None:
        static = replace(static, windows=read_levels(entry.extra["windows"]))
    return replace(model, form=str(entry.extra.get("form", "")), dense=beside("dense"),
                   static=static)


def _counts(*values: object) -> bool:
    """Whether all are whole numbers that a tensor can be long."""
    return all(type(value) is int and 0 < value <= LONGEST for value in values)


def write_manifest(folder: Path, entries: list[Entry]) -> None:
    """Write the manifest beside the files, whole or not at all."""
    rows = [asdict(e) for e in sorted(entries, key=lambda e: e.file)]
    write_json(folder / MANIFEST, {"format": FORMAT, "networks": rows})


def folder_of(weights: str | Path) -> Path:
    """The folder with the manifest: "starter" is in the package; DIR may hold it in DIR/onnx."""
    if str(weights) == "starter":
        return Path(str(files("fuw.models") / "starter"))
    folder = Path(weights)
    if not folder.is_dir():
        raise CheckpointError(
            f"there is no folder {folder} with exported networks; pass --weights starter, or a "
            "folder that fuw-export wrote"
        )
    return folder / "onnx" if (folder / "onnx" / MANIFEST).exists() else folder


def proved(model: Model) -> Path:
    """The path of `model`, whose bytes have to be those that its manifest names.

    For backends, before they read it: a runtime computes with damaged numbers without a word. It
    costs a second for 2 GB, and nothing where an engine built from the file is kept.

    Raises:
        CheckpointError: the file is gone or another one.
    """
    if not model.path.is_file():
        what = "there is no such file, though a manifest names it"
    elif model.sha256 and sha256(model.path) != model.sha256:
        what = "is not the file that was exported (its hash differs)"
    else:
        return model.path
    raise CheckpointError(
        f"{model.spec.name}: {model.path} {what}; export again with fuw-export --force, or "
        "install the package again where it is the starter weights' own")


def find_models(weights: str | Path, precision: str, size: tuple[int, int],
                batch: int = 1) -> dict[str, Model]:
    """Models of `weights` that fit, by network name; what is missing is told when it is needed,
    but a network that is there in other sizes of the picture only is told at once.

    Args:
        weights: "starter" or a folder written by fuw-export.
        precision: what the backend computes in; a CPU takes the fp32 file for bf16 too.
        size: (height, width) of the picture.

    Raises:
        CheckpointError: nothing exported there, out of date, or only for other sizes.
    """
    folder = folder_of(weights)
    others: dict[str, list[str]] = {}
    found: dict[str, Model] = {}
    for entry in read_manifest(folder):
        spec = network(entry.network)
        sizes = dict(entry.sizes)
        if spec.sized and not {"height", "width"} <= sizes.keys():
            raise CheckpointError(f"{folder / MANIFEST}: does not say for which size of picture "
                                  f"{entry.file} is; export again: fuw-export --force")
        if entry.batch != batch or entry.precision != precision:
            continue
        if spec.sized and (sizes["height"], sizes["width"]) != size:
            others.setdefault(spec.name, []).append(f"{sizes['height']}x{sizes['width']}")
            continue
        if entry.spec != spec.hash(entry.variant):
            raise CheckpointError(
                f"{folder / entry.file}: the description of {spec.name} has changed since it was "
                "exported; run fuw-export --force"
            )
        model = Model(spec, entry.variant, folder / entry.file, precision, sizes, batch,
                      entry.origin, entry.sha256)
        found[spec.name] = _formed(model, entry)
    for name in others.keys() - found.keys():
        raise CheckpointError(
            f"{name}: weights {weights} have it for pictures of {', '.join(others[name])} (height "
            f"x width), not {size[0]}x{size[1]}; run with such a --size, or export a checkpoint "
            f"with fuw-export --size {size[0]}x{size[1]}"
        )
    return found
