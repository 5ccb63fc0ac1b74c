"""What a network answers that looks at a picture as often as its variant's `views` say."""

from __future__ import annotations

from fuw.engine.arrays import F, U
from fuw.engine.nets import NetsOf
from fuw.engine.ops import PersonOps


def body_maps(nets: NetsOf[F], ops: PersonOps[U, F], image: U) -> tuple[F, float]:
    """BODY_25's maps (1, 78, h, w) of the picture u8 (H, W, 3), and image pixels per network
    pixel."""
    x, scale = ops.openpose_input(image, nets.fit("openpose_body")["net_height"])
    views = nets.views("openpose_body")
    maps = [nets["openpose_body"](ops.mirrored(x) if view.mirrored else x)[0] for view in views]
    return maps[0] if len(maps) == 1 else ops.mean_maps(maps, views), scale


def parse_labels(nets: NetsOf[F], ops: PersonOps[U, F], image: U) -> U:
    """The parser's label ids u8 (H, W) of the picture u8 (H, W, 3), in its own convention."""
    (height, width), size = image.shape[:2], nets.fit("schp")["size"]
    views = nets.views("schp")
    if len(views) == 1:
        (logits,) = nets["schp"](ops.schp_input(image, size))
        return ops.schp_labels(logits, height, width, size)
    answers = [nets["schp"](ops.schp_view(image, view, size))[0] for view in views]
    return ops.mean_labels(answers, views, height, width, size)
