"""Kernels for a GPU: with operations of torch, intermediate results would go through its memory.

Imported only where `device.has_kernels`.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool, Float, Int
from torch import Tensor

BODIES, CENTRES = 128, 64  # the shape of a tile of scores
LENGTH = 2048  # numbers subtracted at a time: at most 32 additions follow each other in a sum


def nearest(
    bodies: Float[Tensor, "b w"],
    body_bounds: Float[Tensor, "b 3"],
    centres: Float[Tensor, "k w"],
    centre_bounds: Float[Tensor, "k 3"],
    up: float,
) -> tuple[Int[Tensor, "b"], Float[Tensor, "b"], Float[Tensor, "b"], Bool[Tensor, "b"]]:
    """Return the least product of each body with all centres: its centre, its value, its width.

    The fourth result says whether all other products exceed the value plus the width. Rows are in half
    precision; k is a multiple of CENTRES. The width is twice the product of the bounds and of `up`, plus
    the loss of the low bits of a score, which hold the index of the tile.
    """
    count, tiles = len(bodies), len(centres) // CENTRES
    bits = max(tiles - 1, 0).bit_length()
    which = torch.empty(count, dtype=torch.int32, device=bodies.device)
    low, width = (torch.empty(count, dtype=torch.float32, device=bodies.device) for _ in range(2))
    alone = torch.empty(count, dtype=torch.uint8, device=bodies.device)
    if count:
        grid = (triton.cdiv(count, BODIES),)
        _nearest[grid](
            bodies,
            body_bounds,
            centres,
            centre_bounds,
            which,
            low,
            width,
            alone,
            count,
            tiles,
            2.0 * up,
            2.0 ** (bits - 22),
            bodies.shape[1],
            BODIES,
            CENTRES,
            (1 << bits) - 1,
            num_warps=8,
            num_stages=3,
        )
    return which, low, width, alone.bool()


@triton.jit(do_not_specialize=["count", "tiles"])
@no_type_check  # it is compiled, not called
def _nearest(
    bodies,
    body_bounds,
    centres,
    centre_bounds,
    which,
    low,
    width,
    alone,
    count,
    tiles,
    up,
    packed,
    WIDTH: tl.constexpr,
    BODIES: tl.constexpr,
    CENTRES: tl.constexpr,
    TILE_BITS: tl.constexpr,
):
    row = (tl.program_id(0) * BODIES + tl.arange(0, BODIES)).to(tl.int64)
    real = row < count
    column = tl.arange(0, WIDTH)
    lane = tl.arange(0, CENTRES)
    body = tl.load(bodies + row[:, None] * WIDTH + column[None, :], real[:, None], 0.0)
    # the two least scores of each lane; their low bits hold the index of their tile
    first = tl.full((BODIES, CENTRES), float("inf"), tl.float32)
    second = tl.full((BODIES, CENTRES), float("inf"), tl.float32)
    for tile in range(tiles):
        at = (tile * CENTRES + lane)[:, None] * WIDTH + column[None, :]
        score = tl.dot(body, tl.trans(tl.load(centres + at)))
        bits = (score.to(tl.int32, bitcast=True) & (-1 - TILE_BITS)) | tile
        score = bits.to(tl.float32, bitcast=True)
        second = tl.minimum(second, tl.maximum(first, score))
        first = tl.minimum(first, score)
    least = tl.min(first, axis=1)
    at = tl.argmin(first, axis=1)
    others = tl.where(lane[None, :] == at[:, None], second, first)
    next_least = tl.min(others, axis=1)
    tile = least.to(tl.int32, bitcast=True) & TILE_BITS
    centre = tile * CENTRES + at
    bound = tl.zeros((BODIES,), tl.float32)
    for term in tl.static_range(3):
        of_body = tl.load(body_bounds + row * 3 + term, real, 0.0)
        bound += of_body * tl.load(centre_bounds + centre * 3 + term)
    lowest = least - tl.abs(least) * packed
    wide = bound * up + 2 * tl.abs(least) * packed
    tl.store(which + row, centre, real)
    tl.store(low + row, lowest, real)
    tl.store(width + row, wide, real)
    settled = next_least - tl.abs(next_least) * packed > lowest + wide
    tl.store(alone + row, settled.to(tl.uint8), real)


def gaps(
    x: Float[Tensor, "n p"],
    c: Float[Tensor, "k p"],
    row: Int[Tensor, "m"],
    column: Int[Tensor, "m"],
) -> Float[Tensor, "m"]:
    """Return the squared distances of pairs of points."""
    squared = x.new_empty(len(row))
    if len(row):
        _gaps[(len(row),)](x, c, row, column, squared, x.shape[1], LENGTH, num_warps=8)
    return squared


@triton.jit(do_not_specialize=["length"])
@no_type_check  # it is compiled, not called
def _gaps(x, c, row, column, squared, length, LENGTH: tl.constexpr):
    pair = tl.program_id(0)
    x += tl.load(row + pair).to(tl.int64) * length
    c += tl.load(column + pair).to(tl.int64) * length
    sums = tl.zeros((LENGTH,), squared.dtype.element_ty)
    for begin in range(0, length, LENGTH):
        at = begin + tl.arange(0, LENGTH)
        gap = tl.load(x + at, at < length, 0.0) - tl.load(c + at, at < length, 0.0)
        sums += gap * gap
    tl.store(squared + pair, tl.sum(sums, axis=0))


def shift(
    total: Int[Tensor, "k t"],
    parts: list[Float[Tensor, "n _"]],
    before: Int[Tensor, "n"],
    after: Int[Tensor, "n"],
    fixed: float,
) -> None:
    """Move rows of numbers from the sum of their cluster `before` to the sum of their cluster `after`.

    A negative `before` means no cluster. The columns of the parts, side by side, are rounded to integers
    in units of 1 / `fixed`; the last column of `total` counts rows.
    """
    column, rows = 0, 16
    for part in parts:
        width = part.shape[1]
        if len(part):
            _shift[(triton.cdiv(len(part), rows),)](
                part.contiguous(),
                before,
                after,
                total,
                len(part),
                width,
                total.shape[1],
                column,
                fixed,
                rows,
                triton.next_power_of_2(width),
                column == 0,
                num_warps=1,
            )
        column += width


@triton.jit(do_not_specialize=["count", "width", "stride", "column"])
@no_type_check  # it is compiled, not called
def _shift(
    part,
    before,
    after,
    total,
    count,
    width,
    stride,
    column,
    fixed: tl.constexpr,
    ROWS: tl.constexpr,
    WIDTH: tl.constexpr,
    COUNTED: tl.constexpr,
):
    first = tl.program_id(0).to(tl.int64) * ROWS
    for row in range(first, tl.minimum(first + ROWS, count)):
        of = tl.load(before + row)
        to = tl.load(after + row)
        if of != to:
            lane = tl.arange(0, WIDTH)
            real = lane < width
            number = tl.load(part + row * width + lane, real, 0.0).to(tl.float64) * fixed
            # next to 1.5 * 2^52 a float64 has no fraction: this rounds half to even
            number = ((number + 6755399441055744.0) - 6755399441055744.0).to(tl.int64)
            known = (of >= 0).to(tl.int64)
            of = tl.maximum(of, 0)
            tl.atomic_add(total + to * stride + column + lane, number, real, sem="relaxed")
            tl.atomic_add(total + of * stride + column + lane, -number * known, real, sem="relaxed")
            if COUNTED:
                tl.atomic_add(
                    total + to * stride + stride - 1, tl.full((), 1, tl.int64), sem="relaxed"
                )
                tl.atomic_add(total + of * stride + stride - 1, -known, sem="relaxed")
