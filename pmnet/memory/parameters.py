"""The space of plain parameters (naive)."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.memory.space import Bounds, Few, Whole
from pmnet.rotations import rot6d_to_rotmat, rotmat_to_rot6d


class ParameterSpace:
    """The parameters as one vector of 24 x 6 + 10 numbers: ordinary K-Means (Table II, naive)."""

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return the point itself: it is short."""
        return self.embed(params)

    def bounds(self, params: BodyParams, coordinates: Few, points: Whole = None) -> Bounds:
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

    def statistics(self, params: BodyParams) -> Float[Tensor, "b s"]:
        """Return the point."""
        return self.embed(params)

    def mean_body(self, means: Float64[Tensor, "k s"]) -> BodyParams:
        """Return the mean of the numbers, brought back to rotations."""
        rotmats = rot6d_to_rotmat(means[:, :-10].reshape(-1, 24, 6))
        return BodyParams(rotmats.float(), means[:, -10:].float())
