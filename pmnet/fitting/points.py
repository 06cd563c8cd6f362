"""Points that move with a body: markers on its skin, joints of its skeleton, sums of its vertices.

A posed vertex is a sum over joints, v = sum_j w_j (R_j x + t_j). So is a weighted sum of vertices, and each
joint needs one term of it: R_j X_j + W_j t_j, with X_j = sum_i a_i w_ij x_i and W_j = sum_i a_i w_ij. Points
are therefore kept as such terms; a regressor of hundreds of vertices costs no more than a few markers.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.parts import JOINTS, PARENTS

NEGLIGIBLE: Final = (
    1e-4  # a joint with less of a point's weight is left out, and the rest made up to 1
)
NUMBERS: Final = ("weight", "template", "shapes", "poses")


def _above() -> Bool[Tensor, "24 24"]:
    """Return whether joint i (row) is joint j or one of its ancestors."""
    above = torch.eye(len(PARENTS), dtype=torch.bool)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            above[:, joint] |= above[:, parent]
    return above


ABOVE: Final = _above()


@dataclass(frozen=True)
class BodyPoints:
    """M named points as E terms; `template`, `shapes` and `poses` make the X of a term (m, unposed)."""

    names: tuple[str, ...]
    point: Int[Tensor, "e"]
    joint: Int[Tensor, "e"]
    weight: Float[Tensor, "e"]
    template: Float[Tensor, "3 e"]
    shapes: Float[Tensor, "10 3 e"]
    poses: Float[Tensor, "207 3 e"]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: torch.device | torch.dtype) -> "BodyPoints":
        """Return a copy on another device or in another precision."""
        numbers = {name: getattr(self, name).to(device) for name in NUMBERS}
        indices = {"point": self.point, "joint": self.joint}
        if isinstance(device, torch.device):
            indices = {name: index.to(device) for name, index in indices.items()}
        return BodyPoints(self.names, **indices, **numbers)

    def select(self, points: Sequence[int]) -> "BodyPoints":
        """Return some of the points, in this order."""
        terms = torch.cat([(self.point == point).nonzero()[:, 0] for point in points])
        place = {point: row for row, point in enumerate(points)}
        point = torch.tensor([place[p] for p in self.point[terms].tolist()])
        return BodyPoints(
            tuple(self.names[point] for point in points),
            point.to(self.point.device),
            self.joint[terms],
            self.weight[terms],
            self.template[:, terms],
            self.shapes[..., terms],
            self.poses[..., terms],
        )

    @staticmethod
    def cat(parts: "Sequence[BodyPoints]") -> "BodyPoints":
        """Return the points of all parts, in order."""
        firsts = itertools.accumulate((len(part) for part in parts), initial=0)
        return BodyPoints(
            tuple(name for part in parts for name in part.names),
            torch.cat([part.point + first for part, first in zip(parts, firsts, strict=False)]),
            **{
                name: torch.cat([getattr(part, name) for part in parts], -1)
                for name in ("joint", *NUMBERS)
            },
        )

    def moved(self, shifts: Float[Tensor, "m 3"]) -> "BodyPoints":
        """Return the points moved by `shifts` (m) on the unposed body."""
        template = self.template + self.weight * shifts[self.point].T
        return replace(self, template=template)

    @cached_property
    def to_points(self) -> Float[Tensor, "e m"]:
        """Return the matrix that sums terms to points."""
        matrix = self.weight.new_zeros(len(self.weight), len(self))
        matrix[torch.arange(len(self.weight)), self.point] = 1
        return matrix

    @cached_property
    def lever_terms(self) -> Float[Tensor, "e k"]:
        """Return the matrix that sums, for joint j and point m, the terms of m that turn with j."""
        turns = ABOVE.to(self.joint.device)[:, self.joint].to(self.weight.dtype)
        return (turns.T[:, :, None] * self.to_points[:, None]).flatten(1)

    @cached_property
    def lever_weights(self) -> Float[Tensor, "24 m"]:
        """Return the share of each point that turns with each joint."""
        return (self.weight @ self.lever_terms).view(len(PARENTS), len(self))

    def rest(self, betas: Float[Tensor, "b 10"]) -> Float[Tensor, "b m 3"]:
        """Return the points (m) of unposed bodies."""
        shaped = self.template + torch.einsum("bk,kce->bce", betas, self.shapes)
        return (shaped @ self.to_points).mT

    def terms(
        self, body: BodyModel, params: BodyParams, skeleton: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "b 3 e"]:
        """Return the posed terms (m); `skeleton` holds the world rotations and positions of the joints."""
        rotations, joints = skeleton
        directions = torch.cat([self.shapes, self.poses]).flatten(1)
        shaped = torch.addmm(self.template.flatten(), body.features(params), directions)
        shaped = shaped.view(len(params), 3, -1)
        moves = joints - (rotations @ body.rest_joints(params.betas)[..., None])[..., 0]
        turn = rotations.permute(0, 2, 3, 1)[..., self.joint]  # b 3 3 e
        turned = (turn * shaped[:, None]).sum(2)
        return turned + self.weight * moves.mT[..., self.joint]

    def posed(self, body: BodyModel, params: BodyParams) -> Float[Tensor, "b m 3"]:
        """Return the points (m) of posed bodies."""
        return (self.terms(body, params, body.skeleton(params)) @ self.to_points).mT


def joint_points(body: BodyModel) -> BodyPoints:
    """Return the 24 joints of the skeleton; a joint is carried by its parent, and the root by itself."""
    zero = torch.zeros(1, 10, device=body.faces.device, dtype=body.lbs_weights.dtype)
    rest = body.rest_joints(zero)[0]
    steps = body.rest_joints(torch.eye(10, device=rest.device, dtype=rest.dtype)) - rest
    count = len(JOINTS)
    return BodyPoints(
        names=JOINTS,
        point=torch.arange(count, device=rest.device),
        joint=torch.tensor(PARENTS, device=rest.device).clamp(min=0),
        weight=torch.ones(count, device=rest.device, dtype=rest.dtype),
        template=rest.T.contiguous(),
        shapes=steps.mT.contiguous(),
        poses=rest.new_zeros(207, 3, count),
    )


def regressed_points(
    body: BodyModel, names: Sequence[str], regressor: Float[Tensor, "m v"]
) -> BodyPoints:
    """Return points that are weighted sums of vertices; each row of `regressor` sums to 1."""
    template, directions = body.rest_shape()
    used = (regressor != 0).any(0).nonzero()[:, 0]
    shares = regressor[:, used, None] * body.lbs_weights[used]  # m v 24
    total = shares.sum(1)
    total = torch.where(total.abs() > NEGLIGIBLE, total, 0)
    point, joint = total.nonzero().unbind(1)
    shares = shares.permute(0, 2, 1)[point, joint]  # e v
    # what was left out is given to the other terms of its point
    whole = torch.zeros(len(names), device=shares.device, dtype=shares.dtype)
    whole.index_add_(0, point, total[point, joint])
    shares = shares / whole[point, None]
    moved = directions[..., used] @ shares.T
    return BodyPoints(
        names=tuple(names),
        point=point,
        joint=joint,
        weight=shares.sum(1),
        template=template[:, used] @ shares.T,
        shapes=moved[:10],
        poses=moved[10:],
    )


def vertex_points(body: BodyModel, names: Sequence[str], vertices: Sequence[int]) -> BodyPoints:
    """Return vertices as points."""
    regressor = body.lbs_weights.new_zeros(len(names), len(body.lbs_weights))
    regressor[torch.arange(len(names)), torch.as_tensor(vertices)] = 1
    return regressed_points(body, names, regressor)


def rest_normals(body: BodyModel) -> Float[Tensor, "v 3"]:
    """Return the unit normals of the unposed mean body, pointing outwards."""
    vertices = body.rest_shape()[0].T
    return vertex_normals(vertices[None], body.faces)[0]


def vertex_normals(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b v 3"]:
    """Return unit normals of vertices: the normals of their faces, weighted by area."""
    corners = vertices[:, faces]
    normals = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1
    )
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(1, faces[:, corner], normals)
    return torch.nn.functional.normalize(total, dim=-1)
