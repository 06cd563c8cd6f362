"""An iteration on a GPU as one CUDA graph: its hundreds of small operations cost the CPU one launch.

The steps are the same as in `exact.assign`, `exact.refine` and `sums`. The bodies that a step leaves open are
a list whose length only the GPU knows, and a graph cannot wait to read it. So each list is padded to a fixed
capacity. The padding holds an index one past the last row: it reads the last row and writes to a row that is
dropped. If a list fills its capacity, the iteration is dropped and the next graph has larger lists.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.assign import GPU_SCORES, ROUGH, is_inaccurate, squared_of
from pmnet.clustering.exact.bounds import factor
from pmnet.clustering.exact.embedded import EmbeddedBodies
from pmnet.clustering.exact.refine import GPU_MADE, Centres, chosen, lengths, tied
from pmnet.clustering.exact.rivals import compared
from pmnet.clustering.sums import Sums, means_of, moved, shifted, summed
from pmnet.core.cuda_graph import CudaGraph
from pmnet.core.device import full_precision

LIST_PADDING = (
    64  # capacities are a multiple of it plus 2: torch is slow to reduce multiples of 4 columns
)
SPARE = 1.1  # capacity per entry that was needed
STEADY = 0.9  # lists are steady once an iteration leaves open this share of the bodies before


@dataclass(frozen=True)
class ListLengths:
    """The lengths of the lists of an iteration, or their capacities."""

    open: int  # bodies that the leading coordinates leave open
    pairs: int  # of these bodies with other centres
    left: int  # pairs that all coordinates leave open
    whole: int  # bodies of these pairs, and bodies with an inaccurate distance
    exact: int  # pairs that are compared in float64

    def with_spare(self) -> "ListLengths":
        """Return capacities for lists of about these lengths."""
        return ListLengths(
            *(int(SPARE * length / LIST_PADDING + 1) * LIST_PADDING + 2 for length in astuple(self))
        )

    def hold(self, lists: "ListLengths") -> bool:
        """Return whether all lists are shorter than these capacities."""
        return all(n < capacity for n, capacity in zip(astuple(lists), astuple(self), strict=True))


class PaddedIndices:
    """The rows where a mask holds, padded to a capacity."""

    def __init__(self, holds: Bool[Tensor, "n"], capacity: int) -> None:
        self.rows = torch.nonzero_static(holds, size=capacity, fill_value=len(holds))[:, 0]
        self.real = self.rows < len(holds)
        self.count = self.real.sum()
        self.at = self.rows.clamp_max(len(holds) - 1)  # the rows to read from


class PaddedScatter:
    """Values to write to; what is written to padded rows goes to one more row, which is dropped."""

    def __init__(self, values: Tensor) -> None:
        self._all = torch.cat([values, values[-1:]])

    def put(self, rows: Int[Tensor, "m"], values: Tensor) -> None:
        """Write values to rows."""
        self._all.index_copy_(0, rows, values)

    @property
    def values(self) -> Tensor:
        """Return the values without that row."""
        return self._all[:-1]


@dataclass(frozen=True)
class Outcome:
    """The result of an iteration."""

    centres: BodyParams
    distance: int  # the sum, see `sums.summed`
    changed: int
    empty: int


class IterationGraph:
    """Iterations over embedded bodies with K centres, in a graph once the lists are steady."""

    def __init__(self, points: EmbeddedBodies, k: int) -> None:
        self._points, self._k, self._open = points, k, len(points)
        bodies = len(points)
        lists = ListLengths(bodies // 16, bodies // 64, bodies // 128, bodies // 128, 512)
        self._make(lists.with_spare(), False)

    @staticmethod
    def where_it_fits(points: EmbeddedBodies, k: int) -> "IterationGraph | None":
        """Return the graph if all bodies are kept on a GPU, with coordinates in half precision; else None."""
        fits = points.device.type == "cuda" and points.whole and k <= GPU_MADE
        return IterationGraph(points, k) if fits else None

    @full_precision()
    def __call__(self, centres: BodyParams, sums: Sums) -> Outcome | None:
        """Return the outcome of these centres and update the sums.

        Return None, and change nothing, if a list fills its capacity.
        """
        if self._capacity.open * self._k > GPU_SCORES:  # step by step takes less memory
            return None
        rotmats, betas, labels, total, counts = self._run(
            centres.rotmats, centres.betas, sums.labels, sums.total
        )
        distance, changed, empty, *needed = counts.tolist()
        lists = ListLengths(*needed)
        held = self._capacity.hold(lists)
        if not held:
            self._make(ListLengths(*(2 * capacity for capacity in astuple(self._capacity))), False)
            return None
        if not self._recorded:
            self._make(lists.with_spare(), lists.open >= STEADY * self._open)
        self._open = lists.open
        sums.replace(labels.clone(), total.clone())
        return Outcome(BodyParams(rotmats.clone(), betas.clone()), distance, changed, empty)

    def _make(self, capacity: ListLengths, recorded: bool) -> None:
        """Take these capacities, recorded or not: to record a graph takes as long as several iterations."""
        self._capacity, self._recorded = capacity, recorded
        work = partial(_iteration, self._points, self._k, capacity)
        self._run: Callable[..., tuple[Tensor, ...]] = CudaGraph(work) if recorded else work


def _iteration(
    points: EmbeddedBodies,
    k: int,
    capacity: ListLengths,
    rotmats: Tensor,
    betas: Tensor,
    before: Int[Tensor, "n"],
    total: Int[Tensor, "k s"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the next centres, labels and sums, and the counts of `Outcome` and of `ListLengths`."""
    params = BodyParams(rotmats, betas)
    centres = Centres(points, params, recorded=False)
    found = _searched(centres, k, capacity)
    whole, exact = _settle(centres, found, capacity)
    labels = found.labels.values
    total = shifted(points, total, before, labels)
    means, sizes = means_of(total)
    after = moved(params, points.space, means, sizes)
    counts = [
        summed(found.distances.values),
        (labels != before).sum(),
        (sizes == 0).sum(),
        *(listed.count for listed in (found.some, found.pairs, found.left)),
        whole,
        exact,
    ]
    return after.rotmats, after.betas, labels, total, torch.stack(counts)


