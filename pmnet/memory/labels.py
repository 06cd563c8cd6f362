"""Prototypes and bodies: which prototype is near a body, and how far prototypes are from each other."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.memory.building import space_of
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.metrics import mean_distance_mm


class Labeller:
    """Finds the nearest prototype in the space that the memory was made in.

    Augmentation changes bodies, and so which is near: a mirrored or turned body is another body.
    """

    def __init__(self, memory: PrototypeMemory, body: BodyModel) -> None:
        """Pose the prototypes, on the device of `body`."""
        self._space = space_of(memory.space, memory.vertex_weights, body)
        with torch.no_grad():
            points = self._space.embed(memory.prototypes.to(body.faces.device))
            self._origin = points.mean(0)  # near the bodies, so that rounding stays small
            self._points = points - self._origin
            self._squared = self._points.square().sum(1)

    @torch.no_grad()
    def nearest(self, params: BodyParams) -> Int[Tensor, "b"]:
        """Return the nearest prototype of each body.

        One matrix product in float32 on the device: a near tie may fall to either, unlike in
        `kmeans.assign`, which no training label needs.
        """
        points = self._space.embed(params) - self._origin
        return (self._squared - 2 * points @ self._points.T).argmin(1)

    def relabel(
        self, params: BodyParams, has_smpl: Bool[Tensor, "b"], before: Int[Tensor, "b"]
    ) -> Int[Tensor, "b"]:
        """Return the nearest prototypes; samples without a pose keep what they had `before`."""
        return torch.where(has_smpl, self.nearest(params), before)


@torch.no_grad()
def distances_mm(memory: PrototypeMemory, body: BodyModel) -> Float[Tensor, "k k"]:
    """Return the mean distance (mm) of the vertices of each prototype to those of each other."""
    vertices = body.vertices(memory.prototypes.to(body.faces.device))
    return torch.stack([mean_distance_mm(vertices, v.expand_as(vertices)) for v in vertices])
