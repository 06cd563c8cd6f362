"""Sums of the statistics of clusters, exact: they can be taken apart and put together in any order."""

from typing import Final

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from pmnet.machine import on_cores
from pmnet.memory.points import Points
from pmnet.memory.sharding import Shard

FIXED: Final = 2.0**30  # int64 holds the sum of 8 billion numbers up to 1, each within 5e-10


class Sums:
    """The sum of the statistics of the members of each cluster, as integers in units of 2^-30.

    Integers add up to the same whatever the order, so a body that changes its cluster is taken from
    one sum and put to the other, and what two processes find is what one finds.
    """

    def __init__(self, points: Points, k: int) -> None:
        self._points, self._k = points, k
        self._labels: Tensor | None = None
        self._sums = torch.zeros(0)

    def move(self, labels: Int[Tensor, "n"]) -> int:
        """Take the members as these labels say; return how many have changed."""
        before, self._labels = self._labels, labels.clone()
        changed = torch.ones_like(labels, dtype=torch.bool) if before is None else before != labels
        rows, chunks = changed.nonzero()[:, 0], self._points.chunks()
        ends = torch.tensor([part.stop for part in chunks], device=rows.device)
        edges = [0, *torch.searchsorted(rows, ends).tolist()]
        # all of them at first: where there is no body there are sums
        some = [i for i in range(len(chunks)) if edges[i] < edges[i + 1] or before is None]

        def numbers(index: int) -> tuple[Tensor, Tensor]:
            moved = rows[edges[index] : edges[index + 1]]
            return moved, self._numbers(index, moved - chunks[index].start)

        for moved, added in on_cores(numbers, some, rows.device):
            if not self._sums.numel():
                self._sums = added.new_zeros(self._k, added.shape[1])
            self._sums.index_add_(0, labels[moved], added)
            if before is not None:
                self._sums.index_add_(0, before[moved], added, alpha=-1)
        return len(rows)

    def means(self, shard: Shard) -> tuple[Float64[Tensor, "k s"], Int[Tensor, "k"]]:
        """Return the mean statistics of each cluster over all processes (0 where empty), and its size."""
        total = shard.sum(self._sums)
        sizes = total[:, -1]
        means = total[:, :-1].double() / FIXED / sizes.clamp_min(1)[:, None]
        return means, sizes

    def _numbers(self, index: int, moved: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
        """Return the statistics of some bodies of a chunk as integers, and ones to count them."""
        params = self._points.chunk(index).params[moved]
        found = self._points.space.statistics(params).mul(FIXED)  # exact: a power of two
        numbers = found.new_ones(len(found), found.shape[1] + 1, dtype=torch.long)
        numbers[:, :-1] = found.round_()
        return numbers
