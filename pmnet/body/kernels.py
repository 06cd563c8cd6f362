"""Bodies on a GPU: the skeleton, and the skinning of shapes that a matrix product has made.

With torch operations, each step of the skeleton and of the skinning goes through memory; here the steps
stay in registers. Imported only where `core.device.has_kernels` is true.
"""

from functools import cache
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body.parts import PARENTS

WARP = 32  # threads; in `_pose` each thread has one body, so that it reads only its own writes
BODIES, WARPS = 16, 8  # per tile of the skinning: 64 registers per thread
TILE = 64  # vertices per tile


def pose(
    rotmats: Float[Tensor, "b 24 3 3"], rest: Float[Tensor, "b 24 3"]
) -> tuple[Float[Tensor, "b 24 3 4"], Float[Tensor, "b 24 3"]]:
    """Return the transforms (R, p - R J) by which joints move their vertices, and the posed joints p (m).

    `rest` is J, the joints of the unposed bodies (m).
    """
    count = len(rotmats)
    moves = rotmats.new_empty(count, 24, 3, 4)
    ends = rotmats.new_empty(count, 24, 3)
    if count:
        grid, parents = (triton.cdiv(count, WARP),), _parents(rotmats.device)
        given = rotmats.contiguous(), rest.contiguous(), parents
        _pose[grid](*given, moves, ends, count, WARP, num_warps=1)
    return moves, ends


@cache
def _parents(device: torch.device) -> Int[Tensor, "24"]:
    return torch.tensor(PARENTS, dtype=torch.int32, device=device)


@triton.jit(do_not_specialize=["count"])
@no_type_check  # compiled, never called
def _pose(rotmats, rest, parents, moves, ends, count, BLOCK: tl.constexpr):
    body = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    real = body < count
    for joint in range(24):
        own = rotmats + body * 216 + joint * 9
        a0 = tl.load(own, real, 0.0)
        a1 = tl.load(own + 1, real, 0.0)
        a2 = tl.load(own + 2, real, 0.0)
        b0 = tl.load(own + 3, real, 0.0)
        b1 = tl.load(own + 4, real, 0.0)
        b2 = tl.load(own + 5, real, 0.0)
        c0 = tl.load(own + 6, real, 0.0)
        c1 = tl.load(own + 7, real, 0.0)
        c2 = tl.load(own + 8, real, 0.0)
        place = rest + body * 72 + joint * 3
        x = tl.load(place, real, 0.0)
        y = tl.load(place + 1, real, 0.0)
        z = tl.load(place + 2, real, 0.0)
        parent = tl.load(parents + joint)
        root = parent < 0
        parent = tl.maximum(parent, 0)
        above = rest + body * 72 + parent * 3
        u = x - tl.where(root, 0.0, tl.load(above, real, 0.0))
        v = y - tl.where(root, 0.0, tl.load(above + 1, real, 0.0))
        w = z - tl.where(root, 0.0, tl.load(above + 2, real, 0.0))
        # all loads of the parent come first, since a load after a store waits for it
        held = moves + body * 288 + parent * 12
        used = real & (joint > 0)
        r00 = tl.where(root, 1.0, tl.load(held, used, 0.0))
        r01 = tl.where(root, 0.0, tl.load(held + 1, used, 0.0))
        r02 = tl.where(root, 0.0, tl.load(held + 2, used, 0.0))
        r10 = tl.where(root, 0.0, tl.load(held + 4, used, 0.0))
        r11 = tl.where(root, 1.0, tl.load(held + 5, used, 0.0))
        r12 = tl.where(root, 0.0, tl.load(held + 6, used, 0.0))
        r20 = tl.where(root, 0.0, tl.load(held + 8, used, 0.0))
        r21 = tl.where(root, 0.0, tl.load(held + 9, used, 0.0))
        r22 = tl.where(root, 1.0, tl.load(held + 10, used, 0.0))
        held = ends + body * 72 + parent * 3
        p0 = tl.where(root, 0.0, tl.load(held, used, 0.0)) + r00 * u + r01 * v + r02 * w
        p1 = tl.where(root, 0.0, tl.load(held + 1, used, 0.0)) + r10 * u + r11 * v + r12 * w
        p2 = tl.where(root, 0.0, tl.load(held + 2, used, 0.0)) + r20 * u + r21 * v + r22 * w
        for axis in tl.static_range(3):
            r0 = r00 if axis == 0 else (r10 if axis == 1 else r20)
            r1 = r01 if axis == 0 else (r11 if axis == 1 else r21)
            r2 = r02 if axis == 0 else (r12 if axis == 1 else r22)
            end = p0 if axis == 0 else (p1 if axis == 1 else p2)
            g0 = r0 * a0 + r1 * b0 + r2 * c0
            g1 = r0 * a1 + r1 * b1 + r2 * c1
            g2 = r0 * a2 + r1 * b2 + r2 * c2
            made = moves + body * 288 + joint * 12 + axis * 4
            tl.store(made, g0, real)
            tl.store(made + 1, g1, real)
            tl.store(made + 2, g2, real)
            tl.store(made + 3, end - (g0 * x + g1 * y + g2 * z), real)
            tl.store(ends + body * 72 + joint * 3 + axis, end, real)


