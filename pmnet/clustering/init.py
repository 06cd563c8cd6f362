"""The centres that K-Means starts from: samples drawn at random (the paper), or by k-means++."""

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

FIXED: Final = 2.0**20  # squared distances are integers for the draw: it is the same on any machine


def start(
    points: EmbeddedBodies, k: int, seed: int, init: Literal["random", "kmeans++"], shard: Shard
) -> BodyParams:
    """Return K of the bodies. Random numbers are drawn on the CPU: the draw is the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    if init == "random":
        rows = torch.randperm(shard.total, generator=generator)[:k].sort()[0]
    else:
        rows = _spread(points, k, generator, shard)
    return taken(points, rows, shard)


def taken(points: EmbeddedBodies, rows: Int[Tensor, "k"], shard: Shard) -> BodyParams:
    """Return the bodies of some rows of all samples, whichever process holds them."""
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
    """Return K rows by k-means++ (Arthur and Vassilvitskii 2007).

    Each row is drawn with the squared distance to its nearest drawn body as its weight. The distances are
    lower bounds: a copy of a drawn body has distance zero and is not drawn.
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
        # drawn as a share of the sum, so that the draw stays where rounding changes the sum
        share = float(torch.rand((), dtype=torch.float64, generator=generator))
        drawn = min(int(share * sum(totals)), sum(totals) - 1)
        before = sum(totals[: shard.rank])
        row = 0
        if before <= drawn < before + totals[shard.rank]:
            row = shard.start + int(torch.searchsorted(sums, drawn - before, right=True))
        rows.append(sum(shard.counts(row)))
    return torch.tensor(rows)


def _squared(points: EmbeddedBodies, centre: BodyParams) -> Float[Tensor, "n"]:
    """Return lower bounds of the squared distances of all bodies to one centre."""
    scores, b = Centres(points, centre).full, points.bounds
    low = [
        scores.low(factor(points.chunk(index).coordinates, b[rows]))[0]
        for index, rows in enumerate(points.chunks())
    ]
    spread = b.noise * (2 * b.squared.sqrt() + b.noise)
    return (torch.cat(low) + b.squared - spread).clamp_min(0)
