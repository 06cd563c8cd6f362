"""Errors of predicted bodies in millimetres, under a stated protocol."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body.parts import JOINTS

MM = 1000.0
HIPS = (JOINTS.index("left_hip"), JOINTS.index("right_hip"))


@dataclass(frozen=True)
class Protocol:
    """What is brought together before MPVPE and MPJPE are measured: nothing, the pelvis, or the hips.

    Joints are the 24 of the SMPL skeleton, the ground truth is the neutral body.
    """

    alignment: Literal["none", "pelvis", "hips"]

    def origin(self, joints: Float[Tensor, "b 24 3"]) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) of each body that is moved to zero."""
        if self.alignment == "none":
            return torch.zeros_like(joints[:, :1])
        if self.alignment == "pelvis":
            return joints[:, :1]
        return joints[:, HIPS].mean(1, keepdim=True)

    def __str__(self) -> str:
        return f"alignment {self.alignment}, 24 SMPL joints, neutral body"


def mean_distance_mm(
    pred: Float[Tensor, "b p 3"], true: Float[Tensor, "b p 3"]
) -> Float[Tensor, "b"]:
    """Return the mean Euclidean distance (mm) of corresponding points (m) of each body."""
    return (pred - true).norm(dim=-1).mean(1) * MM


def similarity_align(
    pred: Float[Tensor, "b p 3"], true: Float[Tensor, "b p 3"]
) -> Float[Tensor, "b p 3"]:
    """Return `pred` moved, turned and scaled to fit `true` best (Procrustes, no reflection)."""
    pred_mean, true_mean = pred.mean(1, keepdim=True), true.mean(1, keepdim=True)
    a, b = (pred - pred_mean).double(), (true - true_mean).double()
    u, s, vh = torch.linalg.svd(a.transpose(1, 2) @ b)
    sign = torch.ones_like(s)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    scale = (s * sign).sum(1) / a.square().sum((1, 2)).clamp_min(1e-12)
    return (scale[:, None, None] * a @ rotation).to(pred.dtype) + true_mean


def body_errors(
    pred_vertices: Float[Tensor, "b v 3"],
    pred_joints: Float[Tensor, "b 24 3"],
    true_vertices: Float[Tensor, "b v 3"],
    true_joints: Float[Tensor, "b 24 3"],
    protocol: Protocol,
) -> dict[str, Float[Tensor, "b"]]:
    """Return `mpvpe_mm`, `mpjpe_mm` and `pa_mpjpe_mm` of each body."""
    pred_origin, true_origin = protocol.origin(pred_joints), protocol.origin(true_joints)
    return {
        "mpvpe_mm": mean_distance_mm(pred_vertices - pred_origin, true_vertices - true_origin),
        "mpjpe_mm": mean_distance_mm(pred_joints - pred_origin, true_joints - true_origin),
        "pa_mpjpe_mm": mean_distance_mm(similarity_align(pred_joints, true_joints), true_joints),
    }
