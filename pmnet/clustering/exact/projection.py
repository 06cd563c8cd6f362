"""A basis in which weighted bodies have few coordinates, which are computed without any vertex.

A weighted vertex is x_v = w_v sum_j s_vj (R_j (T_v + D_v f - J_j) + p_j): linear in the features f, in the
rotation R_j and in the position p_j of each joint j, with the same weights for its x, y and z. So its
projection on the columns of U is linear in them, too. With the sums over vertices done once
(`_joint_maps`), a body takes one matrix product and the rotation of 24 results.

The bodies of a data set lie near a subspace of few dimensions. The subspace depends on the body model far
more than on the poses: random poses give nearly the same one.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.skinning import VertexBlocks
from pmnet.core.device import has_kernels

LEARNT_FROM = 128  # bodies of each kind: given and random
DRAWN = 0.1  # weight of random bodies: they matter in directions that the given ones do not span
# bodies at a time, so that intermediate results stay in the cache of a CPU or in little memory of a GPU
CPU_BODIES, GPU_BODIES = 128, 1 << 14
JOINT_SPREAD_RAD = 0.4


@dataclass(frozen=True)
class Map:
    """The map from features to the columns `products`; features whose map is zero are left out."""

    products: slice
    features: Int[Tensor, "f"]
    template: Float[Tensor, "m"]
    directions: Float[Tensor, "f m"]


@dataclass(frozen=True)
class Projection:
    """Orthonormal columns U shared by the three axes, and the maps that give U^T x of a body."""

    body: BodyModel
    columns: Float[Tensor, "v r"]
    origin: Float[Tensor, "3 v"]
    maps: list[Map]
    shifts: Float[Tensor, "24 r"]
    offset: Float[Tensor, "3 r"]

    @staticmethod
    def learn(
        body: BodyModel, weights: Float[Tensor, "v"], sample: BodyParams | None, rank: int
    ) -> "Projection":
        """Return the `rank` principal directions of a sample of bodies and of random bodies.

        The origin is the mean of the sample: about it points are short, so their rounding is small.
        """
        drawn = random_bodies(LEARNT_FROM).to(body.faces.device)
        sample = sample if sample is not None and len(sample) else None
        given = drawn if sample is None else sample
        blocks = VertexBlocks(body, weights)
        points = blocks.points(given)
        origin = points.double().mean(0)
        points -= origin.to(points)
        if sample is not None:
            others = blocks.points(drawn) - origin.to(points)
            points = torch.cat([points, DRAWN * others])
        rows = points.flatten(0, 1)
        _, vectors = torch.linalg.eigh((rows @ rows.T).double().cpu())
        main = rows.double().T @ vectors[:, -rank:].flip(1).to(rows.device)
        columns = torch.linalg.qr(main)[0]
        maps, shifts = _joint_maps(body, weights.double(), columns)
        return Projection(
            body,
            columns,
            origin,
            _cut(maps.to(weights), joints=24 if has_kernels(weights.device) else 1),
            shifts.to(weights),
            (origin @ columns).to(weights),
        )

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return U^T (x - origin), float32: x, y, z of the first column, then of the next."""
        b, rank = len(params), self.shifts.shape[1]
        axes, joints = self._posed(params)
        features = self.body.features(params).T.contiguous()
        made = torch.baddbmm(
            -self.offset.expand(b, -1, -1), joints.transpose(1, 2), self.shifts.expand(b, -1, -1)
        )
        size = CPU_BODIES if features.device.type == "cpu" else GPU_BODIES
        blended = features.new_empty(min(size, b), 72 * rank)
        for start in range(0, b, size):
            rows = slice(start, min(start + size, b))
            part = blended[: rows.stop - start]
            for some in self.maps:
                moved = features[:, rows].index_select(0, some.features).T
                out = part[:, some.products]
                torch.addmm(some.template, moved, some.directions, out=out)
            made[rows].baddbmm_(axes[rows], part.view(-1, 72, rank))
        return made.transpose(1, 2).flatten(1)

    def _posed(self, params: BodyParams) -> tuple[Float[Tensor, "b 3 72"], Float[Tensor, "b 24 3"]]:
        """Return the rotations of all joints, with the axis first, and the joints (m)."""
        if has_kernels(params.betas.device):
            from pmnet.body.kernels import pose

            moves, joints = pose(params.rotmats, self.body.rest_joints(params.betas))
            rotations = moves[..., :3]
        else:
            rotations, joints = self.body.skeleton(params)
        return rotations.transpose(1, 2).reshape(len(params), 3, 72), joints


def _joint_maps(
    body: BodyModel, weights: Tensor, columns: Tensor
) -> tuple[Float[Tensor, "218 m"], Float[Tensor, "24 r"]]:
    """Return sums over v for each joint j: of w_v s_vj U_v (T_v - J_j, D_v), and of w_v s_vj U_v."""
    template, directions = (part.double() for part in body.rest_shape())
    nobody = torch.zeros(1, 10, dtype=torch.float32, device=body.faces.device)
    shapes = torch.cat([nobody, torch.eye(10).to(nobody)])
    joints = body.rest_joints(shapes).double()
    joints = torch.cat([joints[:1], joints[1:] - joints[:1]])  # mean shape, then per beta
    maps, shifts = [], []
    for joint in range(joints.shape[1]):
        rows = (body.lbs_weights[:, joint] != 0).nonzero()[:, 0]
        share = columns[rows] * (weights * body.lbs_weights[:, joint].double())[rows, None]
        rest = torch.cat([template[None, :, rows], directions[:, :, rows]])
        rest[:11] -= joints[:, joint, :, None]
        maps.append(rest @ share)
        shifts.append(share.sum(0))
    return torch.stack(maps, 1).flatten(1), torch.stack(shifts)


def _cut(maps: Float[Tensor, "218 m"], joints: int) -> list[Map]:
    """Return the maps of so many joints at a time."""
    width, cuts = maps.shape[1] // 24 * joints, []
    for start in range(0, maps.shape[1], width):
        own = slice(start, start + width)
        template, directions = maps[0, own], maps[1:, own]
        features = (directions != 0).any(1).nonzero()[:, 0]
        cuts.append(Map(own, features, template, directions[features]))
    return cuts


def random_bodies(count: int) -> BodyParams:
    """Return bodies in random poses, seen from all sides; the same bodies at every call."""
    generator = torch.Generator().manual_seed(0)
    rotvecs = torch.randn(count, 24, 3, generator=generator) * JOINT_SPREAD_RAD
    rotvecs[:, 0] *= math.pi / JOINT_SPREAD_RAD
    return BodyParams.from_rotvecs(rotvecs, torch.randn(count, 10, generator=generator))