def skin(
    shaped: Float[Tensor, "b w"],
    moves: Float[Tensor, "b 24 3 4"],
    tiles: tuple[Int[Tensor, "t"], Int[Tensor, "e"], Float[Tensor, "e 64"]],
    points: Float[Tensor, "b p"],
    first: int,
) -> None:
    """Write the weighted vertices of shapes into their columns of `points`, from `first` on.

    `points` holds the x of all vertices, then y, then z; `tiles` come from `tiles_of`.
    """
    _launch(shaped, moves, tiles, points, points, first, points.shape[1] // 3, 0, True)


def squares(
    shaped: Float[Tensor, "b w"],
    moves: Float[Tensor, "b 24 3 4"],
    tiles: tuple[Int[Tensor, "t"], Int[Tensor, "e"], Float[Tensor, "e 64"]],
    origin: Float[Tensor, "p"],
    first: int,
    sums: Float[Tensor, "b s"],
    tile: int,
) -> None:
    """Write, from column `tile` on, one sum per tile: the squares of weighted vertices minus the origin."""
    _launch(shaped, moves, tiles, origin, sums, first, len(origin) // 3, tile, False)


def _launch(
    shaped: Tensor,
    moves: Tensor,
    tiles: tuple[Tensor, Tensor, Tensor],
    origin: Tensor,
    out: Tensor,
    first: int,
    total: int,
    tile: int,
    whole: bool,
) -> None:
    starts, joints, shares = tiles
    count, vertices = len(shaped), shaped.shape[1] // 3
    if count:
        grid = (triton.cdiv(count, BODIES), len(starts) - 1)
        _skin[grid](
            shaped,
            moves,
            starts,
            joints,
            shares,
            origin,
            out,
            count,
            vertices,
            first,
            total,
            out.stride(0),
            tile,
            BODIES,
            TILE,
            whole,
            num_warps=WARPS,
        )


# one kernel for all sizes: Triton would compile another one for numbers that are 1 or divisible by 16
@triton.jit(do_not_specialize=["count", "vertices", "first", "total", "stride", "tile"])
@no_type_check  # compiled, never called
def _skin(
    shaped,
    moves,
    starts,
    joints,
    shares,
    origin,
    out,
    count,
    vertices,
    first,
    total,
    stride,
    tile,
    BODIES: tl.constexpr,
    TILE: tl.constexpr,
    WHOLE: tl.constexpr,
):
    body = (tl.program_id(0) * BODIES + tl.arange(0, BODIES)).to(tl.int64)
    lane = tl.arange(0, TILE)
    vertex = tl.program_id(1) * TILE + lane
    real = body < count
    inside = vertex < vertices
    mask = real[:, None] & inside[None, :]
    at = shaped + body[:, None] * (3 * vertices) + vertex[None, :]
    ux = tl.load(at, mask, 0.0)
    uy = tl.load(at + vertices, mask, 0.0)
    uz = tl.load(at + 2 * vertices, mask, 0.0)
    x = tl.zeros((BODIES, TILE), out.dtype.element_ty)
    y = tl.zeros((BODIES, TILE), out.dtype.element_ty)
    z = tl.zeros((BODIES, TILE), out.dtype.element_ty)
    begin = tl.load(starts + tl.program_id(1))
    end = tl.load(starts + tl.program_id(1) + 1)
    for entry in range(begin, end):
        share = tl.load(shares + entry * TILE + lane)[None, :]
        move = moves + body * 288 + tl.load(joints + entry) * 12
        x += share * (
            tl.load(move, real, 0.0)[:, None] * ux
            + tl.load(move + 1, real, 0.0)[:, None] * uy
            + tl.load(move + 2, real, 0.0)[:, None] * uz
            + tl.load(move + 3, real, 0.0)[:, None]
        )
        y += share * (
            tl.load(move + 4, real, 0.0)[:, None] * ux
            + tl.load(move + 5, real, 0.0)[:, None] * uy
            + tl.load(move + 6, real, 0.0)[:, None] * uz
            + tl.load(move + 7, real, 0.0)[:, None]
        )
        z += share * (
            tl.load(move + 8, real, 0.0)[:, None] * ux
            + tl.load(move + 9, real, 0.0)[:, None] * uy
            + tl.load(move + 10, real, 0.0)[:, None] * uz
            + tl.load(move + 11, real, 0.0)[:, None]
        )
    if WHOLE:
        to = out + body[:, None] * stride + (first + vertex)[None, :]
        tl.store(to, x, mask)
        tl.store(to + total, y, mask)
        tl.store(to + 2 * total, z, mask)
    else:
        middle = origin + first + vertex
        x -= tl.load(middle, inside, 0.0)[None, :]
        y -= tl.load(middle + total, inside, 0.0)[None, :]
        z -= tl.load(middle + 2 * total, inside, 0.0)[None, :]
        square = tl.sum(x * x + y * y + z * z, axis=1)
        tl.store(out + body * stride + tile + tl.program_id(1), square, real)


def tiles_of(
    skinning: Float[Tensor, "j v"], joints: Int[Tensor, "j"]
) -> tuple[Int[Tensor, "t"], Int[Tensor, "e"], Float[Tensor, "e 64"]]:
    """Return, for each tile of vertices, the joints that move any of them and their shares.

    The first tensor holds the index of the first entry of each tile, and the number of all entries.
    """
    starts, used, shares = [0], [], []
    for part in skinning.cpu().split(TILE, 1):
        rows = (part != 0).any(1).nonzero()[:, 0]
        padded = part.new_zeros(len(rows), TILE)
        padded[:, : part.shape[1]] = part[rows]
        used.append(joints.cpu()[rows])
        shares.append(padded)
        starts.append(starts[-1] + len(rows))
    where = skinning.device
    return (
        torch.tensor(starts, dtype=torch.int32, device=where),
        torch.cat(used).to(torch.int32).to(where),
        torch.cat(shares).to(where),
    )
