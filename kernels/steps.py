"""Every step on a device, in one class: what `engine.ops.Ops` is on the CPU."""

from fuw.kernels.device import DeviceArray
from fuw.kernels.gpu import GpuOps
from fuw.kernels.gpu_looks import GpuLooks
from fuw.kernels.gpu_paste import GpuPaste
from fuw.kernels.gpu_pose import GpuPose
from fuw.kernels.gpu_windows import GpuWindows

U2NETS = ("u2net", "u2netp")


class Steps(GpuOps, GpuLooks, GpuPaste, GpuPose, GpuWindows):
    """The steps by name; see the twin of the same name in `kernels.cpu` for what each one does."""

    def mask_input(self, net: str, image: DeviceArray, size: int) -> DeviceArray:
        """A garment's photo as the mask network `net` wants it."""
        return (self.u2net_input if net in U2NETS else self.tracer_input)(image, size)

    def mask_labels(self, net: str, mask: DeviceArray, height: int, width: int) -> DeviceArray:
        """The mask network's answer -> soft mask u8 (height, width)."""
        return (self.u2net_mask if net in U2NETS else self.tracer_mask)(mask, height, width)
