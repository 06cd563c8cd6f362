"""Bodies whose nearest centre the coordinates leave open: it is found by whole points.

Float32 points come first. Distances that differ by less than their rounding are compared in float64.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.bounds import PAIRWISE, UNIT, Bounds, CentreBounds
from pmnet.clustering.exact.embedded import EmbeddedBodies, LeadingCentreBounds, leading_bounds
from pmnet.clustering.exact.embedding import SUBTRACTED, Embedding
from pmnet.core.cuda_graph import run_concurrently
from pmnet.core.device import has_kernels
from pmnet.memory.nearest import TIE

# bodies whose whole points are made at a time; also the most centres whose points are kept
CPU_MADE, GPU_MADE = 2048, 1 << 14
OPEN = 1 << 16  # undecided pairs that are collected before they are compared
NONE = 1 << 62  # larger than the index of any centre


class Centres:
    """Centres to compare with bodies: by the leading coordinates, by all coordinates, by whole points."""

    def __init__(self, points: EmbeddedBodies, params: BodyParams, recorded: bool = True) -> None:
        self.points, self.params = points, params
        self.made = CPU_MADE if points.device.type == "cpu" else GPU_MADE
        work: Callable[..., Any] = partial(
            _prepare, points.embedding, points.scale, len(params) <= self.made
        )
        if recorded and points.device.type == "cuda" and points.scale is not None:
            work = points.recorded(len(params), work)
        made: _Prepared = work(params.rotmats, params.betas)
        self._whole, self.coordinates, self.bounds, self.full, self.leading, self.noise = made

    @property
    def in_halves(self) -> bool:
        """Return whether the leading coordinates are in half precision."""
        return not isinstance(self.leading, CentreBounds)

    def whole(self, rows: Int[Tensor, "m"]) -> tuple[Float[Tensor, "c p"], Int[Tensor, "m"]]:
        """Return float32 points of centres, and at which row of them each of `rows` is."""
        if self._whole is not None:
            return self._whole, rows
        some, where = rows.unique(return_inverse=True)
        return self.points.space.embed(self.params[some]), where


_Prepared = tuple[Tensor | None, Tensor, Bounds, CentreBounds, LeadingCentreBounds, Tensor]


def _prepare(
    embedding: Embedding, scale: float | None, keep: bool, rotmats: Tensor, betas: Tensor
) -> _Prepared:
    """Return whole points (if kept), coordinates, bounds, both factors and the noise of centres."""
    params = BodyParams(rotmats, betas)
    y, whole = run_concurrently(
        betas.device,
        lambda: embedding.coordinates(params),
        lambda: embedding.space.embed(params) if keep else None,
    )
    bounds = embedding.bounds(params, y, whole)
    factors = CentreBounds(y, bounds), leading_bounds(y, bounds, scale)
    return whole, y, bounds, *factors, embedding.space.noise_of(params)


class Undecided:
    """Pairs of a body and a centre that may be its nearest."""

    def __init__(self, centres: Centres) -> None:
        self._centres = centres
        self._open: list[tuple[Tensor, Tensor]] = []
        self._resolved: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def add(self, body: Int[Tensor, "p"], best: Int[Tensor, "p"], other: Int[Tensor, "p"]) -> None:
        """Add pairs, sorted by body: the `other` centres may be nearer than the `best` one."""
        if not len(body):
            return
        once = torch.ones_like(body, dtype=torch.bool)
        once[1:] = body[1:] != body[:-1]
        pairs = torch.cat([body[once], body]), torch.cat([best[once], other])
        order = pairs[0].argsort(stable=True)
        self._open.append((pairs[0][order], pairs[1][order]))
        self._waiting += len(order)
        if self._waiting > OPEN:
            self._resolve()

    def resolved(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return the bodies that were undecided, their nearest centres and the distances."""
        self._resolve()
        return self._resolved

    def _resolve(self) -> None:
        if self._waiting:
            body, centre = (torch.cat(part) for part in zip(*self._open, strict=True))
            self._resolved.append(_nearest(self._centres, body, centre))
        self._open, self._waiting = [], 0


