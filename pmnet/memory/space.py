"""The space in which bodies are compared: weighted vertices (P3DH) or plain parameters (naive)."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.rotations import (
    mean_rotation,
    quaternion_moments,
    rot6d_to_rotmat,
    rotmat_to_rot6d,
    rotmat_to_unitquat,
    unitquat_to_rotmat,
)


@runtime_checkable
class Space(Protocol):
    """Where bodies are points: `embed` gives the point, `mean` the body in the middle of many.

    `noise` bounds the error of a float32 point: its distance (in units of the space) from `exact`.
    """

    noise: float

    def embed(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the points of bodies in float32; distances between them are Euclidean."""
        ...

    def exact(self, params: BodyParams) -> Float64[Tensor, "b d"]:
        """Return the points of bodies in float64."""
        ...

    def mean(
        self, params: BodyParams, groups: Int[Tensor, "b"], count: int
    ) -> tuple[BodyParams, Int[Tensor, "k"]]:
        """Return the mean body of each of `count` groups, and the size of each group."""
        ...


class VertexSpace:
    """Vertices times their weights: gamma = |(V_i - V_j) o W| (Algorithm 1). W = 1 gives 3DH.

    The mean body has the mean betas and, joint by joint, the mean rotation: it stays a valid body.
    """

    def __init__(self, body: BodyModel, weights: Float[Tensor, "v"]) -> None:
        self._body, self._weights = body, weights.to(body.faces.device)
        self._exact_body: BodyModel | None = None
        # fused skinning is within 1e-6 m of the exact vertex in each coordinate
        self.noise = 1e-6 * 3**0.5 * float(weights.double().norm())

    def embed(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return weighted vertices (weighted m), float32."""
        return (self._body.vertices_by_axis(params) * self._weights).flatten(1)

    def exact(self, params: BodyParams) -> Float64[Tensor, "b d"]:
        """Return weighted vertices (weighted m), float64."""
        if self._exact_body is None:
            self._exact_body = self._body.double_precision()
        vertices = self._exact_body.vertices_by_axis(params.to(torch.float64))
        return (vertices * self._weights.double()).flatten(1)

    def mean(
        self, params: BodyParams, groups: Int[Tensor, "b"], count: int
    ) -> tuple[BodyParams, Int[Tensor, "k"]]:
        """Return mean betas and mean rotations (Markley et al. 2007) of each group."""
        sizes = torch.bincount(groups, minlength=count)
        moments = quaternion_moments(rotmat_to_unitquat(params.rotmats), groups, count)
        rotmats = unitquat_to_rotmat(mean_rotation(moments)).to(params.rotmats)
        return BodyParams(rotmats, _group_mean(params.betas, groups, sizes)), sizes


class ParameterSpace:
    """The parameters as one vector of 24 x 6 + 10 numbers: ordinary K-Means (Table II, naive)."""

    noise = 1e-5

    def embed(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return rotations in 6D and betas, side by side, float32."""
        return torch.cat([rotmat_to_rot6d(params.rotmats).flatten(1), params.betas], 1)

    def exact(self, params: BodyParams) -> Float64[Tensor, "b d"]:
        """Return the same numbers in float64."""
        return self.embed(params.to(torch.float64))

    def mean(
        self, params: BodyParams, groups: Int[Tensor, "b"], count: int
    ) -> tuple[BodyParams, Int[Tensor, "k"]]:
        """Return the mean of the numbers of each group, brought back to rotations."""
        sizes = torch.bincount(groups, minlength=count)
        centre = _group_mean(self.embed(params), groups, sizes)
        rotmats = rot6d_to_rotmat(centre[:, :-10].reshape(count, 24, 6))
        return BodyParams(rotmats, centre[:, -10:]), sizes


def _group_mean(
    values: Float[Tensor, "b d"], groups: Int[Tensor, "b"], sizes: Int[Tensor, "k"]
) -> Float[Tensor, "k d"]:
    total = torch.zeros(len(sizes), values.shape[1], dtype=torch.float64, device=values.device)
    total.index_add_(0, groups, values.double())
    return (total / sizes.clamp_min(1)[:, None]).to(values.dtype)
