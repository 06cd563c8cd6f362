"""Vertices of many bodies, block by block: only the joints and correctives that move a block are used.

On the open body most pose correctives are zero away from their joint, so this needs a fifth of the
products of `BodyModel.vertices`. Only exact zeros are left out: a body whose correctives are dense
takes its full number of products, and the same numbers come out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body.model import BodyModel
from pmnet.body.params import BodyParams

BLOCK = 512  # vertices: what a block of bodies makes of them stays in the cache of a core
CPU_BODIES, GPU_BODIES = 128, 1 << 14  # at a time


@dataclass(frozen=True)
class Block:
    """Vertices that follow the same joint, and what moves them."""

    vertices: Int[Tensor, "v"]
    joints: Int[Tensor, "j"]
    features: Int[Tensor, "f"]
    template: Float[Tensor, "3*v"]
    directions: Float[Tensor, "f 3*v"]
    skinning: Float[Tensor, "j v"]  # skinning weights times the weight of the vertex


class VertexBlocks:
    """The vertices of a body times their weights; vertices of weight zero are not made."""

    def __init__(self, body: BodyModel, weights: Float[Tensor, "v"]) -> None:
        self._body = body
        owner = body.lbs_weights.argmax(1)
        self._blocks = [
            _block(body, weights, rows)
            for joint in range(body.lbs_weights.shape[1])
            for rows in ((owner == joint) & (weights != 0)).nonzero()[:, 0].split(BLOCK)
            if len(rows)
        ]

    def points(self, params: BodyParams) -> Float[Tensor, "b 3 v"]:
        """Return the weighted vertices (weighted m) with the axis before the vertex."""
        shape = len(params), 3, len(self._body.parts)
        points = torch.zeros(shape, dtype=params.betas.dtype, device=params.betas.device)
        for rows in self._chunks(len(params)):
            for block, made in self._made(params[rows]):
                points[rows].index_copy_(2, block.vertices, made)
        return points

    def packed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return the same numbers block by block: faster, for where their order does not matter."""
        chunks = [
            torch.cat([made.flatten(1) for _, made in self._made(params[rows])], 1)
            for rows in self._chunks(len(params)) or [slice(0)]
        ]
        return torch.cat(chunks)

    def pack(self, point: Float[Tensor, "3 v"]) -> Float[Tensor, "p"]:
        """Return one point in the order of `packed`."""
        return torch.cat([point[:, block.vertices].flatten() for block in self._blocks])

    def squared_norms(self, params: BodyParams, origin: Float[Tensor, "3 v"]) -> Float[Tensor, "b"]:
        """Return the squared length of each body's `points` less the origin.

        The sums are pairwise (32 roundings at most), whatever the number of vertices.
        """
        squared = torch.zeros_like(params.betas[:, 0])
        origins = [origin[:, block.vertices] for block in self._blocks]
        for rows in self._chunks(len(params)):
            for (_, made), middle in zip(self._made(params[rows]), origins, strict=True):
                squared[rows] += _square(made.sub_(middle)).sum((1, 2))
        return squared

    def _chunks(self, count: int) -> list[slice]:
        size = CPU_BODIES if self._body.faces.device.type == "cpu" else GPU_BODIES
        return [slice(start, start + size) for start in range(0, count, size)]

    def _made(self, params: BodyParams) -> Iterator[tuple[Block, Float[Tensor, "b 3 v"]]]:
        """Yield each block with its weighted vertices."""
        b = len(params)
        features = self._body.features(params).T.contiguous()
        rotations, joints = self._body.skeleton(params)
        rest = self._body.rest_joints(params.betas)
        shifts = joints - (rotations @ rest[..., None])[..., 0]
        transforms = (
            torch.cat([rotations, shifts[..., None]], -1).transpose(0, 1).reshape(-1, b * 12)
        )
        for block in self._blocks:
            moved = features.index_select(0, block.features).T
            shaped = torch.addmm(block.template, moved, block.directions).view(b, 3, -1)
            turned = transforms.index_select(0, block.joints).T
            blended = (turned @ block.skinning).view(b, 3, 4, -1)
            made = blended[:, :, 3]
            for axis in range(3):
                made.addcmul_(blended[:, :, axis], shaped[:, axis : axis + 1])
            yield block, made


def _square(values: Tensor) -> Tensor:
    return values.mul_(values)


def _block(body: BodyModel, weights: Tensor, rows: Tensor) -> Block:
    template, directions = body.rest_shape()
    skinning, directions = body.lbs_weights[rows], directions[:, :, rows]
    joints = (skinning != 0).any(0).nonzero()[:, 0]
    features = (directions != 0).flatten(1).any(1).nonzero()[:, 0]
    return Block(
        vertices=rows,
        joints=joints,
        features=features,
        template=template[:, rows].flatten(),
        directions=directions[features].flatten(1).contiguous(),
        skinning=(skinning[:, joints] * weights[rows, None]).T.contiguous(),
    )
