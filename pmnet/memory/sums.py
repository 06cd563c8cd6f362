"""Sums of the statistics of clusters, exact: they can be taken apart and put together in any order."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int
from scipy.sparse import csr_matrix
from torch import Tensor

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
        for index, rows in enumerate(self._points.chunks()):
            moved = changed[rows].nonzero()[:, 0]
            if len(moved) or before is None:
                numbers = self._numbers(index, moved)
                self._add(
                    labels[rows][moved], None if before is None else before[rows][moved], numbers
                )
        return int(changed.sum())

    def means(self, shard: Shard) -> tuple[Float64[Tensor, "k s"], Int[Tensor, "k"]]:
        """Return the mean statistics of each cluster over all processes (0 where empty), and its size."""
        total = shard.sum(self._sums)
        sizes = total[:, -1]
        means = total[:, :-1].double() / FIXED / sizes.clamp_min(1)[:, None]
        return means, sizes

    def _add(self, to: Tensor, of: Tensor | None, numbers: Int[Tensor, "b s"]) -> None:
        """Add the numbers of some bodies to their clusters, and take them from those they were in."""
        if numbers.device.type == "cuda":
            self._sums.index_add_(0, to, numbers)
            if of is not None:
                self._sums.index_add_(0, of, numbers, alpha=-1)
            return
        # a sparse product: torch adds row after row, each as an operation of its own
        count, times = len(to), 1 if of is None else 2
        labels = to if of is None else torch.cat([to, of])
        signs = np.repeat(np.array([1, -1])[:times], count)
        places = labels.numpy(), np.tile(np.arange(count), times)
        shares = csr_matrix((signs, places), shape=(self._k, count))
        self._sums += torch.from_numpy(shares @ numbers.numpy())

    def _numbers(self, index: int, moved: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
        """Return the statistics of some bodies of a chunk as integers, and ones to count them."""
        params = self._points.chunk(index).params[moved]
        found = self._points.space.statistics(params)
        numbers = found.new_ones(len(found), found.shape[1] + 1)
        torch.mul(found, FIXED, out=numbers[:, :-1])  # exact: a power of two
        numbers = numbers.round_().long()
        if not self._sums.numel():
            self._sums = numbers.new_zeros(self._k, numbers.shape[1])
        return numbers
