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
from jaxtyping import Float, Float64, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.machine import full_precision
from pmnet.memory.points import HEAD, UNIT, Chunk, Points, factor, gamma
from pmnet.memory.space import PAIRWISE, UP, Bounds

CPU_SCORES = 1 << 20  # scores made at a time on the CPU: they stay in the cache of a core
MADE = 2048  # pairs whose whole points are made at a time, and centres whose points are kept
SUBTRACTED = 32  # pairs subtracted at a time: they stay in the cache of a core
ROUGH = 0.05  # tolerance from which the first coordinates are enough for a distance
OPEN = 1 << 16  # undecided bodies or pairs that are collected before they are settled
TIE = 1e-12, 1e-11  # relative, absolute: equal bodies differ by the rounding of two forward passes


@dataclass(frozen=True)
class Nearest:
    """The centre of the lowest bound of each body, and the rows where another may be nearer."""

    centre: Int[Tensor, "b"]
    low: Float[Tensor, "b"]
    width: Float[Tensor, "b"]  # from the lower to the upper bound
    unsure: Int[Tensor, "u"]
    others: Float[Tensor, "u k"]  # lower bounds of the other centres


class Scores:
    """Centres as the other factor of the product that bounds |x - c|^2 - |x|^2 of bodies."""

    def __init__(self, coordinates: Float[Tensor, "k d"], b: Bounds) -> None:
        norm, whole = coordinates.norm(dim=1), b.squared.sqrt() + b.noise
        rounding = gamma(coordinates.shape[1]) + PAIRWISE
        self._own = UP * (2 * whole * b.noise + rounding * b.squared)
        self._bound = UP * 2 * torch.stack([b.residual, norm, b.noise], 1)
        self._bias = b.squared - self._own
        self._factor = torch.cat([2 * coordinates, self._bound], 1).T.contiguous()

    def low(self, bodies: Float[Tensor, "b f"]) -> Float[Tensor, "b k"]:
        """Return lower bounds of all scores; `bodies` is their `factor`."""
        return torch.addmm(self._bias, bodies, self._factor, alpha=-1)

    def nearest(self, bodies: Float[Tensor, "b f"]) -> Nearest:
        """Return the centres of the lowest bounds; `bodies` is their `factor`."""
        low = self.low(bodies)
        least, nearest = low.min(1)
        width = (bodies[:, -3:] * self._bound[nearest]).sum(1).add_(self._own[nearest])
        width *= 2 * UP
        low.scatter_(1, nearest[:, None], torch.inf)
        unsure = (low.amin(1) <= least + width).nonzero()[:, 0]
        return Nearest(nearest, least, width, unsure, low[unsure])


class Centres:
    """Centres to be compared with points: by the first coordinates, by all, and whole."""

    def __init__(self, points: Points, params: BodyParams) -> None:
        self.points, self.params = points, params
        self._whole = points.space.embed(params) if len(params) <= MADE else None
        y = points.space.coordinates(params)
        bounds = points.space.bounds(params, y, self._whole)
        self.all = Scores(y, bounds)
        self.head = Scores(y[:, :HEAD], bounds.without(y[:, HEAD:]))

    def whole(self, rows: Int[Tensor, "c"]) -> Float[Tensor, "c p"]:
        """Return the whole points of some centres in float32; those of all are kept if not too many."""
        if self._whole is None:
            return self.points.space.embed(self.params[rows])
        return self._whole[rows]


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
    # a rough distance is known from the first coordinates
    search = _Search(centres, undecided, by_head=tolerance >= ROUGH)
    nearest, low, width = search.run()
    b = points.bounds
    squared = (b.squared + low + width / 2).clamp_min(0)
    distances = squared.sqrt()
    # d(D) / D is half of d(D^2) / D^2
    spread = width / 2 + UP * b.noise * (2 * b.squared.sqrt() + b.noise)
    vague = spread > 2 * tolerance * (squared - spread)
    for rows, centre, distance in undecided.settled():
        nearest[rows], distances[rows], vague[rows] = centre, distance, False
    for rows in vague.nonzero()[:, 0].split(MADE):
        distances[rows] = _gaps(centres, rows, nearest[rows]).float()
    return nearest, distances


