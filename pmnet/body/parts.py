"""Poses mirrored by the parts of the body, the part of each vertex and its weight."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body.skeleton import BODY_PARTS as BODY_PARTS
from pmnet.body.skeleton import JOINTS as JOINTS
from pmnet.body.skeleton import MIRRORED_JOINTS as MIRRORED_JOINTS
from pmnet.body.skeleton import PARENTS as PARENTS
from pmnet.body.skeleton import other_side as other_side
from pmnet.core.ranges import Weight


@dataclass(frozen=True)
class PartWeights:
    """Weights of the parts of the body other than the limbs in the P3DH distance."""

    torso: Weight
    foot: Weight
    head: Weight
    hand: Weight


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
