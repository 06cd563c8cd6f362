"""Exact sums of the statistics of clusters: the same in any order of addition."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from scipy.sparse import csc_matrix
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.embedded import EmbeddedBodies
from pmnet.clustering.sharding import Shard
from pmnet.core.device import has_kernels
from pmnet.memory.spaces import Space

FIXED: Final = 2.0**30  # an int64 holds the sum of 8 billion numbers up to 1, each rounded by 5e-10
DISTANCE: Final = 2.0**24
NOWHERE: Final = -1  # the cluster of a body before the first assignment


class Sums:
    """The sum of the statistics of the members of each cluster, as integers in units of 2^-30.

    Integers have the same sum in any order. So a body that changes its cluster is subtracted from one sum
    and added to another, and two processes get the sums of one.
    """

    def __init__(self, points: EmbeddedBodies, k: int) -> None:
        self._points = points
        self.labels = torch.full_like(points.bounds.squared, NOWHERE, dtype=torch.long)
        numbers = _numbers(points, self.labels[:0])
        self.total = numbers.new_zeros(k, numbers.shape[1])
        self.begun = False

    def move(self, labels: Int[Tensor, "n"]) -> int:
        """Move every body to the cluster of its label; return how many have changed."""
        changed = int((labels != self.labels).sum())
        self.replace(labels.clone(), shifted(self._points, self.total, self.labels, labels))
        return changed

    def replace(self, labels: Int[Tensor, "n"], total: Int[Tensor, "k s"]) -> None:
        """Set the labels and the sums that belong to them."""
        self.labels, self.total, self.begun = labels, total, True

    def means(self, shard: Shard) -> tuple[Float64[Tensor, "k s"], Int[Tensor, "k"]]:
        """Return mean statistics and sizes of the clusters, over all processes."""
        return means_of(shard.sum(self.total))


def shifted(
    points: EmbeddedBodies,
    total: Int[Tensor, "k s"],
    before: Int[Tensor, "n"],
    after: Int[Tensor, "n"],
) -> Int[Tensor, "k s"]:
    """Return the sums after each body has moved from its cluster `before` to its cluster `after`."""
    if points.held is not None and has_kernels(points.device):
        from pmnet.clustering.exact.kernels import shift

        total = total.clone()
        for rows in points.chunks():
            parts = points.space.statistics(points.held[rows])
            shift(total, parts, before[rows], after[rows], FIXED)
        return total
    every = torch.cat([total, torch.zeros_like(total[:1])])  # one more row, for NOWHERE
    for rows in (before != after).nonzero()[:, 0].split(points.piece):
        _add(every, after[rows], before[rows] % len(every), _numbers(points, rows))
    return every[:-1]


def _add(
    total: Int[Tensor, "k s"],
    to: Int[Tensor, "b"],
    of: Int[Tensor, "b"],
    numbers: Int[Tensor, "b s"],
) -> None:
    """Add the numbers of some bodies to the clusters `to`, and subtract them from the clusters `of`."""
    if numbers.device.type == "cuda":
        total.index_add_(0, to, numbers).index_add_(0, of, numbers, alpha=-1)
        return
    # a sparse product: index_add_ on a CPU adds row after row, which is slower
    signs, ends = np.tile([1, -1], len(to)), np.arange(0, 2 * len(to) + 1, 2)
    places = torch.stack([to, of], 1).flatten().numpy()
    shares = csc_matrix((signs, places, ends), shape=(len(total), len(to)))
    total += torch.from_numpy(shares @ numbers.numpy())


def _numbers(points: EmbeddedBodies, rows: Int[Tensor, "b"]) -> Int[Tensor, "b s"]:
    """Return the statistics of some bodies as integers, with a column of ones that counts them."""
    parts = points.space.statistics(points.bodies(rows))
    numbers = torch.cat([*parts, torch.ones_like(parts[0][:, :1])], 1)
    numbers[:, :-1] *= FIXED  # exact: a power of two
    return numbers.round_().long()


def means_of(total: Int[Tensor, "k t"]) -> tuple[Float64[Tensor, "k s"], Int[Tensor, "k"]]:
    """Return the mean statistics of each cluster (0 if it is empty), and its size."""
    sizes = total[:, -1]
    return total[:, :-1].double() / FIXED / sizes.clamp_min(1)[:, None], sizes


def moved(
    centres: BodyParams, space: Space, means: Float64[Tensor, "k s"], sizes: Int[Tensor, "k"]
) -> BodyParams:
    """Return the mean body of each cluster; an empty one keeps its centre."""
    after, kept = space.mean_body(means), sizes == 0
    return BodyParams(
        torch.where(kept[:, None, None, None], centres.rotmats, after.rotmats),
        torch.where(kept[:, None], centres.betas, after.betas),
    )


def summed(distances: Float[Tensor, "n"]) -> Int[Tensor, ""]:
    """Return the sum of distances as an integer in units of 2^-24: the same in any order."""
    return (distances.double() * DISTANCE).round().long().sum()
