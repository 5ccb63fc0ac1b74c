"""The last step of a narrow ALIAS: what the inputs already show is taken from them.

A generator of the official width learns to copy what it is shown. One with a hundredth of its
parameters and steps spends all it has on that, and still leaves the grey of the erased person
showing through. Here two gates that it learns choose between what it painted, the warped garment
(only where the label map has it, aligned) and the ground spread into the ground's holes.
"""

import torch
import torch.nn.functional as F

GATES = 2  # garment, ground
ERASED = 128 / 127.5 - 1  # grey of the agnostic picture: nothing is known there
NEAR = 0.01
QUARTER = 4  # the spread ground is computed on cells of so many pixels
CELLS = (16, 8, 4, 2, 1)  # sides of its averages, in those cells
GROUND, UPPER = 0, 2  # channels of seg_div


def spread(colours: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Fill in colours (b, 3, h, w) where weight (b, 1, h, w) is 0, from ever nearer averages."""
    size = (colours.shape[2], colours.shape[3])
    part = F.avg_pool2d(colours * weight, QUARTER)
    share = F.avg_pool2d(weight, QUARTER)
    total = share.sum((2, 3), keepdim=True).clamp(min=1e-3)
    out = (part.sum((2, 3), keepdim=True) / total).expand_as(part)
    cells = (part.shape[2], part.shape[3])
    for k in CELLS:
        near = F.interpolate(F.avg_pool2d(part, k), size=cells, mode="bilinear")
        known = F.interpolate(F.avg_pool2d(share, k), size=cells, mode="bilinear")
        out = torch.lerp(out, near / known.clamp(min=1e-3), (known * 8).clamp(max=1))
    return F.interpolate(out, size=size, mode="bilinear")


def blend(maps: torch.Tensor, x: torch.Tensor, seg_div: torch.Tensor) -> torch.Tensor:
    """The picture from the last convolution's maps.

    Args:
        maps: (b, 5, h, w) colours before tanh, then the two gates before the sigmoid.
        x: (b, 9, h, w) agnostic person, pose, warped garment, in -1..1.
        seg_div: (b, 8, h, w) label groups, misalignment split off.

    Returns:
        (b, 3, h, w) in -1..1.
    """
    painted, gates = torch.tanh(maps[:, :3]), torch.sigmoid(maps[:, 3:])
    agnostic, garment = x[:, :3], x[:, 6:9]
    known = ((agnostic - ERASED).abs().amax(1, keepdim=True) > NEAR).to(maps.dtype)
    upper, ground = seg_div[:, UPPER : UPPER + 1], seg_div[:, GROUND : GROUND + 1]
    new = torch.lerp(painted, garment, gates[:, :1] * upper)
    new = torch.lerp(new, spread(agnostic, known * ground), gates[:, 1:] * ground)
    return torch.lerp(new, agnostic, known)