class _Search:
    """The nearest centres by coordinates: by the first ones, and by all of what these leave open."""

    def __init__(self, centres: Centres, undecided: "_Undecided", by_head: bool) -> None:
        self._centres, self._undecided, self._by_head = centres, undecided, by_head
        points = centres.points
        shape = points.bounds.squared
        self._nearest = torch.empty_like(shape, dtype=torch.long)
        self._low, self._width = torch.empty_like(shape), torch.empty_like(shape)
        self._rows: list[Tensor] = []
        self._open: list[Tensor] = []

    def run(self) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"], Float[Tensor, "n"]]:
        """Return the centre, the lower bound and the width of every body."""
        points = self._centres.points
        cpu = points.bounds.squared.device.type == "cpu"
        size = max(CPU_SCORES // len(self._centres.params), 512) if cpu else points.size
        for index, rows in enumerate(points.chunks()):
            chunk = points.chunk(index)
            for start in range(rows.start, rows.stop, size):
                stop = min(start + size, rows.stop)
                self._part(chunk, rows.start, slice(start, stop))
        self._finish()
        return self._nearest, self._low, self._width

    def _part(self, chunk: Chunk, first: int, rows: slice) -> None:
        own = slice(rows.start - first, rows.stop - first)
        if not self._by_head:
            self._rows.append(torch.arange(rows.start, rows.stop, device=self._low.device))
            self._open.append(chunk.coordinates[own])
            self._finish()
            return
        found = self._centres.head.nearest(chunk.head[own])
        self._nearest[rows], self._low[rows], self._width[rows] = (
            found.centre,
            found.low,
            found.width,
        )
        if len(found.unsure):
            self._rows.append(found.unsure + rows.start)
            self._open.append(chunk.coordinates[own][found.unsure])
            if sum(map(len, self._rows)) * len(self._centres.params) > CPU_SCORES:
                self._finish()

    def _finish(self) -> None:
        """Compare the bodies that are open by all coordinates."""
        if not self._rows:
            return
        rows, coordinates = torch.cat(self._rows), torch.cat(self._open)
        self._rows, self._open = [], []
        found = self._centres.all.nearest(factor(coordinates, self._centres.points.bounds[rows]))
        self._nearest[rows], self._low[rows] = found.centre, found.low
        self._width[rows] = found.width
        self._undecided.add(rows, found)


class _Undecided:
    """Bodies whose nearest centre the coordinates do not tell, settled by whole points."""

    def __init__(self, centres: Centres) -> None:
        self._centres = centres
        self._open: list[tuple[Tensor, Tensor]] = []
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def add(self, rows: Int[Tensor, "b"], found: Nearest) -> None:
        """Take the unsure of these bodies with all centres that may be nearest."""
        high = (found.low + found.width)[found.unsure]
        unsure, other = (found.others <= high[:, None]).nonzero(as_tuple=True)
        if not len(unsure):
            return
        body, best = rows[found.unsure[unsure]], found.centre[found.unsure[unsure]]
        once = torch.ones_like(body, dtype=torch.bool)
        once[1:] = body[1:] != body[:-1]
        pairs = torch.cat([body[once], body]), torch.cat([best[once], other])
        order = pairs[0].argsort(stable=True)
        self._open.append((pairs[0][order], pairs[1][order]))
        self._waiting += len(order)
        if self._waiting > OPEN:
            self._settle()

    def settled(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return the bodies that were undecided, their nearest centres and the distances."""
        self._settle()
        return self._found

    def _settle(self) -> None:
        if self._waiting:
            body, centre = (torch.cat(part) for part in zip(*self._open, strict=True))
            self._found.append(_nearest(self._centres, body, centre))
        self._open, self._waiting = [], 0


def _nearest(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Float[Tensor, "b"]]:
    """Return the bodies of pairs (sorted by body), the nearest centre paired with each, the distance."""
    space = centres.points.space
    noise = space.noise_of(centres.points.bodies(body)) + space.noise_of(centres.params)[centre]
    gaps = _gaps(centres, body, centre)
    slack = noise.double() + (PAIRWISE + 4 * UNIT) * gaps
    rows, group = body.unique_consecutive(return_inverse=True)
    close = gaps - slack <= _least(gaps + slack, group, len(rows))[group]
    several = (torch.bincount(group[close], minlength=len(rows)) > 1)[group]
    pairs = (close & several).nonzero()[:, 0]
    if len(pairs):  # float32 points cannot tell them apart
        exact = _exact_gaps(centres, body[pairs], centre[pairs])
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
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances of pairs by whole float32 points."""
    points = centres.points
    gaps = [torch.empty(0, dtype=torch.float64, device=body.device)]
    for start in range(0, len(body), MADE):
        rows, row = body[start : start + MADE].unique(return_inverse=True)
        columns, column = centre[start : start + MADE].unique(return_inverse=True)
        x, c = points.space.embed(points.bodies(rows)), centres.whole(columns)
        size = SUBTRACTED if x.device.type == "cpu" else MADE
        for r, k in zip(row.split(size), column.split(size), strict=True):
            gap = x[r].sub_(c[k])
            gaps.append(gap.mul_(gap).sum(1).double().sqrt())
    return torch.cat(gaps)


def _exact_gaps(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances of pairs by whole float64 points."""
    space = centres.points.space
    gaps = [torch.empty(0, dtype=torch.float64, device=body.device)]
    for start in range(0, len(body), MADE):
        rows, row = body[start : start + MADE].unique(return_inverse=True)
        columns, column = centre[start : start + MADE].unique(return_inverse=True)
        x = space.exact(centres.points.bodies(rows))
        c = space.exact(centres.params[columns])
        for r, k in zip(row.split(SUBTRACTED), column.split(SUBTRACTED), strict=True):
            gaps.append((x[r] - c[k]).norm(dim=1))
    return torch.cat(gaps)
