"""Rotations in the four representations of the field: rotvec, rotmat, unitquat and rot6d.

A thin layer over `roma`. Quaternions are (x, y, z, w). The 6D representation of Zhou et al. (2019) holds the
first two columns of the matrix, interleaved row by row as in SPIN: (r00, r01, r10, r11, r20, r21).
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.core.vml import call_each_once

call_each_once()


def rotvec_to_rotmat(rotvec: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return rotation matrices of rotation vectors (rad)."""
    return roma.rotvec_to_rotmat(rotvec)


def rotmat_to_rotvec(rotmat: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Return rotation vectors (rad, at most pi long) of rotation matrices."""
    return roma.rotmat_to_rotvec(rotmat)


def rotmat_to_unitquat(rotmat: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Return unit quaternions (x, y, z, w), of either sign, of rotation matrices."""
    return roma.rotmat_to_unitquat(rotmat)


def unitquat_to_rotmat(unitquat: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Return rotation matrices of unit quaternions (x, y, z, w)."""
    return roma.unitquat_to_rotmat(unitquat)


def rotmat_to_rot6d(rotmat: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 6"]:
    """Return the first two columns of rotation matrices, interleaved as in SPIN."""
    return rotmat[..., :2].reshape(*rotmat.shape[:-2], 6)


def rot6d_to_rotmat(rot6d: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 3 3"]:
    """Return rotation matrices of any six numbers by Gram-Schmidt (Zhou et al. 2019)."""
    return roma.special_gramschmidt(rot6d.reshape(*rot6d.shape[:-1], 3, 2), epsilon=1e-12)


def axis_rotation(axis: int, angle: Float[Tensor, "*b"]) -> Float[Tensor, "*b 3 3"]:
    """Return rotations by `angle` (rad) about coordinate axis 0, 1 or 2."""
    rotvec = torch.zeros(*angle.shape, 3, dtype=angle.dtype, device=angle.device)
    rotvec[..., axis] = angle
    return rotvec_to_rotmat(rotvec)


def moments_of_rotmats(rotmats: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4 4"]:
    """Return q q^T, q = (x, y, z, w), of rotation matrices, or its mean from a mean of matrices.

    q q^T is linear in R, so a mean rotation needs only the sum of the rotation matrices; no sign of a
    quaternion has to be chosen. Computed in float64.
    """
    r = rotmats.double()
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    eye = torch.eye(3, dtype=r.dtype, device=r.device)
    vector = (r + r.mT + (1 - trace) * eye) / 4
    skew = r - r.mT
    mixed = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1) / 4
    top = torch.cat([vector, mixed[..., None]], -1)
    bottom = torch.cat([mixed[..., None, :], (1 + trace) / 4], -1)
    return torch.cat([top, bottom], -2)


def mean_rotation(moments: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4"]:
    """Return the unit quaternion, w >= 0, that is the mean of rotations.

    `moments` is the mean or the sum of q q^T; the mean rotation is its eigenvector of the largest
    eigenvalue. The sign of each q does not matter (Eq. 1; Markley et al. 2007, "Averaging Quaternions").

    `roma.special_procrustes` of the mean matrix gives the same float32 rotations (24,000 means compared),
    but its SVD takes 88 ms of CPU time where moments and eigh take 62 ms: 40 % more.
    """
    mean = torch.linalg.eigh(moments.double().cpu()).eigenvectors[..., -1]
    return torch.where(mean[..., 3:] < 0, -mean, mean).to(moments.device)
