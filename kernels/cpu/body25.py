"""BODY_25 and the 21-point hand as data: keypoints, limbs, PAF channels, colours (OpenPose 1.7)."""

KEYPOINTS = (
    "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip",
    "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
    "LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel",
)  # fmt: skip
NOSE, NECK, MID_HIP = 0, 1, 8
FEET = slice(19, 25)

# (keypoint a, keypoint b, first of the two PAF channels), in the order the assembly visits them.
PAIRS = (
    (1, 8, 0), (1, 2, 14), (1, 5, 22), (2, 3, 16), (3, 4, 18), (5, 6, 24), (6, 7, 26),
    (8, 9, 6), (9, 10, 2), (10, 11, 4), (8, 12, 8), (12, 13, 10), (13, 14, 12),
    (1, 0, 30), (0, 15, 32), (15, 17, 36), (0, 16, 34), (16, 18, 38),
    (2, 17, 20), (5, 18, 28),
    (14, 19, 40), (19, 20, 42), (14, 21, 44), (11, 22, 46), (22, 23, 48), (11, 24, 50),
)  # fmt: skip
# Shoulder to ear: helps the assembly of people seen from behind, is never drawn.
REDUNDANT_PAIRS = (18, 19)
LIMBS = tuple((a, b) for i, (a, b, _) in enumerate(PAIRS) if i not in REDUNDANT_PAIRS)

HAND_LIMBS = tuple(
    (0 if i == 0 else 4 * finger + i, 4 * finger + i + 1) for finger in range(5) for i in range(4)
)
# wrist, elbow, shoulder of the left and of the right arm
ARMS = ((7, 6, 5), (4, 3, 2))

# RGB; a joint takes its own colour, a limb that of its second keypoint.
BODY_COLOURS = (
    (255, 0, 85), (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0),
    (85, 255, 0), (0, 255, 0), (255, 0, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255),
    (0, 170, 255), (0, 85, 255), (0, 0, 255), (255, 0, 170), (170, 0, 255), (255, 0, 255),
    (85, 0, 255), (0, 0, 255), (0, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 255),
    (0, 255, 255),
)  # fmt: skip
HAND_COLOURS = (
    (100, 100, 100),
    (100, 0, 0), (150, 0, 0), (200, 0, 0), (255, 0, 0),
    (100, 100, 0), (150, 150, 0), (200, 200, 0), (255, 255, 0),
    (0, 100, 50), (0, 150, 75), (0, 200, 100), (0, 255, 125),
    (0, 50, 100), (0, 75, 150), (0, 100, 200), (0, 125, 255),
    (100, 0, 100), (150, 0, 150), (200, 0, 200), (255, 0, 255),
)  # fmt: skip
