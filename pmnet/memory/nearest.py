"""The prototype nearest to a body, and the distances between prototypes."""

from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.body.distance import mean_distance_mm
from pmnet.core.errors import InputError
from pmnet.memory.prototypes import PrototypeMemory
from pmnet.memory.spaces import Space, space_of

EXACT: Final = 256  # bodies whose float64 points are made at a time
# exceeds the rounding of a float64 product of 20,670 terms, relative to the squared lengths
ROUNDING: Final = 1e-9
# relative, absolute: the points of equal bodies differ by rounding
TIE: Final = 1e-12, 1e-11


class NearestPrototype:
    """Finds the nearest prototype in the space that the memory was made in.

    Training needs it because augmentation changes the nearest prototype: a mirrored or turned body is
    another body.
    """

    def __init__(self, memory: PrototypeMemory, body: BodyModel) -> None:
        """Pose the prototypes, on the device of `body`."""
        self._space = space_of(memory.space, memory.vertex_weights, body)
        with torch.no_grad():
            points = self._space.embed(memory.prototypes.to(body.faces.device))
            self._origin = points.mean(0)  # near the bodies, so that rounding is small
            self._points = points - self._origin
            self._squared = self._points.square().sum(1)

    @torch.no_grad()
    def nearest(self, params: BodyParams) -> Int[Tensor, "b"]:
        """Return the nearest prototype of each body.

        It is one float32 matrix product on the device. A near tie may go to either prototype, which is
        good enough for a training label; `assign_exactly` is exact.
        """
        points = self._space.embed(params) - self._origin
        return (self._squared - 2 * points @ self._points.T).argmin(1)

    def relabel(
        self, params: BodyParams, has_smpl: Bool[Tensor, "b"], before: Int[Tensor, "b"]
    ) -> Int[Tensor, "b"]:
        """Return the nearest prototypes; samples without a pose keep their prototype `before`."""
        return torch.where(has_smpl, self.nearest(params), before)


@torch.no_grad()
def distances_mm(memory: PrototypeMemory, body: BodyModel) -> Float[Tensor, "k k"]:
    """Return the mean distance (mm) between the vertices of each pair of prototypes."""
    vertices = body.vertices(memory.prototypes.to(body.faces.device))
    return torch.stack([mean_distance_mm(vertices, v.expand_as(vertices)) for v in vertices])


@torch.no_grad()
def assign_exactly(space: Space, centres: BodyParams, params: BodyParams) -> Int[Tensor, "b"]:
    """Return the nearest centre of each body, by float64 points; ties go to the lower index.

    A matrix product excludes most centres; the others are compared by differences.
    """
    if len(centres) == 1:
        return torch.zeros_like(params.betas[:, 0], dtype=torch.long)
    assignments = [params.betas.new_empty(0, dtype=torch.long)]
    points = space.exact(centres)
    squared = points.square().sum(1)
    for start in range(0, len(params), EXACT):
        bodies = space.exact(params[slice(start, start + EXACT)])
        length = bodies.square().sum(1, keepdim=True)
        approximate = length + squared - 2 * bodies @ points.T
        near = approximate <= approximate.amin(1, keepdim=True) + ROUNDING * (length + squared)
        found = near.int().argmax(1)  # mostly the only one
        unclear = (near.sum(1) > 1).nonzero()[:, 0]
        body, centre = near[unclear].nonzero(as_tuple=True)
        gaps = torch.full_like(approximate[unclear], torch.inf)
        for b, c in zip(body.split(EXACT), centre.split(EXACT), strict=True):
            gaps[b, c] = (bodies[unclear[b]] - points[c]).norm(dim=1)
        least = gaps.amin(1, keepdim=True)
        found[unclear] = (gaps <= least * (1 + TIE[0]) + TIE[1]).int().argmax(1)
        assignments.append(found)
    return torch.cat(assignments)


def nearest_prototypes(
    memory: PrototypeMemory, params: BodyParams, body: BodyModel
) -> Int[Tensor, "b"]:
    """Return the index of the nearest prototype of each body, in the space of the memory.

    The answer is exact (see `assign_exactly`). The work runs where `body` is.
    Raises InputError where the memory belongs to another body model, or where a number is not finite.
    """
    refuse_nonfinite(params, "nearest_prototypes")
    if memory.body != body.sha256:
        raise InputError(
            f"the memory was made with another body model ({memory.body[:12]}) than the one given "
            f"({body.sha256[:12]}); load the body model of the memory, or cluster again with this one"
        )
    device = body.faces.device
    space = space_of(memory.space, memory.vertex_weights, body)
    return assign_exactly(space, memory.prototypes.to(device), params.to(device))


def refuse_nonfinite(params: BodyParams, caller: str) -> None:
    """Raise InputError, naming the first row, where a rotation or beta is NaN or infinite."""
    finite = torch.isfinite(params.rotmats).flatten(1).all(1) & torch.isfinite(params.betas).all(1)
    if not finite.all():
        row = int((~finite).nonzero()[0])
        raise InputError(
            f"{caller}: rotations or betas of body {row} hold a NaN or an infinite number, as do "
            f"{int((~finite).sum())} of {len(finite)} bodies; drop or correct them"
        )
