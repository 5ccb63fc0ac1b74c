"""The pipeline as the paper writes it (VITON-HD, Choi et al., CVPR 2021).

    prepare_person   I -> J, IUV, S, S_a, I_a, P          (section 3.1)
    prepare_garment  c -> M_c
    fit              S^ = G_s(S_a, P, c, z)                (section 3.2)
                     W(c, theta), theta = GMM(I_a, P, S^_c, c)   (section 3.3)
                     I^ = ALIAS(S^_div, M_misalign, I_a, P, W)   (section 3.4)

No size, mean, label table or file name stands here: those are data of the specs and the ops. Each
of the three is written once, over arrays of the host and of a device; there steps are only queued,
and what key points are made of comes to the host.
"""

from __future__ import annotations

import numpy as np

from fuw.engine import densepose, keypoints, looks
from fuw.engine.arrays import F32, F, U
from fuw.engine.clock import Clock
from fuw.engine.judgement import usable_people
from fuw.engine.nets import FitNets, NetsOf
from fuw.engine.ops import FitOps, PersonOps
from fuw.engine.records import Given, PartsOf, PersonMapsOf, Wearer
from fuw.kernels.cpu.agnostic import OFFICIAL_HEIGHT
from fuw.kernels.cpu.pose import STRIDE


def find_people(nets: NetsOf[F], ops: PersonOps[U, F], image: U, clock: Clock) -> F32:
    """Key points of everybody in the picture, largest first: f32 (n, 25, 3), n may be 0."""
    with clock("pose"):
        net_output, scale = looks.body_maps(nets, ops, image)
        return keypoints.main_first(*keypoints.people_of(*ops.find_peaks(net_output, scale),
                                                         scale))


def prepare_person(nets: NetsOf[F], ops: PersonOps[U, F], image: U, clock: Clock,
                   given: Given | None = None) -> PersonMapsOf[U]:
    """Everything that depends on the person alone.

    Args:
        image: I, framed, u8 (H, W, 3) RGB.
        given: what is known already, on the host; its fields take the place of a network's answer.

    Raises:
        NoPersonError: nobody was found in the picture.
    """
    given = given or Given()
    J = given.body if given.body is not None else usable_people(
        find_people(nets, ops, image, clock))[0]
    iuv = None if given.iuv is None else ops.up(given.iuv)
    # A given parse leaves DensePose nothing to do, but where a neck must be found in it.
    if iuv is None and (given.parse is None or given.labels == "lip"):
        iuv = find_surface(nets, ops, image, J, clock)
    if given.parse is None:
        S = find_labels(nets, ops, image, J, iuv, clock)
    else:
        S = ops.up(given.parse)
        S = ops.lip_to_viton(S, J, iuv) if given.labels == "lip" else S
    with clock("agnostic"):
        scale = image.shape[0] / OFFICIAL_HEIGHT
        S_a = ops.parse_agnostic(S, J, scale)
        keeps = nets.keeps()
        I_a = ops.image_agnostic(image, ops.as_kept(S, keeps) if keeps else S, J, scale)
        groups = ops.group13(S_a)
    # The hands last: a host that waits for them has queued everything else by then.
    hands = given.hands if given.hands is not None else find_hands(nets, ops, image, J, clock)
    with clock("skeleton"):
        P = ops.up(given.skeleton) if given.skeleton is not None else ops.draw_skeleton(
            J, hands, image.shape[0], image.shape[1])
    return PersonMapsOf(image, J, hands, P, S, iuv, S_a, groups, I_a)


def find_hands(nets: NetsOf[F], ops: PersonOps[U, F], image: U, body: F32, clock: Clock) -> F32:
    """Hands of that body, f32 (2, 21, 3); zeros where no arm is seen, and no network runs."""
    with clock("hands"):
        boxes = keypoints.hand_boxes(body)
        if not (boxes[:, 2] > 0).any():
            return np.zeros((2, 21, 3), np.float32)
        (heatmaps,) = nets["openpose_hand"](
            ops.hand_input(image, boxes, nets.fit("openpose_hand")["size"]))
        return keypoints.hands_of(ops.find_hands(heatmaps), boxes, STRIDE * heatmaps.shape[3])


