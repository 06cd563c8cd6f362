"""The nearest centre of every body, as brute force in float64 would find it, at a fraction of the work.

With x = U y + e, e orthogonal to U, for a body and c likewise for a centre,

    |x - c|^2 - |x|^2 = |c|^2 - 2 y_x.y_c - 2 e_x.e_c,   |e_x.e_c| <= |e_x| |e_c|  (Cauchy-Schwarz).

`Bounds` holds |e| and the error n of the computed y and |x|; a float32 product of d terms is off by at
most gamma |y_x| |y_c|, gamma = d u / (1 - d u), in any order of summation. All this adds up to a product of
three numbers of the body with three of the centre, so that one matrix product gives the *lower bound* of
every score, and the lower bound plus twice that product the upper one. A body whose best upper bound is
below all other lower bounds is settled. What is left is compared by whole points in float32, and what is
within their rounding in float64. Ties go to the lower index. Matrix products are in full float32.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.machine import full_precision
from pmnet.memory.points import Points
from pmnet.memory.space import PAIRWISE, Bounds

UNIT = 2.0**-24  # rounding of one float32 operation
UP = 1 + 1e-4  # more than the rounding of the bounds themselves
MADE = 2048  # pairs whose whole points are made at a time
SUBTRACTED = 256  # pairs subtracted at a time
OPEN = 1 << 16  # undecided pairs that are collected before they are settled
TIE = 1e-12, 1e-11  # relative, absolute: equal bodies differ by the rounding of two forward passes


@dataclass(frozen=True)
class Scores:
    """Nearest centre by lower bound, and bounds on |x - c|^2 - |x|^2 of it."""

    nearest: Int[Tensor, "b"]
    low: Float[Tensor, "b"]
    width: Float[Tensor, "b"]  # from the lower to the upper bound


class Centres:
    """Centres as the other factor of the product that bounds the scores of bodies."""

    def __init__(self, points: Points, params: BodyParams) -> None:
        self.points, self.params = points, params
        y = points.space.coordinates(params)
        b = points.space.bounds(params, y)
        terms = y.shape[1] + 8
        self._gamma = terms * UNIT / (1 - terms * UNIT)
        norm, whole = y.norm(dim=1), b.squared.sqrt() + b.noise
        own = 2 * whole * b.noise + (self._gamma + PAIRWISE) * b.squared
        self.bound = UP * 2 * torch.stack([b.residual, norm, b.noise], 1)
        self._bias = b.squared - UP * own
        self._own = UP * own
        self._factor = torch.cat([2 * y, self.bound], 1).T.contiguous()

    def low(
        self, coordinates: Float[Tensor, "b d"], bounds: Bounds
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b 3"]]:
        """Return lower bounds of all scores, and the bodies' part of the bounds."""
        norm = coordinates.norm(dim=1)
        part = torch.stack(
            [bounds.residual, bounds.noise + self._gamma * norm, norm + bounds.noise], 1
        )
        factor = torch.cat([coordinates, UP * part], 1)
        return torch.addmm(self._bias, factor, self._factor, alpha=-1), UP * part

    def width(self, part: Float[Tensor, "b 3"], chosen: Int[Tensor, "b"]) -> Float[Tensor, "b"]:
        """Return how far the upper bound of the chosen centres lies above the lower one."""
        return 2 * UP * ((part * self.bound[chosen]).sum(1) + self._own[chosen])


