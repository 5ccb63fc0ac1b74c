"""The table of networks: the one place where a size, mean, file name, gate, licence is written."""

from __future__ import annotations

from fuw.engine.errors import UnknownNetwork
from fuw.engine.spec import Checkpoint, Gate, NetSpec, Precision, Recipe, TensorSpec, Variant, View

CATVTON = "https://huggingface.co/zhengchong/CatVTON/resolve/main"
VITON_HD = "CC BY-NC 4.0 (VITON-HD, non-commercial)"
VITON_HD_HOME = "https://github.com/shadow2496/VITON-HD (Google Drive folder in its README)"
OPENPOSE = "OpenPose licence (academic and non-commercial use; commercial use needs a licence)"
OPENPOSE_HOME = "https://github.com/CMU-Perceptual-Computing-Lab/openpose (models/)"
CARVE = "https://github.com/OPHoperHPO/image-background-remove-tool (carvekit)"

# Relative L2 alone against the fp32 network; docs/export.md has what was measured.
GATES: dict[Precision, Gate] = {"fp32": Gate(1e-4), "fp16": Gate(1e-2), "bf16": Gate(5e-2)}


def _openpose(path: str) -> tuple[str, ...]:
    """A mirror first: the official server has mostly been silent since 2023."""
    mirror = "https://huggingface.co/camenduru/openpose/resolve"
    return (
        f"{mirror}/f4a22b0e6fa2a4a2b1e2d50bd589e8bb11ebea7c/{path.rpartition('/')[2]}",
        f"{mirror}/main/models/{path}",
        f"http://posefs1.perception.cs.cmu.edu/OpenPose/models/{path}",
    )


def _viton_hd(file: str) -> tuple[str, ...]:
    """The official folder (by name inside it), then a copy whose pointers give the same hash."""
    return (
        "gdrive-folder:0B8kXrnobEVh9fnJHX3lCZzEtd20yUVAtTk5HdWk2OVV0RGl6YXc0NWhMOTlvb1FKX3Z1OUk"
        f"?resourcekey=0-OIXHrDwCX8ChjypUbJo4fQ#{file}",
        "https://media.githubusercontent.com/media/cswywang/VITON-HD/"
        f"e613d0762f41e8a094d9e989e5bb46eb26114497/checkpoints/{file}",
    )


def _carve(repo: str, revision: str, file: str) -> tuple[str, ...]:
    """carvekit's own CDN first, then the hub, as its downloader tries them."""
    return tuple(
        f"https://{host}/{repo}/resolve/{revision}/{file}"
        for host in ("cdn.carve.photos", "huggingface.co")
    )


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

OPENPOSE_BODY = NetSpec(
    name="openpose_body",
    cpu_fp32=True,
    about="OpenPose BODY_25: 26 heat maps and 52 part affinity fields",
    module="fuw.export.nets.openpose:OpenPoseBody",
    checkpoint=Checkpoint(
        "pose_iter_584000.caffemodel",
        "caffemodel",
        OPENPOSE,
        OPENPOSE_HOME,
        md5="78287b57cf85fa89c03f1393d368e5b7",
        bytes=104715850,
        sources=_openpose("pose/body_25/pose_iter_584000.caffemodel"),
    ),
    inputs=(
        TensorSpec("image", ("batch", 3, "height", "width"), range=(-0.5, 0.5),
                   recipe=Recipe("top-left-bilinear", "BGR", 256.0, (0.5, 0.5, 0.5))),
    ),
    outputs=(
        TensorSpec("net_output", ("batch", 78, "out_height", "out_width"),
                   about="0..24 key points, 25 background, 26..77 part affinity fields"),
    ),
    gates=GATES,
    variants={
        "official": Variant(
            sizes={"height": 368, "width": 272, "out_height": 46, "out_width": 34},
            fit={"net_height": 368},
        ),
        "starter": Variant(
            width=0.25, options={"stages": (2, 1), "blocks": 3},
            sizes={"height": 192, "width": 144, "out_height": 24, "out_width": 18},
            fit={"net_height": 192},
            views=(View(), View(mirrored=True)),
        ),
    },
)

