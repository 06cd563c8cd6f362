"""The joints of the raw annotations of each data set, by the names of J24; None is not used."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pmnet.body.keypoints import J24, LIMBS

LSP14: Final = (*LIMBS, "neck", "head_top")
MPII16: Final = (*LIMBS[:6], "pelvis", "thorax", "neck", "head_top", *LIMBS[6:])
COCO17: Final = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
# OpenPose's 18 joints, the `poses2d` of 3DPW
COCO18: Final = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear"),
)
# the 17 joints of Human3.6M in the NeuralAnnot files: the right leg first
H36M17: Final = (
    *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("spine", "neck", "jaw", "head"),
    *("left_shoulder", "left_elbow", "left_wrist"),
    *("right_shoulder", "right_elbow", "right_wrist"),
)
# MPI-INF-3DHP: the 17 of the test set; its head and top of the head are jaw and head of Human3.6M
MPI17: Final = (
    *("head", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "jaw"),
)
# the 28 of the training set of MPI-INF-3DHP, of which 17 are used
MPI28: Final = tuple(
    {
        3: "spine",
        4: "pelvis",
        5: "neck",
        6: "jaw",
        7: "head",
        9: "left_shoulder",
        10: "left_elbow",
        11: "left_wrist",
        14: "right_shoulder",
        15: "right_elbow",
        16: "right_wrist",
        18: "left_hip",
        19: "left_knee",
        20: "left_ankle",
        23: "right_hip",
        24: "right_knee",
        25: "right_ankle",
    }.get(joint)
    for joint in range(28)
)


def to_j24(values: np.ndarray, joints: Sequence[str | None]) -> np.ndarray:
    """Return (N, 24, C) numbers from (N, len(joints), C); joints that are not annotated are 0."""
    found = np.zeros((len(values), len(J24), values.shape[2]))
    for index, joint in enumerate(joints):
        if joint is not None:
            found[:, J24.index(joint)] = values[:, index]
    return found
