"""Small rotations, as the solver needs them: the exponential map, its logarithm and their derivatives."""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body.rotations import rotmat_to_rotvec, rotvec_to_rotmat

NEAR_HALF_TURN: Final = 3.0  # rad


def cross_matrix(vectors: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return [v]x, the matrices with [v]x u = v x u."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def slope_of(rotvecs: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return D with log(exp(u) exp(d)) = u + D d + O(d^2) for rotation vectors u (rad).

    D is the inverse of the right Jacobian, I + [u]x / 2 + c [u]x^2; it has no limit only at a whole turn.
    """
    squared = (rotvecs * rotvecs).sum(-1)
    angle = squared.clamp(min=1e-6).sqrt()
    large = 1 / angle**2 - 0.5 / (angle * torch.tan(angle / 2).clamp(min=1e-6))
    factor = torch.where(squared < 1e-3, 1 / 12 + squared / 720, large)[..., None]
    # [u]x^2 = u u^T - |u|^2 I
    slope = (factor * rotvecs)[..., None] * rotvecs[..., None, :]
    slope.diagonal(dim1=-2, dim2=-1).add_(1 - factor * squared[..., None])
    return slope + cross_matrix(rotvecs / 2)


def log(rotmats: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Return rotation vectors (rad, at most pi long); only half turns need quaternions, which are slow."""
    skew = rotmats - rotmats.mT
    axis = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1) / 2
    cosine = (rotmats.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    sine = axis.norm(dim=-1)
    angle = torch.atan2(sine, cosine)
    rotvecs = torch.where(sine > 1e-6, angle / sine.clamp(min=1e-6), 1.0)[..., None] * axis
    near_half = angle > NEAR_HALF_TURN
    if near_half.any():
        rotvecs[near_half] = rotmat_to_rotvec(rotmats[near_half])
    return rotvecs


def turned(
    rotmats: Float[Tensor, "*b 3 3"], rotvecs: Float[Tensor, "*b 3"]
) -> Float[Tensor, "*b 3 3"]:
    """Return R exp(d), made orthogonal again: float32 rotations would drift over many steps."""
    product = rotmats @ rotvec_to_rotmat(rotvecs)
    eye = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
    # one step of Newton's iteration towards the nearest rotation
    return product @ (1.5 * eye - 0.5 * (product.mT @ product))


def nearest_rotation(matrices: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3 3"]:
    """Return the rotations R with the largest trace of R^T M (Kabsch 1976)."""
    u, _, vh = torch.linalg.svd(matrices)
    product = u @ vh
    first, second, third = product.unbind(-1)
    mirrored = (torch.linalg.cross(first, second) * third).sum(-1, keepdim=True) < 0
    u[..., 2] = torch.where(mirrored, -u[..., 2], u[..., 2])
    return u @ vh
