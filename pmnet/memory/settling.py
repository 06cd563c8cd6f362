"""Bodies whose nearest centre their coordinates do not tell, settled by whole points.

What is within the rounding of float32 points is compared in float64.
"""

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from pmnet.machine import on_cores
from pmnet.memory.centres import CPU_PART, Centres
from pmnet.memory.scores import UNIT
from pmnet.memory.space import PAIRWISE, squared_gaps

EXACT = 2048  # pairs compared in float64 at a time
OPEN = 1 << 16  # undecided pairs that are collected before they are settled
TIE = 1e-12, 1e-11  # relative, absolute: equal bodies differ by the rounding of two forward passes


class Undecided:
    """Pairs of bodies with centres that may be the nearest."""

    def __init__(self, centres: Centres) -> None:
        self._centres = centres
        self._open: list[tuple[Tensor, Tensor]] = []
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def add(self, body: Int[Tensor, "p"], best: Int[Tensor, "p"], other: Int[Tensor, "p"]) -> None:
        """Take pairs, sorted by body: the other centres that may be nearer than the `best`."""
        if not len(body):
            return
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
    rows, group = body.unique_consecutive(return_inverse=True)
    noise = centres.noise[centre] + space.noise_of(centres.points.bodies(rows))[group]
    between = gaps(centres, rows, group, centre)
    slack = noise.double() + (PAIRWISE + 4 * UNIT) * between
    close = between - slack <= _least(between + slack, group, len(rows))[group]
    several = torch.zeros_like(rows).index_add_(0, group, close.long())[group] > 1
    pairs = (close & several).nonzero()[:, 0]
    if len(pairs):  # float32 points cannot tell them apart
        exact = exact_gaps(centres, body[pairs], centre[pairs])
        tied = exact <= _least(exact, group[pairs], len(rows))[group[pairs]] * (1 + TIE[0]) + TIE[1]
        close[pairs] = tied
    none = len(centres.params)
    chosen = torch.full_like(rows, none)
    chosen.scatter_reduce_(0, group, centre.masked_fill(~close, none), "amin")
    own = centre == chosen[group]
    distances = torch.zeros_like(rows, dtype=torch.float32)
    distances.scatter_reduce_(0, group, between.masked_fill(~own, 0).float(), "amax")
    return rows, chosen, distances


def _least(values: Tensor, group: Tensor, count: int) -> Float[Tensor, "b"]:
    least = torch.full((count,), torch.inf, dtype=values.dtype, device=values.device)
    return least.scatter_reduce_(0, group, values, "amin")


def gaps(
    centres: Centres, rows: Int[Tensor, "b"], group: Int[Tensor, "p"], column: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances of pairs by whole float32 points: of the body rows[group] and a centre.

    `group` is sorted.
    """
    size = CPU_PART if rows.device.type == "cpu" else centres.made
    starts = torch.arange(0, max(len(rows), 1), size, device=rows.device)
    edges = [*torch.searchsorted(group, starts).tolist(), len(group)]

    def lengths(part: int) -> Float64[Tensor, "p"]:
        mine, some = slice(edges[part], edges[part + 1]), rows[part * size :][:size]
        c, k = centres.whole(column[mine])
        bodies, own = centres.points.bodies(some), group[mine] - part * size
        return centres.points.space.squared_gaps(bodies, c, own, k).double().sqrt()

    return torch.cat(list(on_cores(lengths, range(len(starts)), rows.device)))


def exact_gaps(
    centres: Centres, body: Int[Tensor, "p"], centre: Int[Tensor, "p"]
) -> Float64[Tensor, "p"]:
    """Return the distances of pairs by whole float64 points."""
    space = centres.points.space
    found = [torch.empty(0, dtype=torch.float64, device=body.device)]
    for some, others in zip(body.split(EXACT), centre.split(EXACT), strict=True):
        rows, row = some.unique(return_inverse=True)
        columns, column = others.unique(return_inverse=True)
        both = centres.points.bodies(rows), centres.params[columns]
        x, c = on_cores(space.exact, both, body.device)
        found.append(squared_gaps(x, c, row, column).sqrt())
    return torch.cat(found)
