"""Errors of predicted bodies in millimetres, and the points that a protocol measures and aligns."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel
from pmnet.body.keypoints import H36M, J14, J17, J24, J24_HIPS, J24_PELVIS
from pmnet.body.parts import JOINTS
from pmnet.evaluation.protocols import Alignment, MeasuredJoints

MM = 1000.0
HIPS = (JOINTS.index("left_hip"), JOINTS.index("right_hip"))
H36M_HIPS: Final = (H36M.index("right_hip"), H36M.index("left_hip"))
IN_J24: Final = {"j14": [J24.index(name) for name in J14], "j17": [J24.index(name) for name in J17]}
# SPIN's H36M_TO_J14 and H36M_TO_J17
IN_H36M: Final = {
    "j14": [H36M.index(name) for name in J14],
    "j17": [H36M.index(name) for name in J17],
}
FEWEST: Final = 3  # joints that a similarity transform needs


@runtime_checkable
class MeasuredPoints(Protocol):
    """What a protocol needs of predictions: joints, origins, and vertices (m) if there are any."""

    @property
    def vertices(self) -> Float[Tensor, "b v 3"] | None:
        """Return the vertices."""

    def measured(self, joints: MeasuredJoints) -> Float[Tensor, "b j 3"]:
        """Return the joints of MPJPE."""

    def origin(self, alignment: Alignment) -> Float[Tensor, "b 1 3"]:
        """Return the point that is moved to zero."""


@dataclass(frozen=True)
class BodyPoints:
    """Posed bodies: vertices and the joints of the skeleton (m); other points are made of the vertices."""

    body: BodyModel
    vertices: Float[Tensor, "b v 3"]
    skeleton: Float[Tensor, "b 24 3"]

    @cached_property
    def j24(self) -> Float[Tensor, "b 24 3"]:
        """Return the annotated joints (m), by J_regressor_extra."""
        return self.body.keypoints(self.vertices)

    @cached_property
    def h36m(self) -> Float[Tensor, "b 17 3"]:
        """Return the joints of Human3.6M (m), by J_regressor_h36m."""
        return self.body.h36m_joints(self.vertices)

    def at(self, rows: Int[Tensor, "r"]) -> "BodyPoints":
        """Return some of the bodies."""
        return BodyPoints(self.body, self.vertices[rows], self.skeleton[rows])

    def measured(self, joints: MeasuredJoints) -> Float[Tensor, "b j 3"]:
        """Return the joints (m) of MPJPE."""
        if joints == "smpl24":
            return self.skeleton
        regressor, chosen = joints.split("_")
        if regressor == "j24":
            return self.j24[:, IN_J24[chosen]]
        return self.h36m[:, IN_H36M[chosen]]

    def origin(self, alignment: Alignment) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) of each body that is moved to zero."""
        if alignment == "none":
            return torch.zeros_like(self.skeleton[:, :1])
        if alignment == "pelvis":
            return self.skeleton[:, :1]
        if alignment == "smpl_hips":
            return self.skeleton[:, HIPS].mean(1, keepdim=True)
        if alignment == "mpii_pelvis":
            return self.j24[:, J24_PELVIS, None]
        if alignment == "h36m_pelvis":
            return self.h36m[:, :1]
        return self.h36m[:, H36M_HIPS].mean(1, keepdim=True)


@dataclass(frozen=True)
class AnnotatedPoints:
    """The 3D joints of an annotation file (m), and which of them are known.

    They are the skeleton's 24 where the measured joints are `smpl24`, and J24 otherwise.
    """

    points: Float[Tensor, "b 24 3"]
    known: Bool[Tensor, "b 24"]

    def measured(
        self, joints: MeasuredJoints
    ) -> tuple[Float[Tensor, "b j 3"], Bool[Tensor, "b j"]]:
        """Return the joints (m) of MPJPE, and which of them are known."""
        if joints == "smpl24":
            return self.points, self.known
        chosen = IN_J24[joints.split("_")[1]]
        return self.points[:, chosen], self.known[:, chosen]

    def _of_origin(self, alignment: Alignment) -> list[int]:
        """Return the joints whose middle is the origin."""
        return {
            "pelvis": [0],
            "smpl_hips": list(HIPS),
            "lsp_hips": list(J24_HIPS),
        }.get(alignment, [J24_PELVIS])

    def origin(self, alignment: Alignment) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) that is moved to zero; for the pelvis of H36M, it is the file's own."""
        return self.points[:, self._of_origin(alignment)].mean(1, keepdim=True)

    def measurable(self, joints: MeasuredJoints, alignment: Alignment) -> Bool[Tensor, "b"]:
        """Return where enough joints, and those of the origin, are known: no other origin stands in."""
        enough = self.measured(joints)[1].sum(1) >= FEWEST
        return enough & self.known[:, self._of_origin(alignment)].all(1)


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


def mpjpe_mm(
    pred: Float[Tensor, "b j 3"], true: Float[Tensor, "b j 3"], known: Bool[Tensor, "b j"]
) -> Float[Tensor, "b"]:
    """Return the mean distance (mm) of the known joints (m) of each body."""
    return ((pred - true).norm(dim=-1) * known).sum(1) / known.sum(1) * MM


def pa_mpjpe_mm(
    pred: Float[Tensor, "b j 3"], true: Float[Tensor, "b j 3"], known: Bool[Tensor, "b j"]
) -> Float[Tensor, "b"]:
    """Return MPJPE (mm) after the similarity that fits the known joints best: one per sample."""
    return mpjpe_mm(similarity_align(pred, true, known), true, known)


def correct_joints(
    pred: Float[Tensor, "*b 3"], true: Float[Tensor, "*b 3"], threshold_mm: float
) -> Bool[Tensor, "*b"]:
    """Return which joints (m) are nearer to the truth than the threshold: PCK's rule, `<`."""
    return (pred - true).norm(dim=-1) * MM < threshold_mm


def acceleration_error(
    pred: Float[Tensor, "t j 3"], true: Float[Tensor, "t j 3"], frames_per_s: float = 1.0
) -> Float[Tensor, "t-2"]:
    """Return the mean error of the joints' acceleration at the inner frames of a clip.

    It is the norm of the difference of second differences, in mm per frame^2; with the frame rate in
    mm/s^2 (WHAM prints m/s^2).
    """
    gaps = pred - true
    second = gaps[2:] - 2 * gaps[1:-1] + gaps[:-2]
    return second.norm(dim=-1).mean(1) * MM * frames_per_s**2
