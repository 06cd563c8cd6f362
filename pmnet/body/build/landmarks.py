"""Places of the face, hands and feet whose vertex numbers SMPL's users rely on.

`smplx` reads 21 extra joints at fixed vertex numbers: nose, eyes, ears, finger tips, toes and
heels. The decimation keeps these vertices and the layout gives them those numbers.
"""

import numpy as np

from pmnet.body.build.skeleton import Rig, joint_weights
from pmnet.body.build.surgery import LeftHalf
from pmnet.body.parts import JOINTS

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
HEEL_HEIGHT_M = 0.05


def left_landmarks(half: LeftHalf, points: np.ndarray, rig: Rig) -> dict[str, int]:
    """Return the vertices of nose and left landmarks by smplx's names; points (V, 3) T-posed, m."""
    present = np.zeros(len(points), bool)
    present[half.faces] = True
    bones = half.sources @ rig.weights
    joints = (half.sources @ joint_weights(rig)).toarray().argmax(1)
    x, y, z = points.T

    def furthest(among: np.ndarray, direction: np.ndarray) -> int:
        members = np.flatnonzero(among & present)
        return int(members[direction[members].argmax()])

    def moved_by(bone: str) -> np.ndarray:
        return bones[:, [rig.names.index(bone)]].toarray()[:, 0] > 0.5

    head = joints == JOINTS.index("head")
    wrist = joints == JOINTS.index("left_wrist")
    reach = np.linalg.norm(points - points[wrist & present].mean(0), axis=1)
    low = y < y[present].min() + HEEL_HEIGHT_M
    landmarks = {
        "nose": furthest(head & half.on_midline, z),
        "leye": half.eye,
        "lear": furthest(head, x),
        "LBigToe": furthest(moved_by("toe1-2.L"), z),
        "LSmallToe": furthest(moved_by("toe5-3.L"), z),
        "LHeel": furthest((joints == JOINTS.index("left_ankle")) & low, -z),
    }
    for number, finger in enumerate(FINGERS, start=1):
        landmarks[f"l{finger}"] = furthest(moved_by(f"finger{number}-3.L"), reach)
    return landmarks
