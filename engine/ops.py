"""The pre- and post-processing steps by name: one class per device, chosen once.

The pipeline calls `ops.<step>` and never asks where it runs. `Ops` is the CPU; what a GPU does
itself, its class puts in the place of the same name (same arguments, same result).
"""

from fuw.engine.arrays import F32, U8
from fuw.kernels import cpu
from fuw.kernels.gpu import Real
from fuw.kernels.launch import CudaDevice
from fuw.kernels.steps import Steps

U2NETS = ("u2net", "u2netp")


class Ops:
    """Every step on the CPU; the signatures and units are told where each function stands."""

    device = "cpu"

    # A person's photo into the networks, and their answers out (section 3.1).
    openpose_input = staticmethod(cpu.openpose_input)
    hand_input = staticmethod(cpu.hand_input)
    draw_skeleton = staticmethod(cpu.draw_skeleton)
    schp_input = staticmethod(cpu.schp_input)
    schp_labels = staticmethod(cpu.schp_labels)
    lip_to_viton = staticmethod(cpu.lip_to_viton)
    densepose_input = staticmethod(cpu.densepose_input)
    compose_iuv = staticmethod(cpu.compose_iuv)
    parse_agnostic = staticmethod(cpu.parse_agnostic)
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


def cuda_ops(device: str = "cuda", real: Real = "f32") -> Steps:
    """The same steps on a GPU, over device arrays; network tensors are f32 or f16.

    Raises:
        BackendError: pycuda, the driver or that GPU is not there.
    """
    return Steps(CudaDevice(device), real)
