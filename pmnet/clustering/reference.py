"""Algorithm 1 as the paper prints it: Lloyd's K-Means in float64, by brute force. Read this first.

`kmeans.kmeans` gives the same assignments and stops at the same iteration, hundreds of times faster. Tests
compare the two, and every test and benchmark that asks for the true nearest centre asks this module.

| here | in the paper |
| --- | --- |
| `centres` | pi_j, the K prototypes: bodies, not vectors |
| `assignments` | a_i, the index of the nearest prototype |
| `distances` | gamma_i, the distance to it: of weighted vertices in a VertexSpace |
| `mean_distance` | gamma, the mean of the gamma_i |
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.memory.files import Iteration
from pmnet.memory.nearest import TIE
from pmnet.memory.spaces import Space

BLOCK: Final = 256  # bodies whose float64 points are in memory at a time


@dataclass(frozen=True)
class Clustering:
    """K centres, the nearest of them to each body and its distance, and one row per iteration."""

    centres: BodyParams
    assignments: Int[Tensor, "n"]
    distances: Float[Tensor, "n"]
    history: list[Iteration]


def lloyd(
    space: Space, bodies: BodyParams, centres: BodyParams, max_iterations: int, tolerance: float
) -> Clustering:
    """Return the clustering that Lloyd's iterations reach from these `centres` (Algorithm 1).

    It stops after `max_iterations` updates, when no assignment changes, or when the mean distance changes
    by less than the share `tolerance`. A mean body does not minimise the distance of vertices, so the mean
    distance may rise: the iteration with the least mean distance is returned.
    """
    history: list[Iteration] = []
    before, least, best = None, math.inf, None
    for iteration in range(max_iterations + 1):
        assignments, distances = nearest_centres(space, bodies, centres)
        changed = len(bodies) if before is None else int((assignments != before).sum())
        empty = len(centres) - len(assignments.unique())
        history.append(Iteration(iteration, float(distances.mean()), changed, empty))
        if history[-1].mean_distance < least:
            least = history[-1].mean_distance
            best = Clustering(centres, assignments, distances.float(), history)
        if stops(history, tolerance):
            break
        centres, before = mean_bodies(space, bodies, centres, assignments), assignments
    assert best is not None
    return best


def nearest_centres(
    space: Space, bodies: BodyParams, centres: BodyParams
) -> tuple[Int[Tensor, "n"], Float64[Tensor, "n"]]:
    """Return the nearest centre of each body, and its distance, by whole float64 points."""
    ends = space.exact(centres)
    blocks = torch.arange(len(bodies), device=ends.device).split(BLOCK)
    parts = [nearest_points(space.exact(bodies[rows]), ends) for rows in blocks]
    assignments, distances = zip(*parts, strict=True)
    return torch.cat(assignments), torch.cat(distances)


def nearest_points(
    points: Float64[Tensor, "n p"], ends: Float64[Tensor, "k p"]
) -> tuple[Int[Tensor, "n"], Float64[Tensor, "n"]]:
    """Return the nearest end of each point, and its distance; ties go to the lower index."""
    gaps = torch.cdist(points, ends, compute_mode="donot_use_mm_for_euclid_dist")
    least = gaps.amin(1, keepdim=True)
    ties = gaps <= least * (1 + TIE[0]) + TIE[1]
    return ties.int().argmax(1), least[:, 0]  # argmax gives the first


def mean_bodies(
    space: Space, bodies: BodyParams, centres: BodyParams, assignments: Int[Tensor, "n"]
) -> BodyParams:
    """Return the mean body of each cluster: mean betas, mean rotations (Eq. 1) in a VertexSpace.

    An empty cluster keeps its centre.
    """
    statistics = torch.cat(space.statistics(bodies), 1).double()
    rotmats, betas = centres.rotmats.clone(), centres.betas.clone()
    for k in assignments.unique().tolist():
        mean = space.mean_body(statistics[assignments == k].mean(0, keepdim=True))
        rotmats[k], betas[k] = mean.rotmats[0], mean.betas[0]
    return BodyParams(rotmats, betas)


def stops(history: list[Iteration], tolerance: float) -> bool:
    """Return whether no assignment has changed, or the mean distance has changed too little."""
    if len(history) < 2:
        return False
    before, now = history[-2].mean_distance, history[-1].mean_distance
    return history[-1].changed == 0 or abs(before - now) < tolerance * before
