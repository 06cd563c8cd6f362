"""Errors of predicted bodies in millimetres, under a stated protocol."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pmnet.body.distance import mean_distance_mm
from pmnet.body.keypoints import J14, J17, J24, J24_HIPS, J24_PELVIS
from pmnet.body.parts import JOINTS

MM = 1000.0
HIPS = (JOINTS.index("left_hip"), JOINTS.index("right_hip"))
# the joints of a body that MPJPE is measured on
MEASURED: Final[Mapping[str, list[int]]] = {
    "smpl24": list(range(len(JOINTS))),
    "j14": [J24.index(joint) for joint in J14],
    "j17": [J24.index(joint) for joint in J17],
}
FEWEST: Final = 3  # joints that a similarity transform needs


@dataclass(frozen=True)
class Protocol:
    """What is aligned before MPVPE and MPJPE are measured: nothing, the pelvis, or the middle of the hips.

    MPJPE is over the 24 joints of the SMPL skeleton, or over the known ones of the annotated J24 that a
    data set `measured`. For MPVPE, pelvis and hips are joints of the skeleton. Annotated joints are given
    relative to the pelvis, so "none" aligns them at the pelvis too; where the pelvis is not known, the
    middle of the hips replaces it, and the other way round. The ground truth is the neutral body for
    every gender, or the body of a sample's gender if the body model file holds male and female bodies
    (`pmnet body import --male --female`).
    """

    alignment: Literal["none", "pelvis", "hips"]
    measured: Literal["smpl24", "j14", "j17"] = "smpl24"

    def origin(self, joints: Float[Tensor, "b 24 3"]) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) of each skeleton that is moved to zero."""
        if self.alignment == "none":
            return torch.zeros_like(joints[:, :1])
        if self.alignment == "pelvis":
            return joints[:, :1]
        return joints[:, HIPS].mean(1, keepdim=True)

    def joint_origin(
        self, joints: Float[Tensor, "b 24 3"], known: Bool[Tensor, "b 24"]
    ) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) of the measured joints that is moved to zero."""
        if self.measured == "smpl24":
            return self.origin(joints)
        by_pelvis = known[:, J24_PELVIS]
        if self.alignment == "hips":
            by_pelvis = ~known[:, J24_HIPS].all(1)
        hips = joints[:, J24_HIPS].mean(1, keepdim=True)
        return torch.where(by_pelvis[:, None, None], joints[:, J24_PELVIS, None], hips)

    def measurable(self, known: Bool[Tensor, "n 24"]) -> Bool[Tensor, "n"]:
        """Return whether enough joints of a body are known to measure it."""
        enough = known[:, MEASURED[self.measured]].sum(1) >= FEWEST
        if self.measured == "smpl24":
            return enough & known[:, 0] & known[:, HIPS].all(1)
        return enough & (known[:, J24_PELVIS] | known[:, J24_HIPS].all(1))

    def __str__(self) -> str:
        return describe([self])


def describe(protocols: Iterable[Protocol], gendered: bool = False) -> str:
    """Return how data sets were measured, as one phrase; all protocols have the same alignment.

    `gendered` says that the ground truth is the body of each sample's gender.
    """
    protocols = list(protocols)
    annotated = sorted({p.measured.upper() for p in protocols if p.measured != "smpl24"})
    names = ["24 SMPL"] * any(p.measured == "smpl24" for p in protocols)
    names += [f"{'/'.join(annotated)} annotated"] * bool(annotated)
    alignment: str = protocols[0].alignment
    if alignment == "none" and annotated:
        alignment += " (annotated joints: pelvis)"
    body = "true body of its gender" if gendered else "neutral body"
    return f"alignment {alignment}, {' or '.join(names)} joints, {body}"


def similarity_align(
    pred: Float[Tensor, "b p 3"],
    true: Float[Tensor, "b p 3"],
    known: Bool[Tensor, "b p"] | None = None,
) -> Float[Tensor, "b p 3"]:
    """Return `pred` (m) moved, rotated and scaled to fit `true` best (Procrustes without reflection).

    Only points that are `known` (None: all) are fitted; the others get no meaningful position.
    """
    # roma.rigid_points_registration is a quarter slower, rounds otherwise, and returns NaN for equal points
    weights = torch.ones_like(pred[..., :1]) if known is None else known[..., None].to(pred.dtype)
    pred_mean, true_mean = ((x * weights).sum(1, True) / weights.sum(1, True) for x in (pred, true))
    a, b = ((pred - pred_mean) * weights).double(), (true - true_mean).double()
    u, s, vh = torch.linalg.svd(a.transpose(1, 2) @ b)
    sign = torch.ones_like(s)
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    rotation = (u * sign[:, None]) @ vh
    scale = (s * sign).sum(1) / a.square().sum((1, 2)).clamp_min(1e-12)
    return (scale[:, None, None] * a @ rotation).to(pred.dtype) + true_mean


def vertex_errors(
    pred_vertices: Float[Tensor, "b v 3"],
    pred_joints: Float[Tensor, "b 24 3"],
    true_vertices: Float[Tensor, "b v 3"],
    true_joints: Float[Tensor, "b 24 3"],
    protocol: Protocol,
) -> dict[str, Float[Tensor, "b"]]:
    """Return `mpvpe_mm` of each body from vertices and joints (m); the joints are the skeleton's."""
    pred, true = pred_vertices - protocol.origin(pred_joints), protocol.origin(true_joints)
    return {"mpvpe_mm": mean_distance_mm(pred, true_vertices - true)}


def joint_errors(
    pred: Float[Tensor, "b 24 3"],
    true: Float[Tensor, "b 24 3"],
    known: Bool[Tensor, "b 24"],
    protocol: Protocol,
) -> dict[str, Float[Tensor, "b"]]:
    """Return `mpjpe_mm` and `pa_mpjpe_mm` of each body from joints (m), over known measured joints."""
    rooted = [x - protocol.joint_origin(x, known) for x in (pred, true)]
    kept = MEASURED[protocol.measured]
    pred, true, known = pred[:, kept], true[:, kept], known[:, kept]

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).norm(dim=-1) * known).sum(1) / known.sum(1) * MM

    return {
        "mpjpe_mm": mean(rooted[0][:, kept], rooted[1][:, kept]),
        "pa_mpjpe_mm": mean(similarity_align(pred, true, known), true),
    }
