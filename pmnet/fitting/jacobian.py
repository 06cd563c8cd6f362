"""Posed points and their derivatives by rotations, translation and shape.

A rotation increment w_j (world frame) turns all that hangs on joint j about the joint:
d v / d w_j = -[v_j - W_j p_j]x, where v_j is the sum of the posed terms of the point v that belong to j
or to a joint below it, W_j the sum of their weights, and p_j the joint. Pose correctives change the points,
but are left out of the derivative: they are millimetres.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import PARENTS
from pmnet.fitting.points import ABOVE, BodyPoints

JOINTS: Final = len(PARENTS)
LEAST_LEVER: Final = 1e-3  # a joint that carries less of every point is not moved


@dataclass(frozen=True)
class Forward:
    """Posed points (m, before the translation) and what their derivatives need."""

    rotations: Float[Tensor, "b 24 3 3"]
    joints: Float[Tensor, "b 24 3"]
    terms: Float[Tensor, "b 3 e"]
    points: Float[Tensor, "b m 3"]


class PointJacobian:
    """The points of a body as a function of its parameters; `active` are the joints that move a point.

    `moves_all` makes all joints active, whether they move a point or not.
    """

    def __init__(self, body: BodyModel, points: BodyPoints, moves_all: bool = False) -> None:
        self._body, self._points = body, points
        levers = points.lever_terms.view(-1, JOINTS, len(points))
        moves = (points.lever_weights.abs() > LEAST_LEVER).any(1)
        self.active = (moves | moves_all).nonzero()[:, 0]
        self._lever_terms = levers[:, self.active].flatten(1)
        self._lever_weights = points.lever_weights[self.active]
        like = points.weight
        rest = body.rest_joints(like.new_zeros(1, 10))
        steps = body.rest_joints(torch.eye(10, device=like.device, dtype=like.dtype)) - rest
        self._joint_steps = steps.permute(1, 2, 0).contiguous()  # joint, axis, beta
        self._bone_steps = self._joint_steps.clone()
        self._bone_steps[1:] -= self._joint_steps[list(PARENTS[1:])]
        self._above = ABOVE.to(like)
        # the terms of a point that one joint moves, as one: blend shapes and weight by joint and point
        index = points.joint, points.point
        shapes = like.new_zeros(JOINTS, len(points), 3, 10)
        shapes.index_put_(index, points.shapes.permute(2, 1, 0), accumulate=True)
        self._shapes = shapes.permute(0, 2, 3, 1).reshape(JOINTS * 3, -1)
        self._shares = like.new_zeros(JOINTS, len(points))
        self._shares.index_put_(index, like, accumulate=True)

    @property
    def width(self) -> int:
        """Return the number of unknowns of one frame: rotations of the active joints, translation."""
        return 3 * len(self.active) + 3

    def forward(self, params: BodyParams) -> Forward:
        """Return the posed points."""
        rotations, joints = self._body.skeleton(params)
        terms = self._points.terms(self._body, params, (rotations, joints))
        return Forward(rotations, joints, terms, (terms @ self._points.to_points).mT)

    def by_motion(self, at: Forward) -> Float[Tensor, "b d k"]:
        """Return the derivatives by w of the active joints and by the translation; axis before point."""
        b, active, m = len(at.points), len(self.active), len(self._points)
        levers = (at.terms @ self._lever_terms).view(b, 3, active, m)
        x, y, z = (levers - self._lever_weights * at.joints[:, self.active].mT[..., None]).unbind(1)
        slopes = at.terms.new_zeros(b, self.width, 3, m)
        by_turn = slopes[:, :-3].view(b, active, 3, 3, m)
        by_turn[:, :, 1, 0], by_turn[:, :, 2, 0] = z, -y
        by_turn[:, :, 0, 1], by_turn[:, :, 2, 1] = -z, x
        by_turn[:, :, 0, 2], by_turn[:, :, 1, 2] = y, -x
        for axis in range(3):
            slopes[:, axis - 3, axis] = 1
        return slopes.flatten(2)

    def by_shape(self, at: Forward) -> Float[Tensor, "b 10 k"]:
        """Return the derivatives by the betas."""
        b, m = len(at.points), len(self._points)
        carrier = torch.cat([torch.zeros_like(at.rotations[:, :1]), at.rotations], 1)
        carrying = carrier[:, [parent + 1 for parent in PARENTS]]
        bones = carrying @ self._bone_steps
        bones[:, 0] = self._joint_steps[0]
        moved = (self._above.T @ bones.flatten(2)).view(b, JOINTS, 3, 10)
        shift = moved - at.rotations @ self._joint_steps  # of the joints' transforms
        by_shift = shift.permute(0, 2, 3, 1).reshape(b * 30, JOINTS) @ self._shares
        turns = at.rotations.permute(0, 2, 1, 3).reshape(b * 3, JOINTS * 3)
        slopes = by_shift.view(b, 3, 10, m) + (turns @ self._shapes).view(b, 3, 10, m)
        return slopes.transpose(1, 2).flatten(2)