@full_precision()
def assign(
    points: Points, params: BodyParams, tolerance: float = 2e-3
) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the nearest centre of each body, and the distance to it within the share `tolerance`.

    The assignments are those of float64. A distance that the bounds do not tell well enough is that of
    the whole points.
    """
    centres = Centres(points, params)
    undecided = _Undecided(centres)
    found = [_first(centres, i, rows, undecided) for i, rows in enumerate(points.chunks())]
    nearest, low, width = (
        torch.cat(part) for part in zip(*((s.nearest, s.low, s.width) for s in found), strict=True)
    )
    b = points.bounds
    squared = (b.squared + low + width / 2).clamp_min(0)
    distances = squared.sqrt()
    # d(D) / D is half of d(D^2) / D^2
    spread = width / 2 + UP * b.noise * (2 * b.squared.sqrt() + b.noise)
    vague = spread > 2 * tolerance * (squared - spread)
    for rows, centre, distance in undecided.settled():
        nearest[rows], distances[rows], vague[rows] = centre, distance, False
    for rows in vague.nonzero()[:, 0].split(MADE):
        distances[rows] = _gaps(centres, rows, nearest[rows], exact=False).float()
    return nearest, distances


def _first(centres: Centres, index: int, rows: slice, undecided: "_Undecided") -> Scores:
    """Return the scores of a chunk, and leave the pairs that they do not decide."""
    points = centres.points
    b = points.bounds
    bounds = Bounds(b.residual[rows], b.noise[rows], b.squared[rows])
    low, part = centres.low(points.chunk(index).coordinates, bounds)
    least, nearest = low.min(1)
    width = centres.width(part, nearest)
    high = least + width
    if low.shape[1] > 1:
        low.scatter_(1, nearest[:, None], torch.inf)
        unsure = (low.amin(1) <= high).nonzero()[:, 0]
        if len(unsure):
            candidates = low[unsure] <= high[unsure, None]
            candidates.scatter_(1, nearest[unsure, None], True)
            undecided.add(unsure + rows.start, candidates)
    return Scores(nearest, least, width)


class _Undecided:
    """Pairs of body and centre that the coordinates do not tell apart, settled by whole points."""

    def __init__(self, centres: Centres) -> None:
        self._centres = centres
        self._open: list[tuple[Tensor, Tensor]] = []
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def add(self, rows: Int[Tensor, "b"], candidates: Tensor) -> None:
        """Take the candidates of some bodies."""
        body, centre = candidates.nonzero(as_tuple=True)
        self._open.append((rows[body], centre))
        self._waiting += len(body)
        if self._waiting > OPEN:
            self._settle()

    def settled(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return the bodies that were undecided, their nearest centres and the distances."""
        self._settle()
        return self._found

    def _settle(self) -> None:
        if self._open:
            body, centre = (torch.cat(part) for part in zip(*self._open, strict=True))
            self._found.append(_nearest(self._centres, body, centre))
        self._open, self._waiting = [], 0


def _nearest(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Float[Tensor, "b"]]:
    """Return the bodies of pairs (sorted by body), the nearest centre paired with each, the distance."""
    space = centres.points.space
    noise = space.noise_of(centres.points.bodies(body)) + space.noise_of(centres.params)[centre]
    gaps = _gaps(centres, body, centre, exact=False)
    slack = noise.double() + 4 * UNIT * gaps
    rows, group = body.unique_consecutive(return_inverse=True)
    close = gaps - slack <= _least(gaps + slack, group, len(rows))[group]
    several = (torch.bincount(group[close], minlength=len(rows)) > 1)[group]
    pairs = (close & several).nonzero()[:, 0]
    if len(pairs):  # float32 points cannot tell them apart
        exact = _gaps(centres, body[pairs], centre[pairs], exact=True)
        tied = exact <= _least(exact, group[pairs], len(rows))[group[pairs]] * (1 + TIE[0]) + TIE[1]
        close[pairs] = tied
    chosen = torch.full_like(rows, len(centres.params))
    chosen.scatter_reduce_(0, group[close], centre[close], "amin")
    own = centre == chosen[group]
    return rows, chosen, gaps[own].float()


def _least(values: Tensor, group: Tensor, count: int) -> Float[Tensor, "b"]:
    least = torch.full((count,), torch.inf, dtype=values.dtype, device=values.device)
    return least.scatter_reduce_(0, group, values, "amin")


def _gaps(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"], exact: bool
) -> Float[Tensor, "p"]:
    """Return the distances of pairs by subtraction of whole points, summed in float64."""
    space = centres.points.space
    make = space.exact if exact else space.embed
    gaps = [torch.empty(0, dtype=torch.float64, device=body.device)]
    for start in range(0, len(body), MADE):
        rows, row = body[start : start + MADE].unique(return_inverse=True)
        columns, column = centre[start : start + MADE].unique(return_inverse=True)
        x, c = make(centres.points.bodies(rows)), make(centres.params[columns])
        for r, k in zip(row.split(SUBTRACTED), column.split(SUBTRACTED), strict=True):
            gaps.append(torch.linalg.vector_norm(x[r] - c[k], dim=1, dtype=torch.float64))
    return torch.cat(gaps)
