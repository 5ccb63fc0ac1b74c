"""What GAN try-on cannot do well, measured before it is done: `Warning_`s about person and garment.

Every threshold stands beside what was measured: VITON-HD's people (4) and garments (9), and 72
garments on floors and hangers. A measure beyond its threshold is a warning; where no picture could
be right at all, an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fuw.engine.arrays import F32, U8
from fuw.engine.densepose import TORSO_BACK, TORSO_FRONT, frontal_share
from fuw.engine.errors import InputError, NoPersonError
from fuw.engine.outline import Outline, measure_outline

# BODY_25 indices; "right" is the person's own.
_NECK, _HIP, _R_SHOULDER, _L_SHOULDER, _R_HIP, _L_HIP = 1, 8, 2, 5, 9, 12
_ARMS = {"right": (2, 3, 4), "left": (5, 6, 7)}  # shoulder, elbow, wrist

# VITON-HD label ids.
_UPPER, _ARM_OR_SLEEVE = (5, 6, 7), (3, 5, 6, 7, 14, 15)

# Signed shoulder width over torso length: VITON-HD 0.56..0.87; seen from the side about 0, from
# behind negative (the left shoulder is on the left).
FRONTAL_SHOULDERS, BACK_SHOULDERS = 0.3, -0.3
# Share of the torso's DensePose pixels that are front: 1 is a front view, 0 a back view.
FRONTAL_TORSO, BACK_TORSO = 0.8, 0.5
TORSO_SEEN = 0.005  # share of the picture that makes a torso
NO_UPPER = 0.02  # share of the picture with labels 5, 6, 7; VITON-HD 0.13..0.19
TORN_UPPER = 0.75  # its largest piece; VITON-HD 0.97..1
TORN_TORSO = 0.1  # ground inside the shoulders' and hips' quadrilateral; VITON-HD 0
ARM_REACH = 0.02  # of the height: how far a joint may lie from arm or sleeve; VITON-HD 0
PARSE_AGREES = 0.2  # share of DensePose's body that the parse calls ground
COMPARABLE = 0.4  # of the largest person's height (key points)
SMALL_PERSON = 2.0  # picture pixels per photo pixel
GARMENT_FOUND, GARMENT_CUT = 0.03, 0.02  # share of the picture; share of its border
GARMENT_ASPECT = (0.45, 2.0)  # height / width; measured 0.48..1.70
GARMENT_LEGS = 0.6  # rows of the lower half with a gap in the middle; measured 0..0.42
GARMENT_SOLID = 0.55  # area over its convex hull; measured 0.68..0.98


@dataclass(frozen=True)
class Warning_:
    """A limit that a photo touches. `measure` beyond `threshold` raised it."""

    code: str
    measure: float
    threshold: float
    sentence: str


def is_usable(person: F32) -> bool:
    """Whether key points f32 (25, 3) have what a person is dressed by: a neck and a shoulder."""
    return bool(person[_NECK, 2] > 0 and max(person[_R_SHOULDER, 2], person[_L_SHOULDER, 2]) > 0)


def usable_people(people: F32, name: str = "the photo") -> F32:
    """Those of `people` f32 (n, 25, 3) who could be dressed, in the same order.

    Usable is who has a neck and a shoulder and at least COMPARABLE of the largest one's height:
    passers-by far behind and ghosts of the pose network do not count. NoPersonError if nobody is.
    """
    usable = [p for p in people if is_usable(p)]
    if not usable:
        raise nobody(name)
    heights = [float(np.ptp(p[p[:, 2] > 0, 1])) for p in usable]
    return np.array([p for p, height in zip(usable, heights, strict=True)
                     if height >= COMPARABLE * max(heights)], np.float32)


def nobody(name: str) -> NoPersonError:
    """What to raise where `name` shows nobody."""
    return NoPersonError(f"{name}: nobody was found in it; give a photo of one standing person, "
                         "seen from the front, head to thigh (cut a wide or busy photo to that "
                         "person), or its key points with --pose")


def require_garment(mask: U8, name: str = "the garment photo") -> None:
    """Raise InputError if the mask u8 (H, W) has nothing inside (128 and more)."""
    if mask.max() < 128:
        raise InputError(f"{name}: no garment was found in it; give a photo of one garment on a "
                         "plain ground, or its mask with --mask")


def judge_photo(sentences: tuple[str, ...]) -> list[Warning_]:
    """What decoding had to overlook (`Photo.warnings`), as warnings; measure: how many."""
    return [Warning_("file", len(sentences), 0, sentence) for sentence in sentences]


def judge_person(body: F32, parse: U8, iuv: U8 | None = None, people_found: int = 1,
                 scale: float = 1.0) -> list[Warning_]:
    """Everything to say about a framed person.

    body: f32 (25, 3) in pixels of the picture. parse: VITON-HD ids u8 (H, W). iuv: DensePose u8
    (H, W, 3) or None. people_found: in the whole photo. scale: of its frame. Each code once.
    """
    found = [*_several(people_found), *_small(scale)]
    found += judge_view(body, iuv)
    found += judge_arms(body, (parse.shape[0], parse.shape[1]))
    found += judge_parse(parse, body)
    if iuv is not None:
        found += judge_agreement(parse, iuv)
    return found


def judge_view(body: F32, iuv: U8 | None) -> list[Warning_]:
    """Front, side or back: by DensePose's torso where there is one, else by the shoulders."""
    if iuv is not None and np.isin(iuv[..., 0], (TORSO_BACK, TORSO_FRONT)).mean() > TORSO_SEEN:
        return _view(frontal_share(iuv), FRONTAL_TORSO, BACK_TORSO, "front share of the torso")
    torso = float(np.hypot(*(body[_HIP, :2] - body[_NECK, :2])))
    if min(body[[_NECK, _HIP, _R_SHOULDER, _L_SHOULDER], 2]) > 0 and torso > 1:
        width = float(body[_L_SHOULDER, 0] - body[_R_SHOULDER, 0]) / torso
        return _view(width, FRONTAL_SHOULDERS, BACK_SHOULDERS,
                     "shoulder width over torso length")
    return []


