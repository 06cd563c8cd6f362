"""The nearest centre of every body, as brute force in float64 finds it, at a fraction of the work.

Each step leaves fewer bodies open:

1. The leading coordinates decide most bodies. A body is decided if the upper bound of its best centre is
   below the lower bounds of all others (`bounds`; in half precision on a GPU: `half_precision`).
2. All coordinates decide most of the others, by the same bounds.
3. Centre against centre: two rivals are alike, so less of their difference is left out (`rivals`).
4. Whole points in float32, then in float64 (`refine`).

Ties go to the lower index. Float32 matrix products are in full precision.
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

# bounds made at a time: on a CPU they stay in the cache that cores share, on a GPU they take 1 GiB
CPU_SCORES, GPU_SCORES = 1 << 22, 1 << 28
ROUGH = 0.05  # from this tolerance on, leading coordinates are accurate enough for a distance


@full_precision()
def assign(
    points: EmbeddedBodies, params: BodyParams, tolerance: float = 2e-3
) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return the nearest of the centres `params` to each body, and its distance.

    The assignments equal those in float64. A distance is wrong by at most the share `tolerance`: where the
    bounds are wider, it is computed from whole points.
    """
    return settle(search(Centres(points, params), tolerance))


class CandidateSearch:
    """Looks for the nearest centres by coordinates, and collects the bodies that these leave open."""

    def __init__(self, centres: Centres, tolerance: float) -> None:
        self.centres, self.tolerance = centres, tolerance
        self.undecided = Undecided(centres)
        squared = centres.points.bounds.squared
        self.nearest = torch.empty_like(squared, dtype=torch.long)
        self.low, self.width = torch.empty_like(squared), torch.empty_like(squared)
        self._rows: list[Tensor] = []
        self._open: list[Tensor] = []
        self._waiting = 0
        at_a_time = CPU_SCORES if squared.device.type == "cpu" else GPU_SCORES
        self.batch = max(at_a_time // len(centres.params), 512)  # bodies compared at a time

    def take(self, chunk: Chunk, first: int, rows: slice) -> None:
        """Look for the centres of some rows; they are in the chunk that begins at row `first`."""
        own = slice(rows.start - first, rows.stop - first)
        if self.tolerance < ROUGH:
            every = torch.arange(rows.start, rows.stop, device=self.low.device)
            self._leave_open(every, chunk.coordinates[own])
            return
        nearest = self.centres.leading.nearest(chunk.leading[own])
        self._keep(rows, nearest)
        inaccurate = is_inaccurate(
            self.centres.points.bounds[rows], nearest.low, nearest.width, self.tolerance
        )
        some = (inaccurate | ~nearest.is_decided).nonzero()[:, 0]
        if len(some):
            coordinates = chunk.coordinates.index_select(0, some + own.start)
            self._leave_open(some + rows.start, coordinates)

    def finish(self) -> None:
        """Compare the bodies that are open by all coordinates."""
        if not self._waiting:
            return
        rows, coordinates = torch.cat(self._rows), torch.cat(self._open)
        self._rows, self._open, self._waiting = [], [], 0
        parts = rows.split(self.batch), coordinates.split(self.batch)
        for part, open_ in zip(*parts, strict=True):
            bodies = factor(open_, self.centres.points.bounds[part])
            nearest, body, other = self.centres.full.rivals(bodies)
            self._keep(part, nearest)
            if len(body):
                self._compare(part, open_, nearest.centre, body, other)

    def _compare(
        self, rows: Tensor, coordinates: Tensor, best: Tensor, body: Tensor, other: Tensor
    ) -> None:
        """Compare the best centre of some bodies with the others that may be nearer."""
        b = self.centres.points.bounds[rows[body]]
        worse, better = compared(self.centres, coordinates[body], b, best[body], other)
        rivals = torch.zeros_like(rows).index_add_(0, body, (~worse).long())
        won = better & (rivals[body] == 1)
        # `low` and `width` hold for the nearest centre, whichever of the two it is
        self.nearest[rows[body[won]]] = other[won]
        left = ~(worse | won)
        body = body[left]
        self.undecided.add(rows[body], best[body], other[left])

    def _leave_open(self, rows: Tensor, coordinates: Tensor) -> None:
        self._rows.append(rows)
        self._open.append(coordinates)
        self._waiting += len(rows)
        if self._waiting >= self.batch:
            self.finish()

    def _keep(self, rows: Tensor | slice, nearest: NearestCentre) -> None:
        self.nearest[rows], self.low[rows] = nearest.centre, nearest.low
        self.width[rows] = nearest.width


def search(centres: Centres, tolerance: float) -> CandidateSearch:
    """Return the nearest centres as far as coordinates decide them."""
    points, candidates = centres.points, CandidateSearch(centres, tolerance)
    # in half precision a kernel keeps the bounds to itself, so a whole chunk goes at once
    in_halves = centres.in_halves and tolerance >= ROUGH
    size = points.size if in_halves else candidates.batch
    for index, rows in enumerate(points.chunks()):
        chunk = points.chunk(index)
        for start in range(rows.start, rows.stop, size):
            candidates.take(chunk, rows.start, slice(start, min(start + size, rows.stop)))
    candidates.finish()
    return candidates


def settle(candidates: CandidateSearch) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """Return assignments and distances; whole points decide what coordinates have left open."""
    b, nearest = candidates.centres.points.bounds, candidates.nearest
    low, width = candidates.low, candidates.width
    distances = squared_of(b, low, width).sqrt()
    inaccurate = is_inaccurate(b, low, width, candidates.tolerance)
    for rows, centre, distance in candidates.undecided.resolved():
        nearest[rows], distances[rows], inaccurate[rows] = centre, distance, False
    rows = inaccurate.nonzero()[:, 0]
    if len(rows):
        pairs = torch.arange(len(rows), device=rows.device), nearest[rows]
        distances[rows] = gaps(candidates.centres, rows, *pairs).float()
    return nearest, distances


def squared_of(b: Bounds, low: Tensor, width: Tensor) -> Float[Tensor, "b"]:
    """Return the squared distances in the middle of their bounds."""
    return (b.squared + low + width / 2).clamp_min(0)


def is_inaccurate(b: Bounds, low: Tensor, width: Tensor, tolerance: float) -> Bool[Tensor, "b"]:
    """Return which distances may be wrong by more than the share `tolerance`."""
    spread = width / 2 + ROUND_UP * b.noise * (2 * b.squared.sqrt() + b.noise)
    # d(D) / D is half of d(D^2) / D^2
    return spread > 2 * tolerance * (squared_of(b, low, width) - spread)
