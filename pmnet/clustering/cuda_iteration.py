"""An iteration on a GPU as one graph: its hundreds of small operations cost the CPU one launch.

The steps are those of `assignment`, `settling` and `sums`. What a step leaves open is a list whose length
only the GPU knows. A graph cannot wait for it: its lists have fixed rooms, and a room that is not needed
holds one more than the last row, which reads as the last and is written to nobody. A list that fills
its room is found at the end; then nothing is taken, and the next graph has more room.
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
    64  # rooms grow by it; they are no multiples of 4, where torch reduces columns slowly
)
SPARE = 1.1  # times what was needed
STEADY = 0.9  # of the open bodies of an iteration before: from then on lists keep their lengths


@dataclass(frozen=True)
class Rooms:
    """How long the lists of an iteration are, or can be."""

    open: int  # bodies that the first coordinates leave open
    pairs: int  # of them with other centres
    left: int  # pairs that all coordinates leave open
    whole: int  # bodies of these, and those whose distance coordinates do not tell
    exact: int  # pairs that are compared in float64

    def with_spare(self) -> "Rooms":
        """Return rooms for lists of about these lengths."""
        return Rooms(
            *(int(SPARE * length / LIST_PADDING + 1) * LIST_PADDING + 2 for length in astuple(self))
        )

    def hold(self, lists: "Rooms") -> bool:
        """Return whether the lists leave some room."""
        return all(n < room for n, room in zip(astuple(lists), astuple(self), strict=True))


class PaddedIndices:
    """The rows where something holds, in a room."""

    def __init__(self, holds: Bool[Tensor, "n"], room: int) -> None:
        self.rows = torch.nonzero_static(holds, size=room, fill_value=len(holds))[:, 0]
        self.real = self.rows < len(holds)
        self.count = self.real.sum()
        self.at = self.rows.clamp_max(len(holds) - 1)  # to read from


class PaddedScatter:
    """Values that others are written over; what is written to nobody goes to one more row."""

    def __init__(self, values: Tensor) -> None:
        self._all = torch.cat([values, values[-1:]])

    def put(self, rows: Int[Tensor, "m"], values: Tensor) -> None:
        """Write values to rows."""
        self._all.index_copy_(0, rows, values)

    @property
    def values(self) -> Tensor:
        """Return all but that row."""
        return self._all[:-1]


@dataclass(frozen=True)
class Outcome:
    """What an iteration finds."""

    centres: BodyParams
    distance: int  # the sum, see `sums.summed`
    changed: int
    empty: int


class IterationGraph:
    """Iterations over points with K centres."""

    def __init__(self, points: EmbeddedBodies, k: int) -> None:
        self._points, self._k, self._open = points, k, len(points)
        bodies = len(points)
        lists = Rooms(bodies // 16, bodies // 64, bodies // 128, bodies // 128, 512)
        self._make(lists.with_spare(), False)

    @staticmethod
    def where_it_fits(points: EmbeddedBodies, k: int) -> "IterationGraph | None":
        """Return the graph, if all is at hand on a GPU, and in half precision."""
        fits = points.device.type == "cuda" and points.whole and k <= GPU_MADE
        return IterationGraph(points, k) if fits else None

    @full_precision()
    def __call__(self, centres: BodyParams, sums: Sums) -> Outcome | None:
        """Return what follows from these centres, and move the sums; None, and nothing, if it cannot."""
        if self._rooms.open * self._k > GPU_SCORES:  # step by step takes less memory
            return None
        rotmats, betas, labels, total, told = self._run(
            centres.rotmats, centres.betas, sums.labels, sums.total
        )
        distance, changed, empty, *needed = told.tolist()
        lists = Rooms(*needed)
        held = self._rooms.hold(lists)
        if not held:
            self._make(Rooms(*(2 * room for room in astuple(self._rooms))), False)
            return None
        if not self._recorded:
            self._make(lists.with_spare(), lists.open >= STEADY * self._open)
        self._open = lists.open
        sums.replace(labels.clone(), total.clone())
        return Outcome(BodyParams(rotmats.clone(), betas.clone()), distance, changed, empty)

    def _make(self, rooms: Rooms, recorded: bool) -> None:
        """Have these rooms, in a graph or not: it takes as long as several iterations to record one."""
        self._rooms, self._recorded = rooms, recorded
        work = partial(_iteration, self._points, self._k, rooms)
        self._run: Callable[..., tuple[Tensor, ...]] = CudaGraph(work) if recorded else work


def _iteration(
    points: EmbeddedBodies,
    k: int,
    rooms: Rooms,
    rotmats: Tensor,
    betas: Tensor,
    before: Int[Tensor, "n"],
    total: Int[Tensor, "k s"],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the next centres, labels, sums, and the numbers of `Outcome` and of `Rooms`."""
    params = BodyParams(rotmats, betas)
    centres = Centres(points, params, recorded=False)
    found = _searched(centres, k, rooms)
    whole, exact = _settle(centres, found, rooms)
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
    """Where coordinates lead, and what they leave open."""

    labels: PaddedScatter
    distances: PaddedScatter
    some: PaddedIndices  # bodies that were compared by all coordinates
    inaccurate: Bool[Tensor, "o"]  # which of them may be at another distance
    pairs: PaddedIndices  # of them with other centres
    left: PaddedIndices  # pairs whose order is open
    body: Int[Tensor, "l"]  # of a pair that is left, as a place in `some`
    other: Int[Tensor, "l"]  # its other centre


