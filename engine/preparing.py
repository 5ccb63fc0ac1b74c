"""From a person's photo to `PersonMaps`, on the host or a device: where to cut it, and section
3.1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic

import numpy as np

from fuw.engine import judgement, pipeline, search
from fuw.engine.arrays import U8, F, U
from fuw.engine.clock import Clock
from fuw.engine.frame import Frame
from fuw.engine.framing import person_frame, whole_frame
from fuw.engine.images import Photo
from fuw.engine.nets import NetsOf
from fuw.engine.ops import PersonOps
from fuw.engine.records import Given, PersonMapsOf


@dataclass(frozen=True)
class Wanted:
    """A person's photo, and how it is to be prepared.

    Attributes:
        given: what is known, in pixels of the photo.
        framed: the photo is cut like a VITON-HD picture already; do not look for the frame.
        size: (height, width) of the picture.
    """

    photo: Photo
    given: Given
    framed: bool
    size: tuple[int, int]


@dataclass(frozen=True)
class Cut(Generic[U]):
    """A picture that was cut from a photo.

    Attributes:
        image: u8 (H, W, 3) RGB on the host. there: the same where the steps run.
        people: how many there are in the photo.
        given: what is known, in pixels of the picture.
    """

    frame: Frame
    image: U8
    there: U
    given: Given
    people: int = 1


def prepare_person(nets: NetsOf[F], ops: PersonOps[U, F], wanted: Wanted, clock: Clock,
                   ) -> tuple[PersonMapsOf[U], Cut[U]]:
    """The maps of the photo's person, and the picture that they belong to.

    Raises:
        NoPersonError: nobody was found.
    """
    cut = _framed(nets, ops, wanted, clock)
    return pipeline.prepare_person(nets, ops, cut.there, clock, cut.given), cut


def _framed(nets: NetsOf[F], ops: PersonOps[U, F], wanted: Wanted, clock: Clock) -> Cut[U]:
    """Where to cut the photo. Needs the key points, which come to the host for it."""
    photo, given, size = wanted.photo, wanted.given, wanted.size
    whole = whole_frame(photo.pixels, size)
    if wanted.framed:
        return _cut(ops, wanted, whole)
    if given.body is not None:
        judgement.usable_people(given.body[None], f"{photo.name}, its given key points")
        return _cut(ops, wanted, person_frame(photo.pixels, given.body, size))
    cut = _cut(ops, wanted, whole)
    people = pipeline.find_people(nets, ops, cut.there, clock)
    if not any(judgement.is_usable(person) for person in people):
        return _searched(nets, ops, wanted, clock)
    people = judgement.usable_people(people, photo.name)
    frame, body = person_frame(photo.pixels, whole.to_original(people[0]), size), people[0]
    if frame != whole:  # the person is larger now: look again, closer
        cut = _cut(ops, wanted, frame)
        body = frame.to_frame(whole.to_original(body))
        closer = pipeline.find_people(nets, ops, cut.there, clock)
        if len(closer) and judgement.is_usable(closer[0]):
            body = closer[0]
    return replace(cut, given=replace(cut.given, body=body), people=len(people))


def _searched(nets: NetsOf[F], ops: PersonOps[U, F], wanted: Wanted, clock: Clock) -> Cut[U]:
    """The same for a photo in which the first look found nobody: in windows, larger ones first."""
    photo, size = wanted.photo, wanted.size
    for share in search.SHARES:
        found = []
        for window in search.windows(photo.pixels, size, share):
            seen = pipeline.find_people(nets, ops, _cut(ops, wanted, window).there, clock)
            found += [window.to_original(person) for person in seen if search.is_sure(person)]
        for person in search.distinct(found):
            cut = _cut(ops, wanted, person_frame(photo.pixels, person, size))
            closer = pipeline.find_people(nets, ops, cut.there, clock)
            if len(closer) and search.is_sure(closer[0]):
                return replace(cut, given=replace(cut.given, body=closer[0]), people=len(
                    judgement.usable_people(np.array(search.distinct(found)))))
    raise judgement.nobody(photo.name)


def _cut(ops: PersonOps[U, F], wanted: Wanted, frame: Frame) -> Cut[U]:
    image = frame.apply(wanted.photo.pixels)
    there: U = ops.up(image)
    return Cut(frame, image, there, wanted.given.framed(frame))
