"""Made-up garments and people to judge framing and judgement by: plain polygons, no photo."""

import cv2
import numpy as np

# Outlines in units of the garment's height, x about the axis, y down from the shoulder.
OUTLINES = {
    "tshirt": [(-.12, .0), (-.08, .06), (0, .09), (.08, .06), (.12, .0), (.28, .05), (.46, .32),
               (.34, .38), (.26, .28), (.27, 1), (-.27, 1), (-.26, .28), (-.34, .38), (-.46, .32),
               (-.28, .05)],
    "longsleeve": [(-.1, .02), (0, .08), (.1, .02), (.26, .06), (.44, .86), (.34, .88), (.22, .36),
                   (.23, .92), (-.23, .92), (-.22, .36), (-.34, .88), (-.44, .86), (-.26, .06)],
    "tank": [(-.2, 0), (-.12, 0), (-.1, .16), (0, .22), (.1, .16), (.12, 0), (.2, 0), (.21, .18),
             (.3, .3), (.29, 1), (-.29, 1), (-.3, .3), (-.21, .18)],
    "trousers": [(-.15, 0), (.15, 0), (.22, 1), (.08, 1), (0, .28), (-.08, 1), (-.22, 1)],
}


def garment(name: str, height: int = 600, canvas: tuple[int, int] = (1024, 768),
            angle: float = 0.0, centre: tuple[float, float] | None = None) -> np.ndarray:
    """Mask u8 (H, W) of 0/255: the outline turned clockwise by `angle` about its middle."""
    points = (np.array(OUTLINES[name]) - (0, 0.5)) * height
    a = np.deg2rad(angle)
    points = points @ np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]).T
    points += centre or (canvas[1] / 2, canvas[0] / 2)
    mask = np.zeros(canvas, np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
    return mask


def body(height: int = 1024, width: int = 768) -> np.ndarray:
    """A frontal BODY_25 figure, head to thigh, as VITON-HD shows people; f32 (25, 3)."""
    points = {0: (.5, .155), 1: (.51, .336), 2: (.34, .34), 3: (.27, .54), 4: (.24, .72),
              5: (.68, .33), 6: (.74, .54), 7: (.77, .72), 8: (.5, .717), 9: (.4, .715),
              12: (.6, .718), 15: (.47, .135), 16: (.53, .135), 17: (.43, .15), 18: (.57, .15)}
    out = np.zeros((25, 3), np.float32)
    for i, (x, y) in points.items():
        out[i] = x * width, y * height, 0.8
    return out


def parse(person: np.ndarray, height: int = 1024, width: int = 768) -> np.ndarray:
    """A parse map (VITON-HD ids) drawn along the key points: head, shirt, arms, trousers."""
    s = height / 1024
    p = np.rint(person[:, :2]).astype(int)
    out = np.zeros((height, width), np.uint8)

    def limb(a: int, b: int, label: int, thick: float) -> None:
        if person[a, 2] > 0 and person[b, 2] > 0:
            cv2.line(out, tuple(map(int, p[a])), tuple(map(int, p[b])), label, int(thick * s))

    cv2.ellipse(out, (int(p[0][0]), int(p[0][1] - 20 * s)), (int(90 * s), int(110 * s)), 0, 0, 360,
                2, -1)
    limb(1, 0, 10, 90)
    cv2.ellipse(out, (int(p[0][0]), int(p[0][1])), (int(60 * s), int(80 * s)), 0, 0, 360, 13, -1)
    hull = np.array([p[2], p[5], p[12] + (int(20 * s), 0), p[9] - (int(20 * s), 0)])
    cv2.fillConvexPoly(out, hull, 5)
    for a, b, label in ((2, 3, 5), (5, 6, 5), (3, 4, 15), (6, 7, 14)):
        limb(a, b, label, 70)
    cv2.rectangle(out, (int(p[9][0] - 30 * s), int(p[9][1])), (int(p[12][0] + 30 * s), height), 9,
                  -1)
    return out


def iuv(labels: np.ndarray, torso: int = 2) -> np.ndarray:
    """A DensePose picture that agrees with `parse`: I from its labels, `torso` 2 front, 1 back."""
    table = np.zeros(20, np.uint8)
    for label, part in {13: 23, 2: 23, 10: torso, 5: torso, 14: 19, 15: 20, 9: 9}.items():
        table[label] = part
    out = np.full((*labels.shape, 3), 128, np.uint8)
    out[..., 0] = table[labels]
    return out
