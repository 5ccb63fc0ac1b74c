"""CPU twins of every pre- and post-processing step: the definition, and what the CPU runs."""

from fuw.kernels.cpu.agnostic import as_kept, image_agnostic, parse_agnostic
from fuw.kernels.cpu.compose import alias_input, misalignment, split_seg, to_image, to_mask
from fuw.kernels.cpu.fit import schp_input, signed
from fuw.kernels.cpu.fit_mask import tracer_input, u2net_input
from fuw.kernels.cpu.fit_pose import densepose_input, hand_input, openpose_input
from fuw.kernels.cpu.iuv import compose_iuv
from fuw.kernels.cpu.mask import binary_mask, tracer_mask, u2net_mask
from fuw.kernels.cpu.parse import group7, group13, lip_to_viton, one_hot, schp_labels
from fuw.kernels.cpu.segment import seg_input, seg_labels, seg_noise
from fuw.kernels.cpu.skeleton import draw_skeleton
from fuw.kernels.cpu.warp import gmm_input, tps_grid, warp_garment
from fuw.kernels.cpu.windows import windows

__all__ = [
    "alias_input", "as_kept", "binary_mask", "compose_iuv", "densepose_input", "draw_skeleton",
    "gmm_input", "group13", "group7", "hand_input", "image_agnostic", "lip_to_viton",
    "misalignment", "one_hot", "openpose_input", "parse_agnostic", "schp_input", "schp_labels",
    "seg_input", "seg_labels", "seg_noise", "signed", "split_seg", "to_image", "to_mask",
    "tps_grid", "tracer_input", "tracer_mask", "u2net_input", "u2net_mask", "warp_garment",
    "windows",
]