OPENPOSE_HAND = NetSpec(
    name="openpose_hand",
    cpu_fp32=True,
    about="OpenPose hand: 21 key points a hand, the left hand mirrored, both in one batch",
    module="fuw.export.nets.openpose:OpenPoseHand",
    checkpoint=Checkpoint(
        "pose_iter_102000.caffemodel",
        "caffemodel",
        OPENPOSE,
        OPENPOSE_HOME,
        md5="a82cfc3fea7c62f159e11bd3674c1531",
        sources=_openpose("hand/pose_iter_102000.caffemodel"),
    ),
    inputs=(
        TensorSpec("hands", ("hands", 3, "height", "width"), range=(-0.5, 0.5),
                   recipe=Recipe("top-left-bilinear", "BGR", 256.0, (0.5, 0.5, 0.5))),
    ),
    outputs=(
        TensorSpec("heatmaps", ("hands", 22, "out_height", "out_width"),
                   about="0..20 key points, 21 background (never read)"),
    ),
    gates=GATES,
    variants={
        "official": Variant(
            sizes={"hands": 2, "height": 368, "width": 368, "out_height": 46, "out_width": 46},
            fit={"size": 368},
        ),
        "starter": Variant(
            width=0.1875, options={"stages": 2},
            sizes={"hands": 2, "height": 184, "width": 184, "out_height": 23, "out_width": 23},
            fit={"size": 184},
        ),
    },
)

SCHP = NetSpec(
    name="schp",
    about="SCHP human parsing, ResNet-101 AugmentCE2P, 20 labels",
    module="fuw.export.nets.schp:SCHP",
    checkpoint=Checkpoint(
        "exp-schp-201908261155-lip.pth",
        "torch",
        "MIT (code); the LIP data set is for non-commercial research",
        "https://github.com/GoGoDuck912/Self-Correction-Human-Parsing (README, trained models)",
        names=("schp_lip.pth",),
        sources=("gdrive:1k4dllHpu0bdx38J7H28rVVLpU-kOHmnH",
                 f"{CATVTON}/SCHP/exp-schp-201908261155-lip.pth"),
        # not published by the authors: several independent users of the file report this one
        sha256="24fa3254ceeb74c8435458994a64b522fb439a3635b7b86ff470457e0413da00",
        bytes=267449349,
        prefix="module.",
        inside="state_dict",
    ),
    inputs=(
        TensorSpec("image", ("batch", 3, "height", "width"),
                   recipe=Recipe("schp-affine", "BGR", 255.0, (0.406, 0.456, 0.485),
                                 (0.225, 0.224, 0.229))),
    ),
    outputs=(
        TensorSpec("logits", ("batch", 20, "out_height", "out_width"), about="fusion logits"),
    ),
    gates=GATES,
    variants={
        "official": Variant(
            sizes={"height": 473, "width": 473, "out_height": 119, "out_width": 119},
            fit={"size": 473},
            labels="lip",
        ),
        "starter": Variant(
            width=0.25, options={"layers": (2, 2, 3, 2)},
            sizes={"height": 313, "width": 313, "out_height": 79, "out_width": 79},
            fit={"size": 313},
            labels="viton",
            views=(View(), View("upper", mirrored=True), View("lower", mirrored=True)),
        ),
    },
)

DENSEPOSE = NetSpec(
    name="densepose",
    about="DensePose R50-FPN s1x (chart), one person, box from the pose",
    module="fuw.export.nets.densepose:DensePose",
    checkpoint=Checkpoint(
        "model_final_162be9.pkl",
        "detectron-pickle",
        "Detectron2 Apache-2.0; the DensePose model zoo is CC BY-NC 4.0 in parts: check its page",
        "https://github.com/facebookresearch/detectron2 "
        "(projects/DensePose/doc/DENSEPOSE_IUV.md, densepose_rcnn_R_50_FPN_s1x)",
        sources=("https://dl.fbaipublicfiles.com/densepose/densepose_rcnn_R_50_FPN_s1x/165712039/"
                 "model_final_162be9.pkl",
                 f"{CATVTON}/DensePose/model_final_162be9.pkl"),
        # not published by the authors: several independent users of the file report this one
        sha256="b8a7382001b16e453bad95ca9dbc68ae8f2b839b304cf90eaf5c27fbdb4dae91",
        bytes=255757821,
        inside="model",
        extra=("pixel_mean", "pixel_std", "proposal_generator.anchor_generator.cell_anchors.*"),
    ),
    inputs=(
        TensorSpec("image", ("batch", 3, "height", "width"),
                   recipe=Recipe("shorter-edge", "BGR", 1.0, (103.53, 116.28, 123.675))),
        TensorSpec("box", ("batch", 4), about="x0, y0, x1, y1 in pixels of the resized picture"),
    ),
    outputs=(
        TensorSpec("coarse", ("batch", 2, 112, 112), about="background, person"),
        TensorSpec("fine", ("batch", 25, 112, 112), about="0 background, 1..24 parts"),
        TensorSpec("u", ("batch", 25, 112, 112)),
        TensorSpec("v", ("batch", 25, 112, 112)),
    ),
    gates=GATES,
    # The box's arithmetic and the sampling: fp16 places a sample up to 0.1 cells off.
    fp32_islands=("/*",),
    variants={
        "official": Variant(sizes={"height": 1088, "width": 800}, fit={"shorter": 800}),
        "starter": Variant(
            width=0.1875,
            options={"blocks": (1, 2, 2, 1), "head_layers": 3, "detector": False},
            sizes={"height": 256, "width": 192}, fit={"shorter": 192},
        ),
    },
)

