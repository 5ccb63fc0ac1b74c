"""The thin-plate spline of the garment in Torch, for training and tests (VITON-HD, section 3.3)."""

from functools import lru_cache

import torch
import torch.nn.functional as F

REACH = 0.9  # control points and sampled places both span -0.9..0.9: no offset is a 1/0.9 zoom


def _kernel(squared: torch.Tensor) -> torch.Tensor:
    """U(r) = r^2 log r^2, 0 at r = 0."""
    return torch.where(squared == 0, 0.0, squared * torch.log(squared.clamp(min=1e-300)))


def control_points(grid_size: int = 5) -> torch.Tensor:
    """(grid_size**2, 2) float64, x and y of each; point i = 5*r + c lies at x[r], y[c]."""
    axis = torch.linspace(-REACH, REACH, grid_size, dtype=torch.float64)
    x, y = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)


def tps_inverse(grid_size: int = 5) -> torch.Tensor:
    """Inverse of the spline's system [[K, P], [P^T, 0]], (n + 3, n + 3) float64."""
    points = control_points(grid_size)
    n = len(points)
    system = torch.zeros(n + 3, n + 3, dtype=torch.float64)
    system[:n, :n] = _kernel((points[:, None] - points[None]).square().sum(-1))
    system[:n, n] = system[n, :n] = 1.0
    system[:n, n + 1:] = points
    system[n + 1:, :n] = points.T
    inverse: torch.Tensor = torch.linalg.inv(system)
    return inverse


@lru_cache(maxsize=4)
def _basis(height: int, width: int, grid_size: int) -> torch.Tensor:
    """Weight of every control point at every pixel, (height * width, grid_size**2) float32."""
    points = control_points(grid_size)
    inverse = tps_inverse(grid_size)[:, : len(points)]
    xs = torch.linspace(-REACH, REACH, width, dtype=torch.float64)
    rows = []
    for y in torch.linspace(-REACH, REACH, height, dtype=torch.float64):  # row by row: float64
        place = torch.stack((xs, y.expand(width)), 1)                     # would take a gigabyte
        u = _kernel((place[:, None] - points[None]).square().sum(-1))
        affine = torch.cat((torch.ones(width, 1, dtype=torch.float64), place), 1)
        rows.append((torch.cat((u, affine), 1) @ inverse).float())
    return torch.cat(rows)


def tps_grid(theta: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Sampling grid of the spline whose control points move by theta.

    Args:
        theta: (b, 50) float32, 25 x offsets and 25 y offsets in units of half the picture.
        height, width: of the grid, in pixels.

    Returns:
        (b, height, width, 2) float32, x and y; -1..1 spans the picture.
    """
    grid_size = round((theta.shape[1] // 2) ** 0.5)
    points = control_points(grid_size).to(theta)
    moved = points + theta.reshape(len(theta), 2, -1).transpose(1, 2)  # (b, 25, 2)
    basis = _basis(height, width, grid_size).to(theta)
    grid: torch.Tensor = (basis @ moved).reshape(len(theta), height, width, 2)
    return grid


def warp(image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Sample image (b, c, h, w) at grid (b, H, W, 2) -> (b, c, H, W): bilinear, border repeated."""
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