@dataclass(frozen=True)
class _Searched:
    """The nearest centres by coordinates, and what the coordinates leave open."""

    labels: PaddedScatter
    distances: PaddedScatter
    some: PaddedIndices  # bodies that were compared by all coordinates
    inaccurate: Bool[Tensor, "o"]  # which of them have an inaccurate distance
    pairs: PaddedIndices  # of these bodies with other centres
    left: PaddedIndices  # pairs whose order is open
    body: Int[Tensor, "l"]  # the body of a pair that is left, as a row of `some`
    other: Int[Tensor, "l"]  # its other centre


def _searched(centres: Centres, k: int, capacity: ListLengths) -> _Searched:
    """Return the nearest centres by leading coordinates, by all, and by centre against centre."""
    points = centres.points
    b, chunk, nobody = points.bounds, points.chunk(0), len(points)
    nearest = centres.leading.nearest(chunk.leading)
    some = PaddedIndices(
        is_inaccurate(b, nearest.low, nearest.width, ROUGH) | ~nearest.is_decided, capacity.open
    )

    coordinates, own = chunk.coordinates.index_select(0, some.at), b[some.at]
    better, above, reach = centres.full.compare(factor(coordinates, own))
    labels = PaddedScatter(nearest.centre)
    distances = PaddedScatter(squared_of(b, nearest.low, nearest.width).sqrt())
    labels.put(some.rows, better.centre)
    distances.put(some.rows, squared_of(own, better.low, better.width).sqrt())
    near = (above <= reach) & (some.real & ~better.is_decided)
    pairs = PaddedIndices(near.flatten(), capacity.pairs)
    body, other = pairs.at % capacity.open, pairs.at // capacity.open

    worse, nearer = compared(
        centres, coordinates.index_select(0, body), own[body], better.centre[body], other
    )
    rival = ~worse & pairs.real
    rivals = body.new_zeros(capacity.open).index_add_(0, body, rival.long())
    won = nearer & rival & (rivals[body] == 1)
    labels.put(some.rows[body].where(won, nobody), other)
    left = PaddedIndices(rival & ~won, capacity.left)
    inaccurate = is_inaccurate(own, better.low, better.width, ROUGH) & some.real
    return _Searched(
        labels, distances, some, inaccurate, pairs, left, body[left.at], other[left.at]
    )


def _settle(centres: Centres, found: _Searched, capacity: ListLengths) -> tuple[Tensor, Tensor]:
    """Resolve open pairs by whole points; return how many bodies and float64 pairs that took.

    A body is paired with its best centre and with its rivals; a body without rivals, whose distance is
    inaccurate, with its best centre only.
    """
    points, some, left = centres.points, found.some, found.left
    asked = left.rows.new_zeros(capacity.open).index_add_(0, found.body, left.real.long()) > 0
    holds = asked | found.inaccurate
    whole = PaddedIndices(holds, capacity.whole)
    place = (holds.long().cumsum(0) - 1).clamp_max(capacity.whole)
    each = torch.arange(capacity.whole, device=place.device)
    group = torch.cat([each, place[found.body].where(left.real, capacity.whole)])
    mine = some.at[whole.at]
    centre = torch.cat([found.labels.values[mine], found.other])
    bodies, row = points.bodies(mine), group.clamp_max(capacity.whole - 1)
    ends, column = centres.whole(centre)
    between = lengths(points.space.embed(bodies), ends, row, column)
    noise = centres.noise[centre] + points.space.noise_of(bodies)[row]
    exact = place.new_zeros(())

    def resolve(doubtful: Tensor, close: Tensor) -> Tensor:
        pair = PaddedIndices(doubtful & (group < capacity.whole), capacity.exact)
        both = BodyParams.cat([bodies[row[pair.at]], centres.params[centre[pair.at]]])
        made, one = points.space.exact(both), torch.arange(capacity.exact, device=place.device)
        gap = lengths(made, made, one, one + capacity.exact).masked_fill(~pair.real, torch.inf)
        closest = PaddedScatter(close)
        closest.put(pair.rows, tied(gap, group[pair.at], capacity.whole + 1))
        exact.copy_(pair.count)
        return closest.values

    nearest, gap = chosen(between, noise, group, centre, capacity.whole + 1, resolve)
    rows = some.rows[whole.at].where(whole.real, len(points))
    found.labels.put(rows, nearest[:-1])
    found.distances.put(rows, gap[:-1])
    return whole.count, exact
