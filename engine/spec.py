"""What a network is, as data: tensors, picture recipe, checkpoint, gates, variants."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fuw.engine.errors import UnknownNetwork

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Recipe:
    """How a u8 RGB picture becomes a tensor: resize, colour order, `(x / scale - mean) / std`.

    Attributes:
        resize: "schp-affine" (whole picture about its centre, black border), "top-left-bilinear"
            (OpenPose), "shorter-edge" (Pillow bilinear, zero padding after normalising),
            "pillow-bicubic", "tensor-antialias" (bilinear on floats), "bilinear" (no antialias),
            "nearest".
        colour: order of the channels the network wants.
        scale: divisor of the u8 values; 0 means the maximum of the resized picture (U2Net).
        mean, std: per channel, in `colour` order, after the division.
    """

    resize: str
    colour: Literal["RGB", "BGR"] = "RGB"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: tensor name in the ONNX file and in engines.
        axes: numbers, or words ("batch", "height", ...) that a `Variant` gives a number to.
        range: least and greatest value, or None where it is unbounded.
        about: the channels in words.
        recipe: for a picture, how it is made.
    """

    name: str
    axes: tuple[int | str, ...]
    dtype: str = "float32"
    range: tuple[float, float] | None = None
    about: str = ""
    recipe: Recipe | None = None

    def shape(self, sizes: Mapping[str, int], batch: int = 1) -> tuple[int, ...]:
        """The static shape with `sizes` for the words; `hands` counts per sample of the batch."""
        numbers = {"batch": batch, **sizes}
        if "hands" in numbers:
            numbers["hands"] *= batch
        return tuple(numbers[a] if isinstance(a, str) else a for a in self.axes)


@dataclass(frozen=True)
class Checkpoint:
    """The official weights' file. A hash that is None is unknown, never "verified".

    Attributes:
        file: official file name.
        container: "torch", "detectron-pickle" or "caffemodel".
        names: other names under which the same file circulates.
        licence: under which terms it may be used, in words.
        sources: addresses in the order to try: "https://...", "gdrive:<file id>" or
            "gdrive-folder:<folder id>[?resourcekey=...]#<file name in it>".
        home: page or repository where to look when every address is dead.
        prefix: prefix of every key in the file, dropped when it is read.
        inside: key of the dict that holds the weights, "" where the file is the state dict.
        extra: shell patterns of keys that the file may carry and the network has no use for.
    """

    file: str
    container: Literal["torch", "detectron-pickle", "caffemodel"]
    licence: str
    home: str
    names: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    sha256: str | None = None
    sha512: str | None = None
    md5: str | None = None
    bytes: int | None = None
    prefix: str = ""
    inside: str = ""
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gate:
    """What an export must hold against the fp32 chain: relative L2, and PSNR where a picture
    comes out (dB, peak-to-peak 2 for tensors in -1..1)."""

    rel_l2: float
    psnr: float | None = None


@dataclass(frozen=True)
class View:
    """One of several looks at a picture whose answers are averaged.

    Attributes:
        part: the whole picture, or the square at its upper or lower end, which shows more.
        mirrored: asked mirrored; the answer is mirrored back and its sides exchanged.
    """

    part: Literal["whole", "upper", "lower"] = "whole"
    mirrored: bool = False


@dataclass(frozen=True)
class Variant:
    """A width, depth and size of the same class.

    Attributes:
        width: factor on the inner channels.
        options: keyword arguments of the class.
        sizes: a number for every axis word of the spec.
        fit: parameters of the pre-processing twin, for example {"shorter": 800}.
        labels: label ids of a parser: "lip" (SCHP's LIP set) or "viton" (10 = neck).
        views: how often a picture is looked at; the official networks look once.
        keeps: label ids that I_a keeps beyond the official ones, where a network that sees it
            does better so.
    """

    width: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    fit: Mapping[str, int] = field(default_factory=dict)
    labels: Literal["", "lip", "viton"] = ""
    views: tuple[View, ...] = (View(),)
    keeps: tuple[int, ...] = ()


@dataclass(frozen=True)
class NetSpec:
    """Everything that is written about one network, and nothing about it is written elsewhere.

    Attributes:
        module: "package.module:Class" of the Torch network.
        gates: per precision, what its export must hold.
        fp32_islands: shell patterns of module paths that stay fp32 in a reduced graph, because
            measurement (or arithmetic: sums past fp16's 65,504) asks for it.
        multiple: height and width must be multiples of this; 0 where the size is fixed.
        cpu_fp32: a CPU's bf16 hint is not for this one: measured, it moves points by pixels.
        sized: the axis words follow the picture's size (`--size`).
    """

    name: str
    about: str
    module: str
    checkpoint: Checkpoint
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    gates: Mapping[Precision, Gate]
    variants: Mapping[str, Variant]
    fp32_islands: tuple[str, ...] = ()
    multiple: int = 0
    sized: bool = False
    cpu_fp32: bool = False

    @property
    def recipe(self) -> Recipe:
        """How this network's picture is made; ValueError where it takes none."""
        found = next((t.recipe for t in self.inputs if t.recipe is not None), None)
        if found is None:
            raise ValueError(f"{self.name} takes no picture with a recipe of its own")
        return found

    def variant(self, name: str) -> Variant:
        """The variant `name`; raises UnknownNetwork with the names there are."""
        if name not in self.variants:
            raise UnknownNetwork(
                f"{self.name} has no variant {name!r}; there are {', '.join(self.variants)}"
            )
        return self.variants[name]

    def sizes(self, variant: str, size: tuple[int, int] | None = None) -> dict[str, int]:
        """Numbers for the axis words; `size` (height, width of the picture) where it is free."""
        sizes = dict(self.variant(variant).sizes)
        if self.sized and size is not None:
            sizes["height"], sizes["width"] = size
        return sizes

    def hash(self, variant: str = "official") -> str:
        """Sixteen hex digits that change whenever what an export holds changes.

        Addresses, licences, gates and words may change without making an export stale, and so may
        the number of looks or what I_a keeps: that is how a file is asked.
        Raises UnknownNetwork where there is no such variant.
        """
        self.variant(variant)
        whole = asdict(self)
        data = {k: whole[k] for k in ("name", "module", "inputs", "outputs", "fp32_islands")}
        data["variant"] = {k: v for k, v in whole["variants"][variant].items()
                           if k not in ("views", "keeps")}
        text = json.dumps(data, sort_keys=True, default=dict)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
