"""Bodies as the page stores them: 85 numbers for the open body, thinned posed vertices for any other.

A user's SMPL may not be handed on, so that of any other body than the open one only posed, thinned and
rounded vertices are written, never the template, a blend shape or a skinning weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from pmnet.body import OPEN_BODY, BodyModel, BodyParams, read_body
from pmnet.body.model import body_hash
from pmnet.evaluation.prediction import posed
from pmnet.report.page.samples import STEP_M

KEPT: Final = 1200  # vertices of a thinned body


def is_open(body: BodyModel) -> bool:
    """Return whether a body model is the open body, which may be handed on."""
    return body.sha256 == body_hash(read_body(OPEN_BODY))


def as_numbers(
    params: BodyParams, cameras: Float[torch.Tensor, "n 3"] | None
) -> Float[np.ndarray, "n 85"]:
    """Return rotation vectors (rad), betas and camera of bodies; the camera is zero where there is none."""
    if cameras is None:
        cameras = torch.zeros(len(params), 3)
    return torch.cat([params.rotvecs().flatten(1), params.betas, cameras], 1).float().numpy()


@dataclass(frozen=True)
class ThinnedBody:
    """Some vertices of a body model, and the faces between them."""

    vertices: Int[np.ndarray, "v"]
    faces: Int[np.ndarray, "f 3"]

    @staticmethod
    def of(body: BodyModel, kept: int = KEPT) -> "ThinnedBody":
        """Return a body of `kept` vertices, spread evenly over the surface.

        Each other vertex belongs to the nearest kept one along the edges; a face remains where three kept
        vertices meet.
        """
        points, faces = body.rest_shape()[0].T.double().numpy(), body.faces.numpy()
        vertices = np.sort(spread_points(points, min(kept, len(points))))
        ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).T
        lengths = np.linalg.norm(points[ends[0]] - points[ends[1]], axis=1) + 1e-9
        graph = coo_array((lengths, ends), shape=(len(points), len(points))).tocsr()
        *_, nearest = dijkstra(
            graph, directed=False, indices=vertices, return_predecessors=True, min_only=True
        )
        owners = np.searchsorted(vertices, nearest)[faces]
        apart = (owners != np.roll(owners, 1, axis=1)).all(1)
        return ThinnedBody(vertices, np.unique(_from_the_least(owners[apart]), axis=0))

    def as_steps(
        self, params: BodyParams, body: BodyModel, genders: Sequence[str] = ()
    ) -> Int[np.ndarray, "n v 3"]:
        """Return posed vertices relative to the pelvis joint, in steps of `STEP_M`."""
        points = posed(params, body, genders)
        relative = points.vertices[:, self.vertices] - points.skeleton[:, :1]
        limit = np.iinfo(np.int16).max
        steps: np.ndarray = np.round(relative.numpy() / STEP_M).clip(-limit, limit)
        return steps.astype(np.int16)


def spread_points(points: Float[np.ndarray, "n 3"], count: int) -> Int[np.ndarray, "m"]:
    """Return `count` of the points, each the farthest from those before it; the first is point 0."""
    chosen = np.zeros(count, np.int64)
    distances = np.full(len(points), np.inf)
    for place in range(1, count):
        squared = ((points - points[chosen[place - 1]]) ** 2).sum(1)
        distances = np.minimum(distances, squared)
        chosen[place] = distances.argmax()
    return chosen


def _from_the_least(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "f 3"]:
    """Return the faces with their least vertex first, the same side outside: equal faces are equal rows."""
    turns = (faces.argmin(1)[:, None] + np.arange(3)) % 3
    turned: np.ndarray = np.take_along_axis(faces, turns, axis=1)
    return turned
