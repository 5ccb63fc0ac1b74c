"""What the pipeline makes: `Person`, `Garment`, `Fit`. Plain host arrays, so all three pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from fuw.engine.arrays import F32, U8, F, U
from fuw.engine.frame import Frame
from fuw.engine.images import save_image
from fuw.engine.judgement import Warning_
from fuw.kernels.cpu.parse import ARM_GROUPS, UPPER_GROUP

U_co = TypeVar("U_co", covariant=True)


@dataclass(frozen=True)
class Given:
    """What a caller brings in place of a network's answer. None means: ask the network.

    Everything is in pixels of the photo; `framed` brings it into those of the picture.

    Attributes:
        body: key points f32 (25, 3): x, y, score.
        hands: f32 (2, 21, 3), left then right.
        skeleton: pose map u8 (H, W, 3), for a data set that brings its own drawing.
        parse: label ids u8 (H, W).
        labels: convention of `parse`: "viton" (10 = neck) or "lip" (10 = jumpsuit).
        iuv: DensePose u8 (H, W, 3).
    """

    body: F32 | None = None
    hands: F32 | None = None
    skeleton: U8 | None = None
    parse: U8 | None = None
    labels: str = "viton"
    iuv: U8 | None = None

    def framed(self, frame: Frame) -> Given:
        """The same in the picture that `frame` cuts from the photo."""
        def moved(points: F32 | None) -> F32 | None:
            return None if points is None else frame.to_frame(points)

        def cut(labels: U8 | None) -> U8 | None:
            return None if labels is None else frame.apply_labels(labels)

        return replace(self, body=moved(self.body), hands=moved(self.hands), parse=cut(self.parse),
                       iuv=cut(self.iuv), skeleton=cut(self.skeleton))


@dataclass(frozen=True)
class PersonMapsOf(Generic[U]):
    """What depends on the person alone, as the networks and the ops compute it; maps lie on the
    host, or on a device.

    Attributes:
        image: I, the framed photo, u8 (H, W, 3) RGB.
        body, hands: key points f32 (25, 3), (2, 21, 3): x, y, score, pixels of `image`.
        skeleton: P, the pose map as OpenPose draws it, u8 (H, W, 3) RGB.
        parse: S, VITON-HD ids 0..19, u8 (H, W).
        iuv: DensePose I, U, V, u8 (H, W, 3), or None where it was not computed.
        parse_agnostic: S without the garment's region, VITON-HD ids, u8 (H, W).
        groups_agnostic: S_a, `parse_agnostic` in 13 groups, u8 (H, W).
        agnostic: I_a, the person without the garment, u8 (H, W, 3) RGB.
    """

    image: U
    body: F32
    hands: F32
    skeleton: U
    parse: U
    iuv: U | None
    parse_agnostic: U
    groups_agnostic: U
    agnostic: U


PersonMaps = PersonMapsOf[U8]


class Wearer(Protocol[U_co]):
    """What of a person a fit looks at: `PersonMaps`, or its copy on a device."""

    @property
    def skeleton(self) -> U_co:
        """P."""

    @property
    def agnostic(self) -> U_co:
        """I_a."""

    @property
    def groups_agnostic(self) -> U_co:
        """S_a."""


@dataclass(frozen=True)
class Person(PersonMapsOf[U8]):
    """A person photo, prepared once and dressed many times.

    Attributes:
        photo, frame: the photo as decoded and where `image` was cut from it.
        warnings: what the judgement found, with its measures.
        timings: milliseconds by stage.
    """

    photo: U8
    frame: Frame
    warnings: tuple[Warning_, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Garment:
    """A garment photo, prepared once: c and its mask.

    Attributes:
        image: c, u8 (H, W, 3) RGB, framed.
        mask: M_c, u8 (H, W), 0 or 255 (at 128 of the network's soft mask).
        soft_mask: the mask network's own output, u8 (H, W).
    """

    image: U8
    mask: U8
    soft_mask: U8
    warnings: tuple[Warning_, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PartsOf(Generic[U, F]):
    """Every intermediate of a fit, on the host or on a device; there with a batch in front.

    Attributes:
        groups: arg max of the blurred S^ in 13 groups, u8 (H, W).
        seg: S^ in 7 groups, u8 (H, W).
        theta: control point offsets f32 (1, 50).
        warped: W(c, theta), u8 (H, W, 3) RGB.
        warped_mask: u8 (H, W), rint(255 x).
        misalign: M_misalign, u8 (H, W), rint(255 x).
    """

    groups: U
    seg: U
    theta: F
    warped: U
    warped_mask: U
    misalign: U


Parts = PartsOf[U8, F32]


@dataclass(frozen=True)
class Fit:
    """A try-on picture with everything that led to it.

    Attributes:
        image: I^, u8 (H, W, 3) RGB.
        parts: intermediates.
        timings: milliseconds by stage, of this fit alone.
        warnings: of person, garment and fit together.
        origins: where each network's weights came from.
    """

    image: U8
    parts: Parts
    person: Person
    garment: Garment
    timings: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[Warning_, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: str | Path, quality: int = 95) -> Path:
        """Write the picture; the suffix decides the format. Whole or not at all."""
        return save_image(Path(path), self.image, quality=quality)

    def changed(self) -> U8:
        """Where the fit replaces the photo, u8 (H, W), 255 inside: what I_a hides, and the
        garment and arms of S^. Elsewhere I^ only redraws the photo."""
        hidden = (self.person.agnostic != self.person.image).any(2)
        drawn = np.isin(self.parts.seg, (UPPER_GROUP, *ARM_GROUPS))
        return np.where(hidden | drawn, np.uint8(255), np.uint8(0))

    def pasted_back(self) -> U8:
        """The original photo, full resolution, with what changed put in, u8 (h, w, 3)."""
        return self.person.frame.paste_back(self.person.photo, self.image, self.changed())
