"""Ours: the time to embed, of an iteration and of a whole job, and the errors against the reference."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from benchmarks.measuring import Memory, runs_of, seconds, wrong
from benchmarks.rates import Busy
from pmnet.body import BodyModel, BodyParams
from pmnet.clustering.cuda_iteration import IterationGraph
from pmnet.clustering.exact.assign import ROUGH, assign, search, settle
from pmnet.clustering.exact.embedded import BodySource, EmbeddedBodies, embed_bodies
from pmnet.clustering.exact.embedding import embedding_of
from pmnet.clustering.exact.refine import Centres
from pmnet.clustering.init import start
from pmnet.clustering.kmeans import iterate
from pmnet.clustering.sharding import Shard
from pmnet.clustering.sums import Sums
from pmnet.memory.spaces import VertexSpace

LEARNT_FROM = 256  # bodies


@dataclass(frozen=True)
class Result:
    """The times, memory and errors of a clustering."""

    embed_s: float
    iterations_s: list[float]
    last_s: float  # the last assignment, with distances within 0.2 %
    peak_gib: float
    wrong: int
    checked: int

    @property
    def iteration_s(self) -> float:
        """Return the median of the iterations after the first."""
        return median(self.iterations_s[1:])

    @property
    def whole_s(self) -> float:
        """Return the time of the whole job (s)."""
        return self.embed_s + sum(self.iterations_s) + self.last_s


class Ours:
    """BodySource as points on a device, clustered there."""

    def __init__(
        self, body: BodyModel, weights: Tensor, device: torch.device, cache_gib: float
    ) -> None:
        self._body, self._weights, self._device = body, weights, device
        self._cache_gib = cache_gib

    def embed(self, bodies: BodySource) -> tuple[EmbeddedBodies, float, float]:
        """Return bodies as points, the time it took and the memory (GiB)."""

        def made() -> EmbeddedBodies:
            sample = bodies[slice(0, LEARNT_FROM)]
            embedding = embedding_of(VertexSpace(self._body, self._weights), sample)
            return embed_bodies(embedding, bodies, self._cache_gib, self._device)

        with Memory(self._device) as memory:
            embed_s, points = seconds(made, self._device)
        return points, embed_s, memory.peak_gib

    def clustered(
        self, embedded: tuple[EmbeddedBodies, float, float], k: int, count: int, checked: int
    ) -> Result:
        """Return how long `count` iterations take; the assignments of `checked` samples are checked.

        The fastest of several runs counts (`runs_of`).
        """
        points, embed_s, gib = embedded
        with Memory(self._device) as memory:
            graph = IterationGraph.where_it_fits(points, k)
            runs = (self._run(points, k, count, graph) for _ in range(runs_of(k)))
            start_s, took, centres, sums = min(runs, key=lambda run: sum(run[1]))
            last_s, (labels, _) = seconds(lambda: assign(points, centres), self._device)
        self._print_parts(points, centres, sums, graph)
        generator = torch.Generator().manual_seed(1)
        rows = torch.randperm(len(points), generator=generator)[:checked].to(labels.device)
        bad = self._wrong(points.bodies, rows, centres, labels[rows])
        cpu = self._device.type == "cpu"
        peak = gib + memory.peak_gib if cpu else max(gib, memory.peak_gib)
        return Result(embed_s + start_s, took, last_s, peak, bad, len(rows))

    def _run(
        self, points: EmbeddedBodies, k: int, count: int, graph: IterationGraph | None
    ) -> tuple[float, list[float], BodyParams, Sums]:
        """Return the seconds of the start and of each iteration, the last centres and the sums."""
        shard, took = Shard.whole(len(points)), []
        start_s, centres = seconds(lambda: start(points, k, 0, "random", shard), self._device)
        sums = Sums(points, k)
        for _ in range(count):
            used = centres
            each_s, (_, centres) = seconds(
                lambda used=used: iterate(points, used, sums, shard, graph), self._device
            )
            took.append(each_s)
        return start_s, took, centres, sums

    def _print_parts(
        self, points: EmbeddedBodies, params: BodyParams, sums: Sums, graph: IterationGraph | None
    ) -> None:
        """Print the time of each part of an iteration."""
        where, shard = self._device, Shard.whole(len(points))
        centres_s, centres = seconds(lambda: Centres(points, params), where)
        search_s, found = seconds(lambda: search(centres, ROUGH), where)
        settle_s, (labels, _) = seconds(lambda: settle(found), where)
        sums_s, _ = seconds(lambda: sums.move(labels), where)
        means_s, _ = seconds(lambda: points.space.mean_body(sums.means(shard)[0]), where)
        parts = {
            "centres": centres_s,
            "search": search_s,
            "settle": settle_s,
            "sums": sums_s,
            "means": means_s,
        }
        text = ", ".join(f"{name} {part * 1e3:.2f}" for name, part in parts.items())
        print(f"# K={len(params)}: parts of an iteration, step by step (ms): {text}", flush=True)
        with Busy(1, where.type == "cuda") as busy:
            iterate(points, params, sums, shard, graph)
        busy.tell("an iteration")

    def _wrong(
        self,
        bodies_of: Callable[[Tensor], BodyParams],
        rows: Tensor,
        centres: BodyParams,
        labels: Tensor,
    ) -> int:
        """Count wrong labels of some rows, by float64 vertices that the body model makes, not our blocks."""
        reference = self._body.double_precision()
        weights = self._weights.double()

        def vectors(params: BodyParams) -> Tensor:
            return (reference.vertices_by_axis(params.to(torch.float64)) * weights).flatten(1)

        ends = torch.cat([vectors(centres[part]) for part in _parts(len(centres))])
        return sum(
            wrong(vectors(bodies_of(rows[part])), ends, labels[part]) for part in _parts(len(rows))
        )


def _parts(count: int, size: int = 2048) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]