_U2NET_INPUTS = (
    TensorSpec("image", ("batch", 3, "height", "width"),
               recipe=Recipe("pillow-bicubic", "RGB", 0.0, IMAGENET_MEAN, IMAGENET_STD)),
)
_MASK = (TensorSpec("mask", ("batch", 1, "height", "width"), range=(0.0, 1.0)),)

U2NET = NetSpec(
    name="u2net",
    about="U2Net cloth mask",
    module="fuw.export.nets.u2net:U2Net",
    checkpoint=Checkpoint(
        "u2net.pth",
        "torch",
        "Apache-2.0",
        CARVE,
        names=("full_weights.pth",),
        sources=_carve("Carve/u2net-universal", "10305d785481cf4b2eee1d447c39cd6e5f43d74b",
                       "full_weights.pth"),
        sha512="16f8125e2fedd8c85db0e001ee15338b4aa2fda77bab8ba70c25ebea1533fda5ee70a909b934a9bd4"
               "95b432cef89d629f00a07858a517742476fa8b346de24f7",
    ),
    inputs=_U2NET_INPUTS,
    outputs=_MASK,
    gates=GATES,
    variants={
        "official": Variant(sizes={"height": 320, "width": 320}, fit={"size": 320}),
        "official-640": Variant(sizes={"height": 640, "width": 640}, fit={"size": 640}),
        "starter": Variant(
            width=0.125, sizes={"height": 224, "width": 224}, fit={"size": 224},
        ),
    },
)

U2NETP = NetSpec(
    name="u2netp",
    about="U2NetP cloth mask (the small U2Net)",
    module="fuw.export.nets.u2net:U2NetP",
    checkpoint=Checkpoint(
        "u2netp.pth",
        "torch",
        "Apache-2.0",
        "https://github.com/xuebinqin/U-2-Net (README)",
        sources=("gdrive:1rbSTGKAE-MTxBYHd-51l2hMOQPT_7EPy",),
    ),
    inputs=_U2NET_INPUTS,
    outputs=_MASK,
    gates=GATES,
    variants={"official": Variant(sizes={"height": 320, "width": 320}, fit={"size": 320})},
)

TRACER_B7 = NetSpec(
    name="tracer_b7",
    about="TRACER-B7 cloth mask (carvekit's universal model)",
    module="fuw.export.nets.tracer:TracerB7",
    checkpoint=Checkpoint(
        "tracer_b7.pth",
        "torch",
        "Apache-2.0",
        CARVE,
        sources=_carve("Carve/tracer_b7", "d8a8fd9e7b3fa0d2f1506fe7242966b34381e9c5",
                       "tracer_b7.pth"),
        sha512="c439c5c12d4d43d5f9be9ec61e68b2e54658a541bccac2577ef5a54fb252b6e8415d41f7ec2487033d"
               "0c02b4dd08367958e4e62091318111c519f93e2632be7b",
        extra=("*edge*", "*Edge*"),  # the original's Frequency_Edge_Module
    ),
    inputs=(
        TensorSpec("image", ("batch", 3, "height", "width"),
                   recipe=Recipe("tensor-antialias", "RGB", 255.0, IMAGENET_MEAN, IMAGENET_STD)),
    ),
    outputs=_MASK,
    # Discontinuous by design (a tenth of the channels and certain background are cut to 0): a
    # rounding makes single pixels jump, wherever it happens. fp16 in the encoder alone costs
    # 1.2e-2, in the decoder alone 1.8e-2, in both 1.6e-2; 99.97 % of the mask stays. To hold 1e-2,
    # 80 % of the nodes and nearly all weights would have to be fp32.
    gates={"fp32": Gate(1e-4), "fp16": Gate(3e-2), "bf16": Gate(1e-1)},
    fp32_islands=("agg.UAM", "ObjectAttention?"),
    variants={"official": Variant(sizes={"height": 640, "width": 640}, fit={"size": 640})},
)

