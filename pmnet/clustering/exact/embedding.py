"""Points of a space as a few coordinates, with bounds on what the coordinates leave out.

`assign` turns coordinates and bounds into certain answers.
"""

from typing import Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.body.lengths import SquaredLengths
from pmnet.clustering.exact.bounds import PAIRWISE, Bounds
from pmnet.clustering.exact.projection import Projection
from pmnet.core.device import has_kernels
from pmnet.memory.spaces import ParameterSpace, Space, VertexSpace

RANK: Final = 64  # coordinates per axis
# Coordinates are sums of larger terms than vertices and round more. Their error is measured, not proven: at
# most a third of this factor times the noise of the vertices (tests/clustering/exact/test_embedding.py).
COORD_NOISE_FACTOR: Final = 2.0
SUBTRACTED: Final = 16  # points subtracted at a time: they stay in the cache of a core


@runtime_checkable
class Embedding(Protocol):
    """Coordinates of the points of a space in an orthonormal basis, about an origin."""

    space: Space

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the coordinates, float32."""
        ...

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return what these coordinates leave out; `points` is `space.embed(params)`, if already made."""
        ...


class VertexEmbedding:
    """Weighted vertices as 64 coordinates per axis, computed without any vertex.

    `sample` is some of the bodies that are compared. The better it represents them, the fewer comparisons
    need whole points; no answer depends on it.
    """

    def __init__(self, space: VertexSpace, sample: BodyParams | None = None) -> None:
        self.space: Space = space
        self._seen = space.seen
        if sample is not None:
            sample = space.seen(sample.to(space.weights.device))
        self.projection = Projection.learn(space.body, space.weights, sample, RANK)
        self._squared_lengths = SquaredLengths(space.blocks, self.projection.origin)
        self._origin = space.blocks.pack(self.projection.origin.to(space.weights))

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return 64 coordinates per axis (weighted m)."""
        return self.projection.coordinates(self._seen(params))

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return the bounds from |e|^2 = |x|^2 - |y|^2; the vertices x are made and not kept."""
        if points is None:
            squared = self._squared_lengths(self._seen(params))
        else:
            squared = _squared_lengths(points, self._origin)
        noise = COORD_NOISE_FACTOR * self.space.noise_of(params)
        whole = (squared.double() * (1 + PAIRWISE)).sqrt() + noise
        inside = (coordinates.double().norm(dim=1) - noise).clamp_min(0)
        residual = (whole**2 - inside**2).clamp_min(0).sqrt()
        return Bounds(residual.float() * (1 + 1e-6), noise, squared)


class ParameterEmbedding:
    """Points of the parameter space, which are short: they are their own coordinates."""

    def __init__(self, space: ParameterSpace) -> None:
        self.space: Space = space

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the point itself."""
        return self.space.embed(params)

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return bounds of zero: nothing is left out."""
        nothing = torch.zeros_like(coordinates[:, 0])
        return Bounds(nothing, nothing, coordinates.square().sum(1))


def embedding_of(space: Space, sample: BodyParams | None = None) -> Embedding:
    """Return the embedding of a space; see `VertexEmbedding` for `sample`."""
    if isinstance(space, VertexSpace):
        return VertexEmbedding(space, sample)
    assert isinstance(space, ParameterSpace)
    return ParameterEmbedding(space)


def _squared_lengths(points: Float[Tensor, "b p"], origin: Float[Tensor, "p"]) -> Tensor:
    """Return the squared distances of points from an origin, in pairwise sums (see PAIRWISE)."""
    if has_kernels(points.device):
        from pmnet.clustering.exact.kernels import gaps

        rows = torch.arange(len(points), device=points.device)
        return gaps(points, origin[None], rows, torch.zeros_like(rows))
    parts = points.split(SUBTRACTED)
    return torch.cat([(part - origin).square_().sum(1) for part in parts])
