"""The centres that K-Means starts from: samples drawn at random (the paper), or far from each other."""

from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pmnet.body import BodyParams
from pmnet.clustering.exact.bounds import factor
from pmnet.clustering.exact.embedded import EmbeddedBodies
from pmnet.clustering.exact.refine import Centres
from pmnet.clustering.sharding import Shard
from pmnet.core.device import full_precision

FIXED: Final = 2.0**20  # squared distances are drawn by as integers: the same draw on any machine


def start(
    points: EmbeddedBodies, k: int, seed: int, init: Literal["random", "kmeans++"], shard: Shard
) -> BodyParams:
    """Return K bodies of the samples; the numbers are drawn on the host, alike on every device."""
    generator = torch.Generator().manual_seed(seed)
    if init == "random":
        rows = torch.randperm(shard.total, generator=generator)[:k].sort()[0]
    else:
        rows = _spread(points, k, generator, shard)
    return taken(points, rows, shard)


def taken(points: EmbeddedBodies, rows: Int[Tensor, "k"], shard: Shard) -> BodyParams:
    """Return the bodies of any rows of all samples, whichever process has them."""
    rows = rows.to(points.device)
    mine = ((rows >= shard.start) & (rows < shard.stop)).nonzero()[:, 0]
    held = points.bodies(rows[mine] - shard.start)
    rotmats = held.rotmats.new_zeros(len(rows), 24, 3, 3).index_copy_(0, mine, held.rotmats)
    betas = held.betas.new_zeros(len(rows), 10).index_copy_(0, mine, held.betas)
    return BodyParams(shard.sum(rotmats), shard.sum(betas))


def restart_seed(seed: int, restart: int) -> int:
    """Return the seed of a restart; the first is the seed itself."""
    if restart == 0:
        return seed
    return int(np.random.SeedSequence((seed, restart)).generate_state(1)[0])


@full_precision()
def _spread(
    points: EmbeddedBodies, k: int, generator: torch.Generator, shard: Shard
) -> Int[Tensor, "k"]:
    """Return K rows, each drawn by its squared distance to those before (Arthur and Vassilvitskii 2007).

    The distances are lower bounds: a copy of a body that was drawn has none and is not drawn.
    """
    rows = [int(torch.randint(shard.total, (1,), generator=generator))]
    nearest = torch.full_like(points.bounds.squared, torch.inf)
    while len(rows) < k:
        newest = taken(points, torch.tensor(rows[-1:]), shard)
        nearest = torch.minimum(nearest, _squared(points, newest))
        sums = (nearest.double() * FIXED).long().cumsum(0)
        totals = shard.counts(int(sums[-1]) if len(sums) else 0)
        if sum(totals) == 0:  # only copies are left
            rows += torch.randint(shard.total, (k - len(rows),), generator=generator).tolist()
            break
        # a share of the sum: where rounding makes it another one, the draw stays
        share = float(torch.rand((), dtype=torch.float64, generator=generator))
        drawn = min(int(share * sum(totals)), sum(totals) - 1)
        before = sum(totals[: shard.rank])
        found = 0
        if before <= drawn < before + totals[shard.rank]:
            found = shard.start + int(torch.searchsorted(sums, drawn - before, right=True))
        rows.append(sum(shard.counts(found)))
    return torch.tensor(rows)


def _squared(points: EmbeddedBodies, centre: BodyParams) -> Float[Tensor, "n"]:
    """Return lower bounds of the squared distances of all bodies to one."""
    scores, b = Centres(points, centre).all, points.bounds
    low = [
        scores.low(factor(points.chunk(index).coordinates, b[rows]))[0]
        for index, rows in enumerate(points.chunks())
    ]
    spread = b.noise * (2 * b.squared.sqrt() + b.noise)
    return (torch.cat(low) + b.squared - spread).clamp_min(0)
