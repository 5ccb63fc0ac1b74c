"""The pre- and post-processing steps by name: one class per device, chosen once.

The pipeline calls `ops.<step>` and never asks where it runs. `Ops` is the CPU, `Steps` of
`kernels.steps` a GPU: the same names and arguments, over NumPy's arrays and over device arrays.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from fuw.engine.arrays import F32, I32, U8, F, U
from fuw.engine.spec import View
from fuw.kernels import cpu
from fuw.kernels.cpu import looks, pose
from fuw.kernels.steps import U2NETS


class PersonOps(Protocol[U, F]):
    """The steps from photos to `PersonMaps` and a garment's mask (3.1) on any device; key points
    and boxes lie on the host, told where the twins stand, `kernels.cpu`."""

    def up(self, array: Any) -> Any:
        """U of a picture or labels, F of a network's tensor: an array of the host where the steps
        run."""

    def openpose_input(self, image: U, net_height: int) -> tuple[F, float]:
        """x of BODY_25, and image pixels per network pixel."""

    def mirrored(self, x: F) -> F:
        """x, left for right."""

    def mean_maps(self, maps: Sequence[F], views: Sequence[View]) -> F:
        """BODY_25's answers to several looks -> one."""

    def find_peaks(self, net_output: F, scale: float) -> tuple[I32, F32, F32]:
        """What people are put together from, on the host."""

    def hand_input(self, image: U, boxes: F32, size: int) -> F:
        """Both hands, cut out."""

    def find_hands(self, heatmaps: F) -> F32:
        """Highest pixels of the hands' heat maps, on the host."""

    def draw_skeleton(self, body: F32, hands: F32 | None, height: int, width: int) -> U:
        """P."""

    def densepose_input(self, image: U, shorter: int) -> tuple[F, F32]:
        """x of DensePose, and its pixels per image pixel, f32 (4,)."""

    def compose_iuv(self, coarse: F, fine: F, u: F, v: F, box: F32, height: int, width: int) -> U:
        """I, U, V."""

    def schp_input(self, image: U, size: int) -> F:
        """x of SCHP."""

    def schp_labels(self, logits: F, height: int, width: int, size: int) -> U:
        """Its arg max, upright in the picture."""

    def schp_view(self, image: U, view: View, size: int) -> F:
        """x of SCHP for one look of several."""

    def mean_labels(self, logits: Sequence[F], views: Sequence[View], height: int, width: int,
                    size: int) -> U:
        """The arg max of the mean of several looks' answers."""

    def lip_to_viton(self, parse: U, body: F32, iuv: U | None) -> U:
        """S in VITON-HD ids."""

    def parse_agnostic(self, parse: U, body: F32, scale: float) -> U:
        """S without the garment's region."""

    def as_kept(self, parse: U, ids: tuple[int, ...]) -> U:
        """The parse for an `image_agnostic` that keeps `ids` too."""

    def image_agnostic(self, image: U, parse: U, body: F32, scale: float) -> U:
        """I_a."""

    def group13(self, parse: U) -> U:
        """20 ids -> 13 groups."""

    def mask_input(self, net: str, image: U, size: int) -> F:
        """x of the mask network `net`."""

    def mask_labels(self, net: str, mask: F, height: int, width: int) -> U:
        """Its answer as a soft mask."""


class FitOps(Protocol[U, F]):
    """The steps of a fit (3.2 to 3.4) on any device; told where the twins stand, `kernels.cpu`."""

    def beside(self) -> AbstractContextManager[None]:
        """What is done inside may run beside what follows, until `together`."""

    def together(self) -> None:
        """What follows runs after everything that ran beside."""

    def seg_input(self, mask: U, cloth: U, parse13: U, skeleton: U, noise: F) -> F:
        """x of the segmentation generator."""

    def seg_labels(self, probabilities: F, height: int, width: int) -> U:
        """Its arg max in 13 groups."""

    def group7(self, parse13: U) -> U:
        """13 groups -> 7."""

    def one_hot(self, labels: U, n: int) -> F:
        """Labels as channels."""

    def gmm_input(self, parse7: U, skeleton: U, agnostic: U, cloth: U) -> tuple[F, F]:
        """a, b of the matcher."""

    def warp_garment(self, cloth: U, mask: U, theta: F, height: int, width: int) -> tuple[F, F]:
        """W_c and W_m."""

    def misalignment(self, upper: F, warped_mask: F) -> F:
        """M_misalign."""

    def split_seg(self, seg7: F, misalign: F) -> F:
        """S^_div."""

    def alias_input(self, agnostic: U, skeleton: U, warped: F) -> F:
        """x of ALIAS."""

    def to_image(self, x: F) -> U:
        """-1..1 -> 8 bit."""

    def to_mask(self, x: F) -> U:
        """0..1 -> 8 bit."""


class Ops:
    """Every step on the CPU; the signatures and units are told where each function stands."""

    device = "cpu"

    def beside(self) -> AbstractContextManager[None]:
        """One after another is what a CPU does best: its networks use all cores."""
        return nullcontext()

    def together(self) -> None:
        """Nothing ran beside."""

    def up(self, array: Any) -> Any:
        """The host is where the steps run."""
        return array

    # A person's photo into the networks, and their answers out (section 3.1).
    openpose_input = staticmethod(cpu.openpose_input)
    mirrored = staticmethod(looks.mirrored)
    mean_maps = staticmethod(looks.mean_maps)
    find_peaks = staticmethod(pose.find_peaks)
    hand_input = staticmethod(cpu.hand_input)
    find_hands = staticmethod(pose.find_hands)
    draw_skeleton = staticmethod(cpu.draw_skeleton)
    schp_input = staticmethod(cpu.schp_input)
    schp_labels = staticmethod(cpu.schp_labels)
    schp_view = staticmethod(looks.schp_view)
    mean_labels = staticmethod(looks.mean_labels)
    lip_to_viton = staticmethod(cpu.lip_to_viton)
    densepose_input = staticmethod(cpu.densepose_input)
    compose_iuv = staticmethod(cpu.compose_iuv)
    parse_agnostic = staticmethod(cpu.parse_agnostic)
    as_kept = staticmethod(cpu.as_kept)
    image_agnostic = staticmethod(cpu.image_agnostic)
    group13 = staticmethod(cpu.group13)
    group7 = staticmethod(cpu.group7)
    one_hot = staticmethod(cpu.one_hot)

    # Where the garment will be (3.2).
    seg_noise = staticmethod(cpu.seg_noise)
    seg_input = staticmethod(cpu.seg_input)
    seg_labels = staticmethod(cpu.seg_labels)

    # Deform the garment (3.3).
    gmm_input = staticmethod(cpu.gmm_input)
    warp_garment = staticmethod(cpu.warp_garment)

    # Compose (3.4).
    misalignment = staticmethod(cpu.misalignment)
    split_seg = staticmethod(cpu.split_seg)
    alias_input = staticmethod(cpu.alias_input)
    to_image = staticmethod(cpu.to_image)
    to_mask = staticmethod(cpu.to_mask)

    def mask_input(self, net: str, image: U8, size: int) -> F32:
        """A garment's photo as the mask network `net` wants it, f32 (1, 3, size, size)."""
        return cpu.u2net_input(image, size) if net in U2NETS else cpu.tracer_input(image, size)

    def mask_labels(self, net: str, mask: F32, height: int, width: int) -> U8:
        """The mask network's answer -> soft mask u8 (height, width)."""
        return (cpu.u2net_mask if net in U2NETS else cpu.tracer_mask)(mask, height, width)


def cpu_ops() -> Ops:
    """The steps on NumPy and OpenCV."""
    return Ops()