def judge_arms(body: F32, size: tuple[int, int]) -> list[Warning_]:
    """Elbows and wrists outside the picture; a missing one counts if a straight arm ends there."""
    out = [f"{side} {name}" for side, joints in _ARMS.items()
           for name in _joints_out(body[list(joints)], size)]
    if not out:
        return []
    return [Warning_("arms_out_of_frame", len(out), 0,
                     f"{_named(out)} outside the picture: sleeves end at the picture's edge; use a "
                     "photo that shows both arms whole")]


def judge_parse(parse: U8, body: F32) -> list[Warning_]:
    """An upper garment that is missing or torn, arm joints where the parse has no arm."""
    upper = np.isin(parse, _UPPER)
    share = float(upper.mean())
    if share < NO_UPPER:
        return [Warning_("no_upper", share, NO_UPPER,
                         f"only {share:.1%} of the picture is an upper garment: the parse may be "
                         "wrong, or nothing is worn that could be replaced")]
    return [*_torn(upper, parse, body), *_stray_arms(parse, body)]


def judge_agreement(parse: U8, iuv: U8) -> list[Warning_]:
    """How much of the body that DensePose sees the parse takes for ground."""
    person = iuv[..., 0] > 0
    if not person.any():
        return []
    missed = float((parse[person] == 0).mean())
    if missed <= PARSE_AGREES:
        return []
    return [Warning_("parse_contradicts_densepose", missed, PARSE_AGREES,
                     f"the parse takes {missed:.0%} of the body that DensePose sees for "
                     "background: parts of the person may be painted over")]


def judge_garment(mask: U8) -> list[Warning_]:
    """Everything to say about a framed garment's mask, u8 (H, W), 128 and more inside.

    By outline alone trousers, shorts, dresses, shoes and bags are told from tops; a skirt is not.
    """
    inside = mask >= 128
    share = float(inside.mean())
    if share < GARMENT_FOUND:
        return [Warning_("garment_not_found", share, GARMENT_FOUND,
                         f"the garment's mask covers only {share:.1%} of the picture: it was not "
                         "found; use a plain ground or give its mask")]
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    found = []
    if (cut := float(rim.mean())) > GARMENT_CUT:
        found.append(Warning_("garment_cut_off", cut, GARMENT_CUT,
                              f"the garment touches {cut:.0%} of the picture's border: show it "
                              "whole, with some ground around it"))
    return found + _not_upper(measure_outline(mask))


def _several(people: int) -> list[Warning_]:
    if people <= 1:
        return []
    return [Warning_("several_people", people, 1,
                     f"{people} people are in the photo: the largest is dressed; crop the photo to "
                     "choose another")]


def _small(scale: float) -> list[Warning_]:
    if scale <= SMALL_PERSON:
        return []
    return [Warning_("small_person", scale, SMALL_PERSON,
                     f"the person was enlarged {scale:.1f} times to fill the picture, so it is "
                     "soft; use a larger photo")]


