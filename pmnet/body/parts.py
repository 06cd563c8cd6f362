"""Joints of the SMPL skeleton, the five parts of the body and the weight of each vertex."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.core.ranges import Weight


@dataclass(frozen=True)
class PartWeights:
    """Weights of the parts of the body other than the limbs in the P3DH distance."""

    torso: Weight
    foot: Weight
    head: Weight
    hand: Weight


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


def mirror_rotvecs(rotvecs: Float[Tensor, "*b 24 3"]) -> Float[Tensor, "*b 24 3"]:
    """Return the pose mirrored left to right, for rotation vectors with the body's x to its left."""
    return rotvecs[..., MIRRORED_JOINTS, :] * rotvecs.new_tensor([1.0, -1.0, -1.0])


def mirror_rotmats(rotmats: Float[Tensor, "*b 24 3 3"]) -> Float[Tensor, "*b 24 3 3"]:
    """Return the pose mirrored left to right: M R M of the joint on the other side, M = diag(-1, 1, 1).

    Exact, and free of copies to the device, so that a CUDA graph can record it.
    """
    joints = rotmats.unbind(-3)
    mirrored = torch.stack([joints[joint] for joint in MIRRORED_JOINTS], -3)
    mirrored[..., 0, 1:] *= -1
    mirrored[..., 1:, 0] *= -1
    return mirrored


def vertex_parts(lbs_weights: Float[Tensor, "v 24"]) -> Int[Tensor, "v"]:
    """Return the index in BODY_PARTS of each vertex: the part of the joint that moves it most."""
    part_of_joint = torch.empty(len(JOINTS), dtype=torch.long)
    for index, joints in enumerate(BODY_PARTS.values()):
        part_of_joint[[JOINTS.index(joint) for joint in joints]] = index
    return part_of_joint.to(lbs_weights.device)[lbs_weights.argmax(1)]


def vertex_weights(parts: Int[Tensor, "v"], weights: Mapping[str, float]) -> Float[Tensor, "v"]:
    """Return W, the weight of each vertex, from the weights of the five parts (Algorithm 1)."""
    table = torch.tensor([weights[part] for part in BODY_PARTS], dtype=torch.float32)
    return table.to(parts.device)[parts]
