"""The space of bodies that all face the same way: what they do, not where they look or which way is up."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.memory.space import Bounds, VertexSpace


class BodyPoseSpace(VertexSpace):
    """Weighted vertices without the global orientation: a control for the paper's distance.

    The mean body of a group has the mean global orientation of its members, however they are turned.
    """

    def __init__(
        self, body: BodyModel, weights: Float[Tensor, "v"], sample: BodyParams | None = None
    ) -> None:
        super().__init__(body, weights, None if sample is None else _unturned(sample))

    def coordinates(self, params: BodyParams) -> Float[Tensor, "b d"]:
        """Return 64 coordinates an axis of the unturned bodies (weighted m)."""
        return super().coordinates(_unturned(params))

    def bounds(
        self,
        params: BodyParams,
        coordinates: Float[Tensor, "b d"],
        points: Float[Tensor, "b p"] | None = None,
    ) -> Bounds:
        """Return what these coordinates leave out of the unturned bodies."""
        return super().bounds(_unturned(params), coordinates, points)

    def embed(self, params: BodyParams) -> Float[Tensor, "b p"]:
        """Return weighted vertices of the unturned bodies (weighted m), float32."""
        return super().embed(_unturned(params))

    def exact(self, params: BodyParams) -> Float64[Tensor, "b p"]:
        """Return weighted vertices of the unturned bodies (weighted m), float64."""
        return super().exact(_unturned(params))


def _unturned(params: BodyParams) -> BodyParams:
    rotmats = params.rotmats.clone()
    rotmats[:, 0] = torch.eye(3, dtype=rotmats.dtype, device=rotmats.device)
    return BodyParams(rotmats, params.betas)
