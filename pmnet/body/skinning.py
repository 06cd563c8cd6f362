"""Vertices of many bodies, block by block, each with only the joints and correctives that move it.

Most pose correctives of the open body are zero away from their joint, so that this needs a fifth of the
products of `BodyModel.vertices`. Only exact zeros are left out: a body with dense correctives takes all
products. The numbers are the same either way.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body.model import BodyModel
from pmnet.body.params import BodyParams
from pmnet.core.cuda_graph import run_concurrently
from pmnet.core.device import has_kernels

# joints whose vertices make a block: nearly the same joints move them, and large blocks cost little overhead
NEIGHBOURS = (
    (0, 3),  # hips and belly
    (6, 9, 13, 14),  # chest
    (12, 15),  # neck and head
    (1, 4, 7, 10),  # legs
    (2, 5, 8, 11),
    (16, 18),  # arms
    (17, 19),
    (20, 22),  # hands
    (21, 23),
)
CPU_BODIES, GPU_BODIES = 256, 1 << 14  # at a time
CPU_VERTICES = 512  # of a block: what is made of them at a time stays in a cache


@dataclass(frozen=True)
class Block:
    """Vertices that follow neighbouring joints, with the joints and features that move them."""

    vertices: Int[Tensor, "v"]
    joints: Int[Tensor, "j"]
    features: Int[Tensor, "f"]
    template: Float[Tensor, "3*v"]
    directions: Float[Tensor, "f 3*v"]
    skinning: Float[Tensor, "j v"]  # skinning weights times the weight of the vertex


class VertexBlocks:
    """The vertices of a body times their weights; vertices of weight zero are left out."""

    def __init__(self, body: BodyModel, weights: Float[Tensor, "v"]) -> None:
        self.body, self.weights = body, weights
        rows = neighbours(body, weights != 0)
        fused = has_kernels(weights.device)
        rows = rows if fused else [part for some in rows for part in some.split(CPU_VERTICES)]
        self._blocks = [block_of(body, weights, some) for some in rows]
        self._order = torch.cat(rows)
        self.fused = Fused(body, self._blocks) if fused else None

    def points(self, params: BodyParams) -> Float[Tensor, "b 3 v"]:
        """Return the weighted vertices (weighted m) in their order, with the axis before the vertex."""
        packed = self.packed(params)
        points = packed.new_zeros(len(params), 3, len(self.body.parts))
        return points.index_copy_(2, self._order, packed.view(len(params), 3, len(self._order)))

    def packed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return the same numbers block by block, without the vertices of weight zero."""
        packed = params.betas.new_empty(len(params), 3 * len(self._order))
        for rows in at_a_time(params):
            if self.fused:
                self.fused.pack(params[rows], packed[rows])
                continue
            parts = (
                packed[rows]
                .view(-1, 3, len(self._order))
                .split([len(block.vertices) for block in self._blocks], 2)
            )
            made = posed(self.body, self._blocks, params[rows])
            for part, vertices in zip(parts, made, strict=True):
                part.copy_(vertices.transpose(0, 1))
        return packed

    def pack(self, point: Float[Tensor, "3 v"]) -> Float[Tensor, "p"]:
        """Return one point in the order of `packed`."""
        return point[:, self._order].flatten()


def at_a_time(params: BodyParams) -> list[slice]:
    """Return the rows of the bodies that are made at a time."""
    size = CPU_BODIES if params.betas.device.type == "cpu" else GPU_BODIES
    return [slice(start, min(start + size, len(params))) for start in range(0, len(params), size)]