def find_surface(nets: NetsOf[F], ops: PersonOps[U, F], image: U, body: F32, clock: Clock) -> U:
    """DensePose I, U, V of that body, u8 (H, W, 3)."""
    with clock("densepose"):
        height, width = image.shape[:2]
        x, scale = ops.densepose_input(image, nets.fit("densepose")["shorter"])
        box = densepose.person_box(body, height, width)
        coarse, fine, u, v = nets["densepose"](
            x, ops.up((box * scale)[None].astype(np.float32)))
        return ops.compose_iuv(coarse, fine, u, v, box, height, width)


def find_labels(nets: NetsOf[F], ops: PersonOps[U, F], image: U, body: F32, iuv: U | None,
                clock: Clock) -> U:
    """The parse S in VITON-HD ids, u8 (H, W)."""
    with clock("parse"):
        labels = looks.parse_labels(nets, ops, image)
        return ops.lip_to_viton(labels, body, iuv) if nets.labels("schp") == "lip" else labels


def prepare_garment(nets: NetsOf[F], ops: PersonOps[U, F], image: U, clock: Clock) -> U:
    """M_c, the soft garment mask u8 (H, W) of the photo c, u8 (H, W, 3) RGB, framed or not."""
    with clock("mask"):
        (height, width), size = image.shape[:2], nets.fit(nets.mask_net)["size"]
        (d0,) = nets[nets.mask_net](ops.mask_input(nets.mask_net, image, size))
        return ops.mask_labels(nets.mask_net, d0, height, width)


def fit(nets: FitNets[F], ops: FitOps[U, F], person: Wearer[U], c: U, M_c: U, clock: Clock,
        noise: F) -> tuple[U, PartsOf[U, F]]:
    """Dress the person in the garment.

    Everything lies on the host, or on the device of `ops`; there the steps are only queued, and
    arrays may carry a batch in front.

    Args:
        person: the maps of `prepare_person`.
        c: garment u8 (H, W, 3) RGB. M_c: its mask u8 (H, W), 0 or 255.
        noise: z of the seg generator, f32 (1, 1, 256, 192), 0 or 1.

    Returns:
        I^ u8 (H, W, 3) RGB, and every intermediate.
    """
    P, I_a, S_a = person.skeleton, person.agnostic, person.groups_agnostic
    height, width = I_a.shape[-3:-1]

    with clock("seg"):  # 3.2 where the garment will be
        (S_hat_prob,) = nets["seg"](ops.seg_input(M_c, c, S_a, P, noise))
        S_hat13 = ops.seg_labels(S_hat_prob, height, width)
        S_hat7 = ops.group7(S_hat13)
        with ops.beside():  # the matcher looks at labels, only ALIAS at channels
            S_hat = ops.one_hot(S_hat7, 7)

    with clock("warp"):  # 3.3 deform the garment
        (theta,) = nets["gmm"](*ops.gmm_input(S_hat7, P, I_a, c))
        W_c, W_m = ops.warp_garment(c, M_c, theta, height, width)

    with clock("misalign"):  # 3.4 claimed by S^, not covered by the warp
        ops.together()
        M_misalign = ops.misalignment(S_hat, W_m)
        S_div = ops.split_seg(S_hat, M_misalign)

    with clock("alias"):
        (I_hat,) = nets["alias"](ops.alias_input(I_a, P, W_c), S_hat, S_div, M_misalign)

    with clock("picture"):
        image = ops.to_image(I_hat)
        parts = PartsOf(S_hat13, S_hat7, theta, ops.to_image(W_c), ops.to_mask(W_m),
                        ops.to_mask(M_misalign))
    return image, parts