def _view(measure: float, frontal: float, back: float, what: str) -> list[Warning_]:
    if measure >= frontal:
        return []
    if measure <= back:
        return [Warning_("back_view", measure, back,
                         f"the person is seen from behind ({what} {measure:.2f}): the networks "
                         "know front views only; use one")]
    return [Warning_("not_frontal", measure, frontal,
                     f"the person is turned to the side ({what} {measure:.2f}): the garment may "
                     "sit wrongly; use a front view")]


def _joints_out(arm: F32, size: tuple[int, int]) -> Iterator[str]:
    """Names of the arm's joints, shoulder, elbow, wrist f32 (3, 3), that lie outside."""
    shoulder, elbow, wrist = arm
    at = {"elbow": elbow[:2] if elbow[2] > 0 else None}
    at["wrist"] = wrist[:2] if wrist[2] > 0 else (
        2 * elbow[:2] - shoulder[:2] if elbow[2] > 0 and shoulder[2] > 0 else None)
    for name, point in at.items():
        if point is not None and not _within(point, size):
            yield name


def _within(point: npt.NDArray[np.floating], size: tuple[int, int]) -> bool:
    return bool(0 <= point[0] < size[1] and 0 <= point[1] < size[0])


def _torn(upper: npt.NDArray[np.bool_], parse: U8, body: F32) -> Iterator[Warning_]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(upper.astype(np.uint8), connectivity=8)
    largest = float(stats[1:, cv2.CC_STAT_AREA].max() / upper.sum())
    if largest < TORN_UPPER:
        yield Warning_("torn_upper", largest, TORN_UPPER,
                       f"the upper garment is in pieces, the largest {largest:.0%} of it: the "
                       "parse is probably wrong there")
    corners = body[[_R_SHOULDER, _L_SHOULDER, _L_HIP, _R_HIP]]
    if corners[:, 2].min() > 0:
        torso = np.zeros(parse.shape, np.uint8)
        points = np.clip(np.rint(corners[:, :2]), -32768, 32767).astype(np.int32)
        cv2.fillConvexPoly(torso, points, 1)
        ground = float((parse[torso > 0] == 0).mean()) if torso.any() else 0.0
        if ground > TORN_TORSO:
            yield Warning_("holes_in_torso", ground, TORN_TORSO,
                           f"{ground:.0%} of the torso is background in the parse: pose and parse "
                           "contradict each other")


def _stray_arms(parse: U8, body: F32) -> Iterator[Warning_]:
    reach = max(1, round(ARM_REACH * parse.shape[0]))
    arm = np.isin(parse, _ARM_OR_SLEEVE)
    stray = []
    for side, joints in _ARMS.items():
        for name, joint in zip(("elbow", "wrist"), body[list(joints[1:])], strict=True):
            if joint[2] > 0 and _within(joint, (parse.shape[0], parse.shape[1])):
                x, y = int(joint[0]), int(joint[1])
                near = arm[max(0, y - reach):y + reach + 1, max(0, x - reach):x + reach + 1]
                if not near.any():
                    stray.append(f"{side} {name}")
    if stray:
        yield Warning_("arm_outside_parse", len(stray), 0,
                       f"{_named(stray)} where the parse has neither arm nor sleeve: pose and "
                       "parse contradict each other")


def _not_upper(outline: Outline) -> list[Warning_]:
    aspect = outline.aspect
    if outline.legs > GARMENT_LEGS:
        return [_no_top(outline.legs, GARMENT_LEGS, f"{outline.legs:.0%} of its lower half is open "
                        "in the middle, like trouser legs")]
    if not GARMENT_ASPECT[0] <= aspect <= GARMENT_ASPECT[1]:
        limit = GARMENT_ASPECT[aspect > GARMENT_ASPECT[1]]
        return [_no_top(aspect, limit, f"it is {aspect:.1f} times as tall as wide")]
    if outline.solid < GARMENT_SOLID:
        return [_no_top(outline.solid, GARMENT_SOLID,
                        f"it fills only {outline.solid:.0%} of its outline")]
    return []


def _no_top(measure: float, threshold: float, why: str) -> Warning_:
    return Warning_("not_an_upper_garment", measure, threshold,
                    f"the garment does not look like one for the upper body: {why}")


def _named(names: list[str]) -> str:
    text = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{text} {'are' if len(names) > 1 else 'is'}"
