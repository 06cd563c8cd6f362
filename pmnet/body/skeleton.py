"""Joints of the SMPL skeleton and the five parts of the body: names alone, without torch."""

from collections.abc import Mapping
from typing import Final

JOINTS: Final = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
)
PARENTS: Final = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

BODY_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "limb": tuple(
        f"{side}_{joint}"
        for joint in ("hip", "knee", "shoulder", "elbow")
        for side in ("left", "right")
    ),
    "torso": ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"),
    "foot": ("left_ankle", "right_ankle", "left_foot", "right_foot"),
    "head": ("neck", "head"),
    "hand": ("left_wrist", "right_wrist", "left_hand", "right_hand"),
}


def other_side(joint: str) -> str:
    """Return the name of the joint on the other side; a joint in the middle is its own other side."""
    side, _, rest = joint.partition("_")
    return f"{'right' if side == 'left' else 'left'}_{rest}" if side in ("left", "right") else joint


MIRRORED_JOINTS: Final = tuple(JOINTS.index(other_side(joint)) for joint in JOINTS)
