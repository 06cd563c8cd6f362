"""Sums of the statistics of clusters, exact: they can be taken apart and put together in any order."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float64, Int
from scipy.sparse import csc_matrix
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
        for rows in changed.nonzero()[:, 0].split(self._points.piece):
            self._add(labels[rows], None if before is None else before[rows], self._numbers(rows))
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
        count, labels = len(to), [to] if of is None else [to, of]
        places = torch.stack(labels, 1).flatten().numpy()
        signs = np.tile([1, -1][: len(labels)], count)
        ends = np.arange(0, len(places) + 1, len(labels))
        shares = csc_matrix((signs, places, ends), shape=(self._k, count))
        self._sums += torch.from_numpy(shares @ numbers.numpy())

    def _numbers(self, rows: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
        """Return the statistics of some bodies as integers, and ones to count them."""
        found = self._points.space.statistics(self._points.bodies(rows))
        numbers = found.new_ones(len(found), found.shape[1] + 1)
        torch.mul(found, FIXED, out=numbers[:, :-1])  # exact: a power of two
        numbers = numbers.round_().long()
        if not self._sums.numel():
            self._sums = numbers.new_zeros(self._k, numbers.shape[1])
        return numbers
