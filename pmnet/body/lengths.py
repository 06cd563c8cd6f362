"""Squared lengths of the weighted vertices of many bodies, without keeping a vertex.

A rotation of vertices among each other (an orthogonal matrix over vertices, the same for x, y, z) keeps the
sum of their squares. The vertices that follow one joint and no pose corrective are combinations of 34 fixed
columns: three axes of the template and of each beta, and the shift of the joint. So a rotation exists after
which all but 34 are zero in every body. On the open body 306 points stand for 2,436 of the 6,890 vertices. A
body with dense correctives has no such vertices.
"""

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from pmnet.body.model import BodyModel
from pmnet.body.params import BodyParams
from pmnet.body.skinning import Block, VertexBlocks, at_a_time, block_of, neighbours, posed

BETAS: Final = 10
FIELDS: Final = 3 * (1 + BETAS) + 1
VERTICES: Final = 128  # of a block: small blocks leave out more zeros


class SquaredLengths:
    """The squared lengths of bodies as points of `VertexBlocks`, about an origin."""

    def __init__(self, vertices: VertexBlocks, origin: Float[Tensor, "3 v"]) -> None:
        self._vertices = vertices
        if vertices.fused:
            self._left_out, self._packed = 0.0, vertices.pack(origin.to(vertices.weights))
            return
        body, weights = vertices.body, vertices.weights
        single = rigid(body, weights != 0)
        others = neighbours(body, (weights != 0) & ~single.any(1))
        parts = [part for some in others for part in some.split(VERTICES)]
        self.blocks = [block_of(body, weights, part) for part in parts]
        origins = [origin[:, part] for part in parts]
        self._left_out = 0.0  # of an origin, by the columns: nothing of a mean of bodies
        for rows in (some.nonzero()[:, 0] for some in single.T if some.any()):
            block, basis = shortened(block_of(body, weights, rows))
            middle = origin[:, rows]
            self.blocks.append(block)
            origins.append(middle @ basis)
            self._left_out += float((middle - middle @ basis @ basis.T).square().sum())
        self._origins = [some[:, None].to(weights) for some in origins]

    def __call__(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return the squared lengths (weighted m^2).

        The sums of a block are pairwise: at most 32 roundings, whatever the number of vertices.
        """
        squared = torch.full_like(params.betas[:, 0], self._left_out, dtype=torch.float64)
        for rows in at_a_time(params):
            if self._vertices.fused:
                squared[rows] = self._vertices.fused.squared_norms(params[rows], self._packed)
                continue
            made = posed(self._vertices.body, self.blocks, params[rows])
            for points, origin in zip(made, self._origins, strict=True):
                squared[rows] += points.sub_(origin).square_().sum((0, 2))
        return squared.to(params.betas)


def rigid(body: BodyModel, chosen: Bool[Tensor, "v"]) -> Bool[Tensor, "v 24"]:
    """Return which of the chosen vertices follow this joint alone, and no pose corrective.

    Joints with no more such vertices than points that would replace them have none.
    """
    directions = body.rest_shape()[1]
    moves = body.lbs_weights != 0
    alone = (moves.sum(1) == 1) & (directions[BETAS:] == 0).flatten(0, 1).all(0)
    moves &= (alone & chosen)[:, None]
    return moves & (moves.sum(0) > FIELDS)


def shortened(block: Block) -> tuple[Block, Float[Tensor, "v 34"]]:
    """Return few points that have the squared lengths of a rigid block, and how vertices make them.

    All points weigh the same, so their positions are of the size of a body.
    """
    weights = block.skinning[0].double()
    fields = torch.cat([block.template[None], block.directions]).double().view(-1, len(weights))
    fields = torch.cat([fields * weights, weights[None]])
    basis = torch.linalg.qr(fields.T)[0]
    shares = weights @ basis
    equal = torch.full_like(shares, float(shares.norm()) / len(shares) ** 0.5)
    mirror = normalize(shares - equal, dim=0)
    basis -= 2 * torch.outer(basis @ mirror, mirror)
    points = ((fields[:-1] @ basis) / equal).to(block.template)
    template, directions = points[:3].flatten(), points[3:].reshape(len(block.directions), -1)
    short = Block(
        block.vertices[: len(shares)],
        block.joints,
        block.features,
        template,
        directions,
        equal[None].to(block.skinning),
    )
    return short, basis
