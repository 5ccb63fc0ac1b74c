"""The camera, and how a figure is framed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fuw.starter.figures.human import Human
from fuw.starter.figures.mesh import Array
from fuw.starter.figures.raster import F32

FRAMINGS = {"thigh": 0.62, "full": 0.26, "odd": 0.12}
STREET = {"thigh": 0.15, "full": 0.75, "odd": 0.10}
CROWN = slice(791, 882)  # vertices of the top of the head


@dataclass(frozen=True)
class Camera:
    """Looks along -z. scale: pixels per dm at z = 0; dist: dm (perspective), inf is parallel."""

    scale: float
    dist: float
    centre: tuple[float, float]  # dm
    middle: tuple[float, float]  # the pixel that shows it

    def __call__(self, p: Array, factor: float = 1.0, bias: float | Array = 0.0) -> F32:
        """World dm (n, 3) -> pixels x, y and distance, in a picture `factor` times larger."""
        w = self.scale / (1 - p[:, 2] / self.dist) * factor
        x = self.middle[0] * factor + (p[:, 0] - self.centre[0]) * w
        y = self.middle[1] * factor - (p[:, 1] - self.centre[1]) * w
        return np.stack([x, y, bias - p[:, 2]], 1).astype(np.float32)


def frame(
    rng: np.random.Generator, human: Human, v: Array, width: int, outdoors: bool
) -> tuple[Camera, str]:
    """A camera for the body v: head to thigh (brow sometimes cut), full length, or odd crops."""
    height = width * 4 // 3
    crown = float(v[CROWN, 1].max())
    hip, knee = (float(human.joint(v, b)[1]) for b in ("upperleg01.L", "lowerleg01.L"))
    shares = STREET if outdoors else FRAMINGS
    kind = str(rng.choice(list(shares), p=list(shares.values())))
    if kind == "thigh":
        bottom = hip + (knee - hip) * rng.uniform(0.1, 0.95)
        top = (
            crown + 0.35 + (rng.uniform(0.3, 1.2) if rng.random() < 0.6 else rng.uniform(-1.6, 0.3))
        )
    elif kind == "full":
        bottom, top = float(v[:, 1].min()) - rng.uniform(0.2, 2.0), crown + rng.uniform(0.3, 2.5)
    else:
        bottom, top = hip + (knee - hip) * rng.uniform(-0.6, 2.2), crown + rng.uniform(-2.0, 2.0)
    x = float(human.joint(v, "spine03")[0]) + rng.normal() * (0.3 if kind == "thigh" else 0.9)
    scale = height / (top - bottom)
    return Camera(
        scale, rng.uniform(28, 60), (x, (top + bottom) / 2), (width / 2, height / 2)
    ), kind
