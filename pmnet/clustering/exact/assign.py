"""The nearest centre of every body, as brute force in float64 would find it, at a fraction of the work.

The first coordinates decide most bodies: one whose best upper bound is below all other lower bounds is
settled (see `scores`). What is left open is compared by all coordinates, then centre against centre (see
`pairs`), and what these leave open by whole points (see `settling`). Ties go to the lower index. Matrix
products are in full float32, or in half precision where the bounds know of it (`halves`).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.bounds import ROUND_UP, Bounds, NearestCentre, factor
from pmnet.clustering.exact.embedded import Chunk, EmbeddedBodies
from pmnet.clustering.exact.refine import Centres, Undecided, gaps
from pmnet.clustering.exact.rivals import compared
from pmnet.core.device import full_precision

# scores made at a time: they stay in a cache that cores share, or take a gibibyte of a GPU
CPU_SCORES, GPU_SCORES = 1 << 22, 1 << 28
ROUGH = 0.05  # tolerance from which the first coordinates are enough for a distance


@full_precision()
def assign(
    points: EmbeddedBodies, params: BodyParams, tolerance: float = 2e-3
) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the nearest centre of each body, and the distance to it within the share `tolerance`.

    The assignments are those of float64. A distance that the bounds do not tell well enough is that of
    the whole points.
    """
    return settle(search(Centres(points, params), tolerance))


class CandidateSearch:
    """The nearest centres by coordinates: by the first ones, and by all of what these leave open."""

    def __init__(self, centres: Centres, tolerance: float) -> None:
        self.centres, self.tolerance = centres, tolerance
        self.undecided = Undecided(centres)
        shape = centres.points.bounds.squared
        self.nearest = torch.empty_like(shape, dtype=torch.long)
        self.low, self.width = torch.empty_like(shape), torch.empty_like(shape)
        self._rows: list[Tensor] = []
        self._open: list[Tensor] = []
        self._waiting = 0
        scores = CPU_SCORES if shape.device.type == "cpu" else GPU_SCORES
        self._size = max(scores // len(centres.params), 512)

    def take(self, chunk: Chunk, first: int, rows: slice) -> None:
        """Look for the centres of some bodies of a chunk that begins at the row `first`."""
        own = slice(rows.start - first, rows.stop - first)
        if self.tolerance < ROUGH:
            every = torch.arange(rows.start, rows.stop, device=self.low.device)
            self._leave_open(every, chunk.coordinates[own])
            return
        found = self.centres.head.nearest(chunk.head[own])
        self._keep(rows, found)
        inaccurate = is_inaccurate(
            self.centres.points.bounds[rows], found.low, found.width, self.tolerance
        )
        some = (inaccurate | ~found.is_decided).nonzero()[:, 0]
        if len(some):
            coordinates = chunk.coordinates.index_select(0, some + own.start)
            self._leave_open(some + rows.start, coordinates)

    def finish(self) -> None:
        """Compare the bodies that are open by all coordinates."""
        if not self._waiting:
            return
        rows, coordinates = torch.cat(self._rows), torch.cat(self._open)
        self._rows, self._open, self._waiting = [], [], 0
        parts = rows.split(self._size), coordinates.split(self._size)
        for part, open_ in zip(*parts, strict=True):
            bodies = factor(open_, self.centres.points.bounds[part])
            found, body, other = self.centres.all.rivals(bodies)
            self._keep(part, found)
            if len(body):
                self._compare(part, open_, found.centre, body, other)

    def _compare(
        self, rows: Tensor, coordinates: Tensor, best: Tensor, body: Tensor, other: Tensor
    ) -> None:
        """Compare the best centre of some bodies with the others that may be nearer."""
        b = self.centres.points.bounds[rows[body]]
        worse, better = compared(self.centres, coordinates[body], b, best[body], other)
        rivals = torch.zeros_like(rows).index_add_(0, body, (~worse).long())
        won = better & (rivals[body] == 1)
        # `low` and `width` hold for the nearest, whichever it is
        self.nearest[rows[body[won]]] = other[won]
        left = ~(worse | won)
        body = body[left]
        self.undecided.add(rows[body], best[body], other[left])

    def _leave_open(self, rows: Tensor, coordinates: Tensor) -> None:
        self._rows.append(rows)
        self._open.append(coordinates)
        self._waiting += len(rows)
        if self._waiting >= self._size:
            self.finish()

    def _keep(self, rows: Tensor | slice, found: NearestCentre) -> None:
        self.nearest[rows], self.low[rows] = found.centre, found.low
        self.width[rows] = found.width


def search(centres: Centres, tolerance: float) -> CandidateSearch:
    """Return the nearest centres as far as coordinates tell them."""
    points, found = centres.points, CandidateSearch(centres, tolerance)
    halves = centres.in_halves and tolerance >= ROUGH  # then no score is written to memory
    for index, rows in enumerate(points.chunks()):
        chunk, size = points.chunk(index), points.size if halves else found._size
        for start in range(rows.start, rows.stop, size):
            found.take(chunk, rows.start, slice(start, min(start + size, rows.stop)))
    found.finish()
    return found


def settle(found: CandidateSearch) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the assignments, with whole points where coordinates do not tell, and the distances."""
    b, nearest = found.centres.points.bounds, found.nearest
    distances = squared_of(b, found.low, found.width).sqrt()
    inaccurate = is_inaccurate(b, found.low, found.width, found.tolerance)
    for rows, centre, distance in found.undecided.settled():
        nearest[rows], distances[rows], inaccurate[rows] = centre, distance, False
    rows = inaccurate.nonzero()[:, 0]
    if len(rows):
        pairs = torch.arange(len(rows), device=rows.device), nearest[rows]
        distances[rows] = gaps(found.centres, rows, *pairs).float()
    return nearest, distances


def squared_of(b: Bounds, low: Tensor, width: Tensor) -> Float[Tensor, "b"]:
    """Return the squared distances, in the middle of their bounds."""
    return (b.squared + low + width / 2).clamp_min(0)


def is_inaccurate(b: Bounds, low: Tensor, width: Tensor, tolerance: float) -> Bool[Tensor, "b"]:
    """Return whose distances may be wrong by more than the share `tolerance`."""
    spread = width / 2 + ROUND_UP * b.noise * (2 * b.squared.sqrt() + b.noise)
    # d(D) / D is half of d(D^2) / D^2
    return spread > 2 * tolerance * (squared_of(b, low, width) - spread)