SEG = NetSpec(
    name="seg",
    about="segmentation generator G_s: the parse of the person wearing the garment",
    module="fuw.export.nets.seg:SegGenerator",
    checkpoint=Checkpoint(
        "seg_final.pth",
        "torch",
        VITON_HD,
        VITON_HD_HOME,
        sources=_viton_hd("seg_final.pth"),
        sha256="cbd2b86c84540722bb55046284e5217e2d0323346bb2944358937fa371bd2519",
        bytes=138130794,
    ),
    inputs=(
        TensorSpec("x", ("batch", 21, "height", "width"), range=(-1.0, 1.0),
                   about="cloth mask 1, cloth * mask 3, parse-agnostic 13, pose 3, noise 1; "
                         "bilinear from the full size"),
    ),
    outputs=(
        TensorSpec("probabilities", ("batch", 13, "height", "width"), range=(0.0, 1.0),
                   about="sigmoid per class, not softmax"),
    ),
    gates=GATES,
    variants={
        "official": Variant(sizes={"height": 256, "width": 192}),
        "starter": Variant(width=0.125, options={"hint": 32},
                           sizes={"height": 256, "width": 192}),
    },
)

GMM = NetSpec(
    name="gmm",
    cpu_fp32=True,
    about="geometric matching module: features, correlation, regression -> theta",
    module="fuw.export.nets.gmm:GMM",
    checkpoint=Checkpoint(
        "gmm_final.pth",
        "torch",
        VITON_HD,
        VITON_HD_HOME,
        sources=_viton_hd("gmm_final.pth"),
        sha256="6c611279bc1c6a85f2e9b0cd4caa203472f86b20bd406946426b675ed1c767c1",
        bytes=76218413,
    ),
    inputs=(
        TensorSpec("a", ("batch", 7, "height", "width"), range=(-1.0, 1.0),
                   about="upper mask 1, pose 3, image-agnostic 3; nearest from the full size"),
        TensorSpec("b", ("batch", 3, "height", "width"), range=(-1.0, 1.0),
                   about="garment RGB, not masked; nearest from the full size"),
    ),
    outputs=(
        TensorSpec("theta", ("batch", 50), range=(-1.0, 1.0),
                   about="offsets of the 5x5 control points: 25 x, then 25 y"),
    ),
    gates=GATES,
    # The top level: L2 norm and correlation.
    fp32_islands=("/*",),
    variants={
        "official": Variant(sizes={"height": 256, "width": 192}),
        "starter": Variant(width=0.25, sizes={"height": 256, "width": 192}, keeps=(0, 1, 2)),
    },
)

ALIAS = NetSpec(
    name="alias",
    about="ALIAS generator: renders the person in the warped garment",
    module="fuw.export.nets.alias:ALIASGenerator",
    checkpoint=Checkpoint(
        "alias_final.pth",
        "torch",
        VITON_HD,
        VITON_HD_HOME,
        sources=_viton_hd("alias_final.pth"),
        sha256="c76a83d3d720558e3daf85b946c9215c6ac4f0609895a9079eb4fe4089546734",
        bytes=402472247,
    ),
    inputs=(
        TensorSpec("x", ("batch", 9, "height", "width"), range=(-1.0, 1.0),
                   about="image-agnostic 3, pose 3, warped garment 3 (not masked)"),
        TensorSpec("seg", ("batch", 7, "height", "width"), range=(0.0, 1.0),
                   about="one-hot: background, paste, upper, hair, left arm, right arm, noise"),
        TensorSpec("seg_div", ("batch", 8, "height", "width"), range=(0.0, 1.0),
                   about="seg with the misalignment taken from upper, and given its own channel"),
        TensorSpec("misalign", ("batch", 1, "height", "width"), range=(0.0, 1.0),
                   about="clip(upper - warped mask, 0): fractional along edges"),
    ),
    outputs=(TensorSpec("image", ("batch", 3, "height", "width"), range=(-1.0, 1.0)),),
    gates={"fp32": Gate(1e-4), "fp16": Gate(1e-2, 40.0), "bf16": Gate(5e-2, 40.0)},
    # Sums over a region pass 65,504; statistics of 786,432 pixels need the digits.
    fp32_islands=("*.mask_norm", "*/InstanceNormalization_*"),
    variants={
        "official": Variant(sizes={"height": 1024, "width": 768}),
        "starter": Variant(
            width=0.125, options={"least": 8, "levels": 7, "compose": True},
            sizes={"height": 1024, "width": 768}, keeps=(0, 1, 2),  # ground, hat, hair
        ),
    },
    multiple=128,
    sized=True,
)

NETWORKS: dict[str, NetSpec] = {
    spec.name: spec
    for spec in (OPENPOSE_BODY, OPENPOSE_HAND, SCHP, DENSEPOSE, U2NET, U2NETP, TRACER_B7,
                 SEG, GMM, ALIAS)
}  # fmt: skip


def network(name: str) -> NetSpec:
    """The NetSpec called `name`; raises UnknownNetwork with the names there are."""
    if name not in NETWORKS:
        raise UnknownNetwork(f"there is no network {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]
