"""The points of predictions that protocols measure: of posed bodies, of meshes alone, of joints alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.keypoints import H36M, J14, J17
from pmnet.body.rotations import axis_rotation
from pmnet.core.errors import InputError
from pmnet.evaluation.metrics import HIPS, IN_H36M, BodyPoints, MeasuredPoints
from pmnet.evaluation.prediction import posed
from pmnet.evaluation.predictions.options import Turn, Use
from pmnet.evaluation.predictions.record import JOINT_COUNTS, JointKind, Predictions
from pmnet.evaluation.protocols import Alignment, MeasuredJoints, Protocol

AXES: Final[dict[Turn, int]] = {"x180": 0, "y180": 1, "z180": 2}


@dataclass(frozen=True)
class JointPoints:
    """The joints (m) of a file that has neither bodies nor meshes."""

    kind: JointKind
    points: Float[Tensor, "b j 3"]
    source: Path
    vertices: None = None

    def measured(self, joints: MeasuredJoints) -> Float[Tensor, "b j 3"]:
        """Return the joints (m) of MPJPE; raises InputError where the file has others."""
        if (joints == "smpl24") == (self.kind == "smpl24"):
            if joints == "smpl24":
                return self.points
            regressor, chosen = joints.split("_")
            if regressor == "h36m" and self.kind == "h36m17":
                return self.points[:, IN_H36M[chosen]]
            if regressor == "h36m" and self.points.shape[1] >= JOINT_COUNTS[chosen]:
                return self.points[:, : JOINT_COUNTS[chosen]]
        raise InputError(
            f"{self.source}: has the joints {self.kind}, but the protocol measures {joints}; choose another "
            "protocol with --protocol, or give pose and betas, or vertices"
        )

    def origin(self, alignment: Alignment) -> Float[Tensor, "b 1 3"]:
        """Return the point (m) that is moved to zero; raises InputError where the file does not have it."""
        if alignment == "none":
            return torch.zeros_like(self.points[:, :1])
        names = {"h36m17": H36M, "j14": J14, "j17": J17}.get(self.kind, ())
        of_joints: list[int] = []
        if self.kind == "smpl24" and alignment in ("pelvis", "smpl_hips"):
            of_joints = [0] if alignment == "pelvis" else list(HIPS)
        elif alignment == "h36m_pelvis" and "pelvis" in names:
            of_joints = [names.index("pelvis")]
        elif alignment == "lsp_hips" and names:
            of_joints = [names.index("right_hip"), names.index("left_hip")]
        if not of_joints:
            raise InputError(
                f"{self.source}: has the joints {self.kind}, but the protocol aligns at {alignment}; choose "
                "another protocol with --protocol, or give pose and betas, or vertices"
            )
        return self.points[:, of_joints].mean(1, keepdim=True)


@dataclass(frozen=True)
class PredictedPoints:
    """The predictions by the columns that are used, turned by half a turn where the user says so."""

    predictions: Predictions
    body: BodyModel
    use: Use
    turn: Turn = "none"

    @torch.no_grad()
    def of(self, rows: np.ndarray, protocol: Protocol, genders: Sequence[str]) -> MeasuredPoints:
        """Return the points of some rows; `genders` are those of their samples.

        Where the protocol poses the prediction with the gender of the truth, meshes are taken as they are.
        """
        if self.use == "pose":
            own = genders if protocol.prediction == "own" else ()
            return posed(self._turned_params(rows), self.body, own)
        if self.use == "vertices":
            meshes = mesh_points(self.body, self._turned(self.predictions.vertices_of(rows)))
            if not self.has_skeleton:
                return meshes
            return replace(meshes, skeleton=self._turned(self.predictions.joints_of(rows)))
        kind: JointKind = self.predictions.joint_set  # type: ignore[assignment]
        points = self._turned(self.predictions.joints_of(rows))
        return JointPoints(kind, points, self.predictions.source)

    @property
    def has_skeleton(self) -> bool:
        """Return whether the file has the 24 joints of SMPL."""
        return self.predictions.joints is not None and self.predictions.joint_set == "smpl24"

    def _turned_params(self, rows: np.ndarray) -> BodyParams:
        params = self.predictions.params(rows)
        if self.turn != "none":
            params.rotmats[:, 0] = half_turn(self.turn) @ params.rotmats[:, 0]
        return params

    def _turned(self, points: Float[Tensor, "n p 3"]) -> Float[Tensor, "n p 3"]:
        return points if self.turn == "none" else points @ half_turn(self.turn).mT


def half_turn(turn: Turn) -> Float[Tensor, "3 3"]:
    """Return the rotation by half a turn about a camera axis, of whole numbers."""
    return axis_rotation(AXES[turn], torch.tensor(torch.pi)).round()


def mesh_points(body: BodyModel, vertices: Float[Tensor, "n v 3"]) -> BodyPoints:
    """Return the points of meshes whose pose is not known: the skeleton is that of J_regressor.

    On posed vertices it is only near the skeleton of the pose: SMPL's regressor is made for the rest pose.
    """
    return BodyPoints(body, vertices, body.reference.J_regressor @ vertices)