def _searched(centres: Centres, k: int, rooms: Rooms) -> _Searched:
    """Return the nearest centres by the first coordinates, by all, and by centre against centre."""
    points = centres.points
    b, chunk, nobody = points.bounds, points.chunk(0), len(points)
    found = centres.leading.nearest(chunk.leading)
    some = PaddedIndices(
        is_inaccurate(b, found.low, found.width, ROUGH) | ~found.is_decided, rooms.open
    )

    coordinates, own = chunk.coordinates.index_select(0, some.at), b[some.at]
    better, above, reach = centres.full.compare(factor(coordinates, own))
    labels = PaddedScatter(found.centre)
    distances = PaddedScatter(squared_of(b, found.low, found.width).sqrt())
    labels.put(some.rows, better.centre)
    distances.put(some.rows, squared_of(own, better.low, better.width).sqrt())
    near = (above <= reach) & (some.real & ~better.is_decided)
    pairs = PaddedIndices(near.flatten(), rooms.pairs)
    body, other = pairs.at % rooms.open, pairs.at // rooms.open

    worse, nearer = compared(
        centres, coordinates.index_select(0, body), own[body], better.centre[body], other
    )
    rival = ~worse & pairs.real
    rivals = body.new_zeros(rooms.open).index_add_(0, body, rival.long())
    won = nearer & rival & (rivals[body] == 1)
    labels.put(some.rows[body].where(won, nobody), other)
    left = PaddedIndices(rival & ~won, rooms.left)
    inaccurate = is_inaccurate(own, better.low, better.width, ROUGH) & some.real
    return _Searched(
        labels, distances, some, inaccurate, pairs, left, body[left.at], other[left.at]
    )


def _settle(centres: Centres, found: _Searched, rooms: Rooms) -> tuple[Tensor, Tensor]:
    """Write what whole points tell; return how many bodies and float64 pairs that took.

    A body is paired with its best centre, then with the others; one that is only inaccurate with the best.
    """
    points, some, left = centres.points, found.some, found.left
    asked = left.rows.new_zeros(rooms.open).index_add_(0, found.body, left.real.long()) > 0
    holds = asked | found.inaccurate
    whole = PaddedIndices(holds, rooms.whole)
    place = (holds.long().cumsum(0) - 1).clamp_max(rooms.whole)
    each = torch.arange(rooms.whole, device=place.device)
    group = torch.cat([each, place[found.body].where(left.real, rooms.whole)])
    mine = some.at[whole.at]
    centre = torch.cat([found.labels.values[mine], found.other])
    bodies, row = points.bodies(mine), group.clamp_max(rooms.whole - 1)
    ends, column = centres.whole(centre)
    between = lengths(points.space.embed(bodies), ends, row, column)
    noise = centres.noise[centre] + points.space.noise_of(bodies)[row]
    exact = place.new_zeros(())

    def told(doubtful: Tensor, close: Tensor) -> Tensor:
        pair = PaddedIndices(doubtful & (group < rooms.whole), rooms.exact)
        both = BodyParams.cat([bodies[row[pair.at]], centres.params[centre[pair.at]]])
        made, one = points.space.exact(both), torch.arange(rooms.exact, device=place.device)
        gap = lengths(made, made, one, one + rooms.exact).masked_fill(~pair.real, torch.inf)
        closest = PaddedScatter(close)
        closest.put(pair.rows, tied(gap, group[pair.at], rooms.whole + 1))
        exact.copy_(pair.count)
        return closest.values

    nearest, gap = chosen(between, noise, group, centre, rooms.whole + 1, told)
    rows = some.rows[whole.at].where(whole.real, len(points))
    found.labels.put(rows, nearest[:-1])
    found.distances.put(rows, gap[:-1])
    return whole.count, exact
