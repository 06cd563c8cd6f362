"""Mean rotations on a GPU in one kernel. Imported only where `device.has_kernels`."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float64
from torch import Tensor

SQUARINGS = (
    24  # raise the matrix to the power 2^24: a relative gap of 1e-6 between eigenvalues is enough
)


def mean_rotations(means: Float64[Tensor, "n 9"]) -> Float[Tensor, "n 3 3"]:
    """Return the mean rotations of groups, from the means of their matrices.

    The same as `rotations.mean_rotation` (Markley et al. 2007): the eigenvector of the largest eigenvalue of
    the mean of q q^T, by repeated squaring of that matrix.
    """
    rotations = torch.empty(len(means), 3, 3, dtype=torch.float32, device=means.device)
    if len(means):
        block = 64
        grid = (triton.cdiv(len(means), block),)
        _mean_rotations[grid](
            means.contiguous(), rotations, len(means), SQUARINGS, block, num_warps=2
        )
    return rotations


@triton.jit(do_not_specialize=["count"])
@no_type_check  # it is compiled, not called
def _mean_rotations(means, rotations, count, SQUARINGS: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = row < count
    r = means + row * 9
    r00 = tl.load(r, real, 0.0)
    r01 = tl.load(r + 1, real, 0.0)
    r02 = tl.load(r + 2, real, 0.0)
    r10 = tl.load(r + 3, real, 0.0)
    r11 = tl.load(r + 4, real, 0.0)
    r12 = tl.load(r + 5, real, 0.0)
    r20 = tl.load(r + 6, real, 0.0)
    r21 = tl.load(r + 7, real, 0.0)
    r22 = tl.load(r + 8, real, 0.0)
    # 4 q q^T, q = (x, y, z, w): see rotations.moments_of_rotmats
    xx = 1 + r00 - r11 - r22
    yy = 1 - r00 + r11 - r22
    zz = 1 - r00 - r11 + r22
    ww = 1 + r00 + r11 + r22
    xy = r01 + r10
    xz = r02 + r20
    yz = r12 + r21
    xw = r21 - r12
    yw = r02 - r20
    zw = r10 - r01
    for _ in range(SQUARINGS):
        scale = 1 / (xx + yy + zz + ww)
        xx *= scale
        yy *= scale
        zz *= scale
        ww *= scale
        xy *= scale
        xz *= scale
        yz *= scale
        xw *= scale
        yw *= scale
        zw *= scale
        xx_ = xx * xx + xy * xy + xz * xz + xw * xw
        yy_ = xy * xy + yy * yy + yz * yz + yw * yw
        zz_ = xz * xz + yz * yz + zz * zz + zw * zw
        ww_ = xw * xw + yw * yw + zw * zw + ww * ww
        xy_ = xx * xy + xy * yy + xz * yz + xw * yw
        xz_ = xx * xz + xy * yz + xz * zz + xw * zw
        yz_ = xy * xz + yy * yz + yz * zz + yw * zw
        xw_ = xx * xw + xy * yw + xz * zw + xw * ww
        yw_ = xy * xw + yy * yw + yz * zw + yw * ww
        zw_ = xz * xw + yz * yw + zz * zw + zw * ww
        xx, yy, zz, ww = xx_, yy_, zz_, ww_
        xy, xz, yz, xw, yw, zw = xy_, xz_, yz_, xw_, yw_, zw_
    # every column is now a multiple of the eigenvector; the longest is the most precise
    most = tl.maximum(tl.maximum(xx, yy), tl.maximum(zz, ww))
    in_x = xx >= most
    in_y = (yy >= most) & (xx < most)
    in_z = (zz >= most) & (xx < most) & (yy < most)
    x = tl.where(in_x, xx, tl.where(in_y, xy, tl.where(in_z, xz, xw)))
    y = tl.where(in_x, xy, tl.where(in_y, yy, tl.where(in_z, yz, yw)))
    z = tl.where(in_x, xz, tl.where(in_y, yz, tl.where(in_z, zz, zw)))
    w = tl.where(in_x, xw, tl.where(in_y, yw, tl.where(in_z, zw, ww)))
    scale = 2 / (x * x + y * y + z * z + w * w)
    to = rotations + row * 9
    tl.store(to, (1 - scale * (y * y + z * z)).to(tl.float32), real)
    tl.store(to + 1, (scale * (x * y - z * w)).to(tl.float32), real)
    tl.store(to + 2, (scale * (x * z + y * w)).to(tl.float32), real)
    tl.store(to + 3, (scale * (x * y + z * w)).to(tl.float32), real)
    tl.store(to + 4, (1 - scale * (x * x + z * z)).to(tl.float32), real)
    tl.store(to + 5, (scale * (y * z - x * w)).to(tl.float32), real)
    tl.store(to + 6, (scale * (x * z - y * w)).to(tl.float32), real)
    tl.store(to + 7, (scale * (y * z + x * w)).to(tl.float32), real)
    tl.store(to + 8, (1 - scale * (x * x + y * y)).to(tl.float32), real)
