"""The spaces in which bodies are compared: weighted vertices (P3DH) or plain parameters (K-Means Naive).

A point of a space may be long (20,670 numbers); `pmnet.clustering.exact` compares most bodies by a few
coordinates of their points.
"""

from functools import cached_property
from typing import Final, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.rotations import (
    mean_rotation,
    moments_of_rotmats,
    rot6d_to_rotmat,
    rotmat_to_rot6d,
    unitquat_to_rotmat,
)
from pmnet.body.skinning import VertexBlocks
from pmnet.core.device import has_kernels, in_threads

# bodies are compared as seen, or all facing the same way, or by their parameters
SpaceName = Literal["vertex", "body_pose", "parameter"]
# Rounding of a float32 vertex (m). It is measured, not proven: over a body, the error is at most a fourth of
# this (tests/memory/test_spaces.py).
VERTEX_NOISE_M: Final = 2.5e-7
AVERAGED: Final = 256  # groups whose rotations a thread averages at a time


@runtime_checkable
class Space(Protocol):
    """A space in which bodies are points: how bodies are compared and averaged.

    `noise_of` bounds the distance of the float32 points of `embed` from the exact points. `statistics` are
    columns of numbers; their means over a group of bodies are all that `mean_body` needs.
    """

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return whole points in float32, with the numbers in any order; distances are Euclidean."""
        ...

    def noise_of(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return how far the point of each body may be from its exact point."""
        ...

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return whole points in float64."""
        ...

    def statistics(self, params: BodyParams) -> list[Float[Tensor, "b _"]]:
        """Return the numbers of each body whose means determine the mean body."""
        ...

    def mean_body(self, means: Float64[Tensor, "k s"]) -> BodyParams:
        """Return the mean bodies of groups, from the means of their statistics."""
        ...


class VertexSpace:
    """Vertices times their weights: gamma = |(V_i - V_j) o W| (Algorithm 1). W = 1 gives 3DH.

    The mean body has the mean betas and, joint by joint, the mean rotation: it stays a valid body.
    """

    def __init__(self, body: BodyModel, weights: Float[Tensor, "v"]) -> None:
        self.body, self.weights = body, weights.to(body.faces.device)
        template, directions = body.rest_shape()
        # large betas make vertices of larger terms, which round more
        self._growth = 4 * directions[:10].norm(dim=1).amax(1) / template.norm(dim=0).amax()
        self._noise = VERTEX_NOISE_M * 3**0.5 * float(weights.double().norm())

    def seen(self, params: BodyParams) -> BodyParams:
        """Return the bodies as they are compared; a subclass may change them."""
        return params

    @cached_property
    def blocks(self) -> VertexBlocks:
        """Return the maker of weighted vertices in float32."""
        return VertexBlocks(self.body, self.weights)

    @cached_property
    def exact_blocks(self) -> VertexBlocks:
        """Return the maker of weighted vertices in float64."""
        return VertexBlocks(self.body.double_precision(), self.weights.double())

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return weighted vertices (weighted m), float32, in the order of the blocks."""
        return self.blocks.packed(self.seen(params))

    def noise_of(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return the bound on the rounding of the vertices (weighted m), more for larger bodies."""
        return self._noise * (1 + params.betas.abs() @ self._growth)

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return weighted vertices (weighted m), float64, in the order of `embed`."""
        return self.exact_blocks.packed(self.seen(params).to(torch.float64))

    def statistics(self, params: BodyParams) -> list[Float[Tensor, "b _"]]:
        """Return rotation matrices and betas."""
        return [params.rotmats.flatten(1), params.betas]

    def mean_body(self, means: Float64[Tensor, "k s"]) -> BodyParams:
        """Return mean betas and mean rotations (Markley et al. 2007)."""
        rotmats = means[:, :-10].reshape(-1, 24, 3, 3)
        if has_kernels(means.device):
            from pmnet.memory.kernels import mean_rotations

            middle = mean_rotations(rotmats.reshape(-1, 9)).view(-1, 24, 3, 3)
        else:
            middle = torch.cat([*in_threads(_mean_rotmats, rotmats.split(AVERAGED))])
        return BodyParams(middle, means[:, -10:].float())


class BodyPoseSpace(VertexSpace):
    """Weighted vertices without the global orientation: a control for the paper's distance.

    The mean body of a group still has the mean global orientation of its members.
    """

    def seen(self, params: BodyParams) -> BodyParams:
        """Return the bodies with the identity as global orientation."""
        rotmats = params.rotmats.clone()
        rotmats[:, 0] = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
        return BodyParams(rotmats, params.betas)


def _mean_rotmats(means: Float64[Tensor, "k 24 3 3"]) -> Float[Tensor, "k 24 3 3"]:
    return unitquat_to_rotmat(mean_rotation(moments_of_rotmats(means))).float()


class ParameterSpace:
    """The parameters as one vector of 24 x 6 + 10 numbers: ordinary K-Means (Table II, naive)."""

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return rotations in 6D and betas, side by side, float32."""
        return torch.cat([rotmat_to_rot6d(params.rotmats).flatten(1), params.betas], 1)

    def noise_of(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return zero: the numbers are copied."""
        return torch.zeros_like(params.betas[:, 0])

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return the same numbers in float64."""
        return self.embed(params).double()

    def statistics(self, params: BodyParams) -> list[Float[Tensor, "b _"]]:
        """Return the point."""
        return [self.embed(params)]

    def mean_body(self, means: Float64[Tensor, "k s"]) -> BodyParams:
        """Return the means of the numbers, with rotations orthonormalised."""
        rotmats = rot6d_to_rotmat(means[:, :-10].reshape(-1, 24, 6))
        return BodyParams(rotmats.float(), means[:, -10:].float())


def space_of(name: SpaceName, vertex_weights: Tensor | None, body: BodyModel) -> Space:
    """Return a space by name; the two spaces of vertices have these weights."""
    if name == "parameter" or vertex_weights is None:
        return ParameterSpace()
    return (BodyPoseSpace if name == "body_pose" else VertexSpace)(body, vertex_weights)