def _nearest(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> tuple[Int[Tensor, "b"], Int[Tensor, "b"], Float[Tensor, "b"]]:
    """Return the bodies of pairs, which are sorted by body, with the nearest centre and its distance."""
    space = centres.points.space
    rows, group = body.unique_consecutive(return_inverse=True)
    noise = centres.noise[centre] + space.noise_of(centres.points.bodies(rows))[group]
    between = gaps(centres, rows, group, centre)

    def resolve(doubtful: Tensor, close: Tensor) -> Tensor:
        pairs = doubtful.nonzero()[:, 0]
        if len(pairs):
            exact = exact_gaps(centres, body[pairs], centre[pairs])
            close[pairs] = tied(exact, group[pairs], len(rows))
        return close

    return rows, *chosen(between, noise, group, centre, len(rows), resolve)


def chosen(
    between: Float64[Tensor, "p"],
    noise: Float[Tensor, "p"],
    group: Int[Tensor, "p"],
    centre: Int[Tensor, "p"],
    count: int,
    resolve: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Int[Tensor, "b"], Float[Tensor, "b"]]:
    """Return the nearest centre of each group of pairs, and its distance; ties go to the lower centre.

    A pair is close where its distance `between` may be the least of its group, given the `noise` of the
    float32 points. A group with several close pairs is doubtful: `resolve` gets a mask of its pairs and the
    mask of the close pairs, and returns the second one with only the nearest pairs left in doubtful groups.
    """
    slack = noise.double() + (PAIRWISE + 4 * UNIT) * between
    close = between - slack <= _least(between + slack, group, count)[group]
    several = group.new_zeros(count).index_add_(0, group, close.long())[group] > 1
    close = resolve(close & several, close)
    nearest = group.new_full((count,), NONE)
    nearest.scatter_reduce_(0, group, centre.masked_fill(~close, NONE), "amin")
    own = centre == nearest[group]
    distances = between.new_zeros(count, dtype=torch.float32)
    distances.scatter_reduce_(0, group, between.masked_fill(~own, 0).float(), "amax")
    return nearest, distances


def tied(exact: Float64[Tensor, "p"], group: Int[Tensor, "p"], count: int) -> Bool[Tensor, "p"]:
    """Return the pairs whose `exact` distance is the least of their group, or ties with it."""
    return exact <= _least(exact, group, count)[group] * (1 + TIE[0]) + TIE[1]


def _least(values: Tensor, group: Tensor, count: int) -> Float[Tensor, "b"]:
    least = torch.full((count,), torch.inf, dtype=values.dtype, device=values.device)
    return least.scatter_reduce_(0, group, values, "amin")


def gaps(
    centres: Centres, rows: Int[Tensor, "b"], group: Int[Tensor, "p"], column: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances between the bodies rows[group] and centres, by whole float32 points.

    `group` is sorted.
    """
    distances = [torch.empty(0, dtype=torch.float64, device=rows.device)]
    starts = torch.arange(0, len(rows), centres.made, device=rows.device)
    edges = [*torch.searchsorted(group, starts).tolist(), len(group)]
    for part, some in enumerate(rows.split(centres.made)):
        x = centres.points.space.embed(centres.points.bodies(some))
        mine = slice(edges[part], edges[part + 1])
        c, k = centres.whole(column[mine])
        distances.append(lengths(x, c, group[mine] - part * centres.made, k))
    return torch.cat(distances)


def exact_gaps(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances of pairs by whole float64 points."""
    space = centres.points.space
    distances = [torch.empty(0, dtype=torch.float64, device=body.device)]
    for some, others in zip(body.split(CPU_MADE), centre.split(CPU_MADE), strict=True):
        rows, row = some.unique(return_inverse=True)
        columns, column = others.unique(return_inverse=True)
        both = [centres.points.bodies(rows), centres.params[columns]]
        points = space.exact(BodyParams.cat(both))
        distances.append(lengths(points, points, row, column + len(rows)))
    return torch.cat(distances)


def lengths(x: Tensor, c: Tensor, row: Tensor, column: Tensor) -> Float64[Tensor, "p"]:
    """Return |x[row] - c[column]|; at most 32 additions follow each other in a sum (see PAIRWISE)."""
    if has_kernels(x.device):
        from pmnet.clustering.exact.kernels import gaps as squared_gaps

        return squared_gaps(x, c, row, column).double().sqrt()
    size = SUBTRACTED if x.device.type == "cpu" else CPU_MADE
    distances = [torch.empty(0, dtype=torch.float64, device=x.device)]
    for r, k in zip(row.split(size), column.split(size), strict=True):
        gap = x.index_select(0, r).sub_(c.index_select(0, k))
        distances.append(gap.mul_(gap).sum(1).double().sqrt())
    return torch.cat(distances)
