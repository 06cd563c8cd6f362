"""How good and how stable a memory is, for several K: what to look at before choosing K."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.embedded import EmbeddedBodies, embed_bodies
from pmnet.clustering.kmeans import kmeans
from pmnet.clustering.options import Cluster
from pmnet.clustering.reference import Clustering

TAIL_PERCENT = 10


@dataclass(frozen=True)
class Quality:
    """A row of the table: one K, means over the seeds. Distances are in the units of the space.

    The tail is the 10 % of samples that are farthest from the single prototype, the head all others.
    `drift` is the mean distance from a prototype of one seed to the nearest prototype of another seed, and
    `drift_share` its ratio to the mean distance of a sample. Far below 1, every seed finds the same
    prototypes.
    """

    k: int
    seeds: int
    mean_distance: float
    head_distance: float
    tail_distance: float
    largest_share: float
    median_share: float
    smallest_share: float
    empty: float
    drift: float
    drift_share: float


def qualities(
    points: EmbeddedBodies, options: Cluster, ks: list[int], seeds: int
) -> Iterator[Quality]:
    """Yield the quality for each number of prototypes, from clusterings of that many `seeds`."""
    one = replace(options, k=1, max_iterations=max(options.max_iterations, 1))
    single = kmeans(points, one)
    tail = _tail(single.distances)
    for k in ks:
        runs = [kmeans(points, replace(options, k=k, seed=options.seed + s)) for s in range(seeds)]
        yield _quality(points, runs, tail)


def _tail(distances: Float[Tensor, "n"]) -> Tensor:
    size = max(len(distances) * TAIL_PERCENT // 100, 1)
    tail = torch.zeros_like(distances, dtype=torch.bool)
    tail[distances.argsort(descending=True, stable=True)[:size]] = True
    return tail


def _quality(points: EmbeddedBodies, runs: list[Clustering], tail: Tensor) -> Quality:
    k, n = len(runs[0].centres), len(tail)
    rows = []
    for run in runs:
        shares = torch.bincount(run.assignments, minlength=k).double() / n
        distances = run.distances.double()
        drifts = [_drift(points, run, other) for other in runs if other is not run]
        drift = sum(drifts) / len(drifts) if drifts else float("nan")
        mean = float(distances.mean())
        head, rest = distances[~tail], distances[tail]
        rows.append(
            [
                mean,
                float(head.mean()),
                float(rest.mean()),
                float(shares.max()),
                float(shares.median()),
                float(shares.min()),
                float((shares == 0).sum()),
                drift,
                drift / max(mean, 1e-12),
            ]
        )
    names = [field.name for field in fields(Quality)][2:]
    means = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
    return Quality(k=k, seeds=len(runs), **dict(zip(names, means, strict=True)))


def _drift(points: EmbeddedBodies, run: Clustering, other: Clustering) -> float:
    """Return the mean distance from the prototypes of a run to the nearest ones of another run."""
    centres = embed_bodies(points.embedding, run.centres, 0.0)
    _, distances = assign(centres, other.centres)
    return float(distances.double().mean())