def posed(
    body: BodyModel, blocks: Sequence[Block], params: BodyParams
) -> Iterator[Float[Tensor, "3 b v"]]:
    """Yield the weighted vertices (weighted m) of each block, with the axis first."""
    b = len(params)
    features = body.features(params).T.contiguous()
    # the numbers that an axis and a column of the transforms have for all bodies are side by side
    transforms = body.transforms(params).permute(1, 3, 2, 0).reshape(-1, 12 * b)
    largest = max((block.skinning.shape[1] for block in blocks), default=0)
    # the same memory for each block: it is in the cache
    shapes, turns = features.new_empty(3 * b * largest), features.new_empty(12 * b * largest)
    for block in blocks:
        v = block.skinning.shape[1]
        shaped, turned = shapes[: 3 * b * v].view(b, 3 * v), turns[: 12 * b * v].view(12 * b, v)
        moved = features.index_select(0, block.features).T
        torch.addmm(block.template, moved, block.directions, out=shaped)
        torch.mm(transforms.index_select(0, block.joints).T, block.skinning, out=turned)
        *columns, made = turned.view(4, 3, b, v)
        for column, coordinate in zip(columns, shaped.view(b, 3, v).unbind(1), strict=True):
            made.addcmul_(column, coordinate)
        yield made


@dataclass(frozen=True)
class FusedBlock:
    """A block, its tiles, and the number of vertices and tiles before it."""

    block: Block
    tiles: tuple[Int[Tensor, "t"], Int[Tensor, "e"], Float[Tensor, "e 64"]]
    vertex: int
    tile: int


class Fused:
    """The same vertices on a GPU: shapes by matrix products, all else by one kernel per block."""

    def __init__(self, body: BodyModel, blocks: list[Block]) -> None:
        from pmnet.body.kernels import tiles_of

        self._body = body
        self._features = torch.cat([block.features for block in blocks])
        self._parts: list[FusedBlock] = []
        vertex, self._tiles = 0, 0
        for block in blocks:
            tiles = tiles_of(block.skinning, block.joints)
            self._parts.append(FusedBlock(block, tiles, vertex, self._tiles))
            vertex, self._tiles = vertex + len(block.vertices), self._tiles + len(tiles[0]) - 1

    def pack(self, params: BodyParams, points: Float[Tensor, "b p"]) -> None:
        """Write the vertices in the order of `VertexBlocks.packed`."""
        from pmnet.body.kernels import skin

        def write(part: FusedBlock, shaped: Tensor, moves: Tensor) -> None:
            skin(shaped, moves, part.tiles, points, part.vertex)

        self._shape(params, write)

    def squared_norms(self, params: BodyParams, origin: Float[Tensor, "p"]) -> Float[Tensor, "b"]:
        """Return the squared lengths of the vertices minus a packed origin."""
        from pmnet.body.kernels import squares

        sums = params.betas.new_empty(len(params), self._tiles)

        def add(part: FusedBlock, shaped: Tensor, moves: Tensor) -> None:
            squares(shaped, moves, part.tiles, origin, part.vertex, sums, part.tile)

        self._shape(params, add)
        return sums.sum(1)

    def _shape(self, params: BodyParams, use: Callable[[FusedBlock, Tensor, Tensor], None]) -> None:
        """Call `use` with each block, its unposed bodies, and the transforms of the joints."""
        from pmnet.body.kernels import pose

        features = self._body.features(params).T.index_select(0, self._features)
        moved = features.split([len(part.block.features) for part in self._parts])
        moves, _ = pose(params.rotmats, self._body.rest_joints(params.betas))

        def shape(which: range) -> None:
            for part, own in ((self._parts[i], moved[i]) for i in which):
                shaped = torch.addmm(part.block.template, own.T, part.block.directions)
                use(part, shaped, moves)

        every = range(len(self._parts))
        run_concurrently(params.betas.device, lambda: shape(every[::2]), lambda: shape(every[1::2]))


def neighbours(body: BodyModel, chosen: Bool[Tensor, "v"]) -> list[Int[Tensor, "_"]]:
    """Return the chosen vertices, those of neighbouring joints together."""
    owner = body.lbs_weights.argmax(1)
    members = (torch.isin(owner, owner.new_tensor(joints)) & chosen for joints in NEIGHBOURS)
    return [some.nonzero()[:, 0] for some in members if some.any()]


def block_of(body: BodyModel, weights: Float[Tensor, "v"], rows: Int[Tensor, "_"]) -> Block:
    """Return some vertices as a block."""
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
