"""The space in which bodies are compared: weighted vertices (P3DH) or plain parameters (naive).

A point of the space may be long (20,670 numbers), so bodies are compared by few coordinates first.
`Embedding` says what the coordinates leave out; `assignment` turns that into certain answers.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.blocks import VertexBlocks
from pmnet.machine import has_kernels, in_threads
from pmnet.memory.basis import Basis
from pmnet.rotations import (
    mean_rotation,
    moments_of_rotmats,
    rot6d_to_rotmat,
    rotmat_to_rot6d,
    unitquat_to_rotmat,
)

RANK: Final = 64  # coordinates of vertices for each axis
# rounding of a float32 vertex, and how much more of coordinates, which are made of larger terms: over a
# body at least four times what is found (tests/memory/test_space.py)
NOISE_M: Final = 2.5e-7
COORDINATES: Final = 2.0
AVERAGED: Final = 256  # bodies whose rotations are averaged at a time, by one thread
SUBTRACTED: Final = 16  # points subtracted at a time: they stay in the cache of a core
UP: Final = 1 + 1e-4  # more than the rounding of the bounds themselves
PAIRWISE: Final = 32 * 2.0**-24  # relative rounding of a pairwise sum of float32


@dataclass(frozen=True)
class Bounds:
    """What the coordinates y of a point x do not tell; all are upper bounds but `squared`."""

    residual: Float[Tensor, "b"]  # length of the part of x outside of the basis
    noise: Float[Tensor, "b"]  # error of y, and of the length of x
    squared: Float[Tensor, "b"]  # |x|^2 as computed

    def __getitem__(self, rows: Int[Tensor, "n"] | slice) -> "Bounds":
        return Bounds(self.residual[rows], self.noise[rows], self.squared[rows])

    @staticmethod
    def cat(parts: "list[Bounds]") -> "Bounds":
        """Return the bounds of all parts, in order."""
        columns = zip(*((b.residual, b.noise, b.squared) for b in parts), strict=True)
        return Bounds(*(torch.cat(column) for column in columns))

    def without(self, dropped: Float[Tensor, "b t"]) -> "Bounds":
        """Return the bounds where these coordinates are left out too."""
        residual = (self.residual**2 + dropped.square().sum(1)).sqrt()
        # the noise of y may be in what is dropped
        return Bounds(UP * (residual + self.noise), self.noise, self.squared)


@runtime_checkable
class Space(Protocol):
    """Where bodies are points: what `kmeans` needs to know of them.

    `noise_of` bounds the error of the float32 points `embed`: the distance from the exact ones.
    `statistics` are numbers, side by side, whose mean over many bodies is all that `mean_body` needs.
    """

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the coordinates in an orthonormal basis, about the origin of the space, float32."""
        ...

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return what these coordinates leave out; `points` is `embed` where it is at hand."""
        ...

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return the whole points in float32, the numbers in any order; distances are Euclidean."""
        ...

    def noise_of(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return how far the point of each body may be from the exact one."""
        ...

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return the whole points in float64."""
        ...

    def statistics(self, params: BodyParams) -> list[Float[Tensor, "b _"]]:
        """Return the numbers of each body whose mean says what the mean body is."""
        ...

    def mean_body(self, means: Float64[Tensor, "k s"]) -> BodyParams:
        """Return the bodies in the middle of groups, from the means of their statistics."""
        ...


class VertexSpace:
    """Vertices times their weights: gamma = |(V_i - V_j) o W| (Algorithm 1). W = 1 gives 3DH.

    The mean body has the mean betas and, joint by joint, the mean rotation: it stays a valid body.
    `sample` is some of the bodies to be compared: the better they tell the space, the fewer
    comparisons need whole points; no answer depends on them.
    """

    def __init__(
        self, body: BodyModel, weights: Float[Tensor, "v"], sample: BodyParams | None = None
    ) -> None:
        self._body, self._weights = body, weights.to(body.faces.device)
        self._sample = None if sample is None else sample.to(body.faces.device)
        template, directions = body.rest_shape()
        # a body of large betas is a large body, made of larger terms: the rounding grows with it
        self._growth = 4 * directions[:10].norm(dim=1).amax(1) / template.norm(dim=0).amax()
        self._noise = NOISE_M * 3**0.5 * float(weights.double().norm())

    def seen(self, params: BodyParams) -> BodyParams:
        """Return the bodies that are compared: these, or what a kind of this space makes of them."""
        return params

    @cached_property
    def basis(self) -> Basis:
        """Return the basis of the coordinates, learnt when it is first needed."""
        sample = None if self._sample is None else self.seen(self._sample)
        return Basis.learn(self._body, self._weights, sample, RANK)

    @cached_property
    def _blocks(self) -> VertexBlocks:
        return VertexBlocks(self._body, self._weights)

    @cached_property
    def _exact_blocks(self) -> VertexBlocks:
        return VertexBlocks(self._body.double_precision(), self._weights.double())

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return 64 coordinates an axis, made without a vertex (weighted m)."""
        return self.basis.coordinates(self.seen(params))

    @cached_property
    def _origin(self) -> Float[Tensor, "p"]:
        return self._blocks.pack(self.basis.origin.to(self._weights))

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return the bounds by |e|^2 = |x|^2 - |y|^2, of vertices that are made and dropped."""
        if points is None:
            squared = self._blocks.squared_norms(self.seen(params), self._origin)
        else:
            squared = _squared_lengths(points, self._origin)
        noise = COORDINATES * self.noise_of(params)
        whole = (squared.double() * (1 + PAIRWISE)).sqrt() + noise
        inside = (coordinates.double().norm(dim=1) - noise).clamp_min(0)
        residual = (whole**2 - inside**2).clamp_min(0).sqrt()
        return Bounds(residual.float() * (1 + 1e-6), noise, squared)

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return weighted vertices (weighted m), float32, in the order of the blocks."""
        return self._blocks.packed(self.seen(params))

    def noise_of(self, params: BodyParams) -> Float[Tensor, "b"]:
        """Return the bound on the rounding of the vertices (weighted m), more for larger bodies."""
        return self._noise * (1 + params.betas.abs() @ self._growth)

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return weighted vertices (weighted m), float64, in the order of `embed`."""
        return self._exact_blocks.packed(self.seen(params).to(torch.float64))

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


def _squared_lengths(points: Float[Tensor, "b p"], origin: Float[Tensor, "p"]) -> Tensor:
    """Return the squared lengths of points less an origin, from sums of at most 32 roundings."""
    if has_kernels(points.device):
        from pmnet.memory.kernels import gaps

        rows = torch.arange(len(points), device=points.device)
        return gaps(points, origin[None], rows, torch.zeros_like(rows))
    parts = points.split(SUBTRACTED)
    return torch.cat([(part - origin).square_().sum(1) for part in parts])


def _mean_rotmats(means: Float64[Tensor, "k 24 3 3"]) -> Float[Tensor, "k 24 3 3"]:
    return unitquat_to_rotmat(mean_rotation(moments_of_rotmats(means))).float()


class ParameterSpace:
    """The parameters as one vector of 24 x 6 + 10 numbers: ordinary K-Means (Table II, naive)."""

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the point itself: it is short."""
        return self.embed(params)

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return that nothing is left out."""
        nothing = torch.zeros_like(coordinates[:, 0])
        return Bounds(nothing, nothing, coordinates.square().sum(1))

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
        """Return the mean of the numbers, brought back to rotations."""
        rotmats = rot6d_to_rotmat(means[:, :-10].reshape(-1, 24, 6))
        return BodyParams(rotmats.float(), means[:, -10:].float())
