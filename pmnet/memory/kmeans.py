"""K-Means over a Space (Algorithm 1): Lloyd's loop, exact assignments, memory bounded by a budget."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.errors import InputError
from pmnet.memory.space import Space
from pmnet.progress import say

CHUNK = 1024


@dataclass(frozen=True)
class Iteration:
    """One row of the history: after the assignment."""

    iteration: int
    mean_distance: float
    changed: int
    empty: int


@dataclass(frozen=True)
class Clustering:
    """Centres with the assignment of every sample to them, and how they came about."""

    centres: BodyParams
    assignments: Int[Tensor, "n"]
    distances: Float[Tensor, "n"]
    history: list[Iteration]


class Points:
    """The bodies as points of a space, a chunk at a time; kept while they fit the budget."""

    def __init__(self, space: Space, params: BodyParams, cache_gib: float) -> None:
        self.space, self.params = space, params
        self.origin = space.embed(params[slice(0, CHUNK)]).mean(0)
        fits = len(params) * self.origin.numel() * 4 <= cache_gib * 2**30
        self._kept: list[Tensor] | None = None
        if fits:
            self._kept = [self._embed(rows) for rows in self.chunks()]

    def chunks(self) -> list[slice]:
        """Return the rows of each chunk."""
        return [slice(s, s + CHUNK) for s in range(0, len(self.params), CHUNK)]

    def chunk(self, index: int) -> Float[Tensor, "b d"]:
        """Return the points of a chunk, relative to `origin` so that rounding stays small."""
        return self._kept[index] if self._kept is not None else self._embed(self.chunks()[index])

    def _embed(self, rows: slice) -> Float[Tensor, "b d"]:
        return self.space.embed(self.params[rows]) - self.origin


def kmeans(
    space: Space,
    params: BodyParams,
    k: int,
    max_iterations: int,
    tolerance: float,
    seed: int,
    cache_gib: float,
) -> Clustering:
    """Return K centres and the assignment of every body to the nearest (Algorithm 1).

    The start is K bodies drawn at random. The loop ends when no assignment changes, when the mean
    distance changes by less than the share `tolerance`, or after `max_iterations` updates; 0 keeps the
    random start (Random Select of Table II). The last step is an assignment, so that assignments and
    distances belong to the returned centres. The mean body does not minimise the vertex distance, so
    the mean distance may rise: the best iteration is returned. An empty cluster keeps its centre.
    Raises InputError where K is not between 1 and the number of bodies.
    """
    if not 1 <= k <= len(params):
        raise InputError(
            f"cluster.k is {k}: it must be from 1 to the {len(params)} training samples"
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(len(params), generator=generator)[:k].sort()[0]
    centres = params[drawn.to(params.betas.device)]
    assignments = torch.full((len(params),), -1, device=params.betas.device)
    if k == 1 and max_iterations:  # the centre of everything does not depend on the start
        centres = space.mean(params, torch.zeros_like(assignments), 1)[0]
        max_iterations = 0
    points = Points(space, params, cache_gib)
    best, least, history = None, math.inf, []
    for iteration in range(max_iterations + 1):
        previous = assignments
        assignments, distances = assign(points, centres)
        history.append(_describe(iteration, assignments, previous, distances, k))
        if best is None or history[-1].mean_distance < least:
            least = history[-1].mean_distance
            best = Clustering(centres, assignments, distances, history)
        if iteration == max_iterations or _settled(history, tolerance):
            break
        means, sizes = space.mean(params, assignments, k)
        kept = (sizes == 0).to(means.betas.device)
        centres = BodyParams(
            torch.where(kept[:, None, None, None], centres.rotmats, means.rotmats),
            torch.where(kept[:, None], centres.betas, means.betas),
        )
    assert best is not None
    return Clustering(best.centres, best.assignments, best.distances, history)


def assign(points: Points, centres: BodyParams) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the nearest centre of each body and the distance to it, as float64 would.

    float32 products decide where they can: a centre is a candidate while its distance, less a bound on
    the rounding, does not exceed the nearest one's plus its bound. Where several are left, the same
    points are subtracted in float64; where even that is within the noise of float32 skinning, the bodies
    are made anew in float64. Ties go to the lower index.
    """
    space = points.space
    c = space.embed(centres) - points.origin
    c_norm, c_double = c.norm(dim=1), c.double()
    assignments, distances = [], []
    exact_centres: Tensor | None = None
    for index, rows in enumerate(points.chunks()):
        x = points.chunk(index)
        x_norm = x.norm(dim=1, keepdim=True)
        squared = x_norm**2 + c_norm**2 - 2 * x @ c.T
        # |fl(x.c) - x.c| <= d eps |x||c| for any order of summation
        eps = torch.finfo(x.dtype).eps
        rounding = 2 * x.shape[1] * eps * c_norm * (2 * x_norm + c_norm) + 8 * eps * x_norm**2
        low = (squared - rounding).clamp_min(0).sqrt() - 2 * space.noise
        high = (squared + rounding).clamp_min(0).sqrt() + 2 * space.noise
        nearest = high.argmin(1)
        candidates = low <= high.gather(1, nearest[:, None])
        unsure = (candidates.sum(1) > 1).nonzero()[:, 0]
        if len(unsure):
            # the same points without rounding: what is left is the noise of the points themselves
            found = _distances(x[unsure].double(), c_double, candidates[unsure])
            nearest[unsure] = found.argmin(1)
            close = found - 4 * space.noise <= found.amin(1, keepdim=True)
            unsure, close = unsure[close.sum(1) > 1], close[close.sum(1) > 1]
        if len(unsure):
            if exact_centres is None:
                exact_centres = space.exact(centres)
            found = _distances(space.exact(points.params[rows][unsure]), exact_centres, close)
            # equal bodies differ by rounding of the two forward passes only
            tied = found <= found.amin(1, keepdim=True) * (1 + 1e-12) + 1e-11
            nearest[unsure] = tied.long().argmax(1)
        assignments.append(nearest)
        distances.append((x - c[nearest]).norm(dim=1))
    return torch.cat(assignments), torch.cat(distances)


def _distances(bodies: Tensor, centres: Tensor, pairs: Tensor) -> Float[Tensor, "b k"]:
    """Return the distances of the wanted `pairs` by subtraction, infinity elsewhere."""
    row, centre = pairs.nonzero(as_tuple=True)
    distances = torch.full(pairs.shape, torch.inf, dtype=torch.float64, device=bodies.device)
    for start in range(0, len(row), CHUNK):
        r, c = row[start : start + CHUNK], centre[start : start + CHUNK]
        distances[r, c] = (bodies[r] - centres[c]).norm(dim=1)
    return distances


def _describe(
    iteration: int, assignments: Tensor, previous: Tensor, distances: Tensor, k: int
) -> Iteration:
    row = Iteration(
        iteration=iteration,
        mean_distance=float(distances.double().mean()),
        changed=int((assignments != previous).sum()),
        empty=int((torch.bincount(assignments, minlength=k) == 0).sum()),
    )
    say(
        f"K-Means {row.iteration}: mean distance {row.mean_distance:.4f}, "
        f"{row.changed} changed, {row.empty} empty"
    )
    return row


def _settled(history: list[Iteration], tolerance: float) -> bool:
    if len(history) < 2:
        return False
    before, now = history[-2].mean_distance, history[-1].mean_distance
    return history[-1].changed == 0 or abs(before - now) < tolerance * before
