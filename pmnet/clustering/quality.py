"""How good and how stable a memory is, for several K: what a builder asks before choosing one."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pmnet.clustering.exact.assign import assign
from pmnet.clustering.exact.embedded import EmbeddedBodies
from pmnet.clustering.kmeans import Search, kmeans
from pmnet.clustering.reference import Clustering

TAIL_PERCENT = 10


@dataclass(frozen=True)
class Quality:
    """A row of the table: one K, means over the seeds. Distances are those of the space.

    Head and tail are the samples nearest to and farthest from the single prototype: the farthest 10 %,
    and all others. `drift` is the mean distance from a prototype of one seed to the nearest of another,
    and `drift_share` its ratio to the mean distance of a sample: far below 1, the prototypes are found
    again whatever the seed.
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
    points: EmbeddedBodies, search: Search, ks: list[int], seeds: int
) -> Iterator[Quality]:
    """Yield the quality of the clusterings into each number of prototypes; `seeds` searches each."""
    single = kmeans(points, replace(search, k=1, max_iterations=max(search.max_iterations, 1)))
    tail = _tail(single.distances)
    for k in ks:
        runs = [kmeans(points, replace(search, k=k, seed=search.seed + s)) for s in range(seeds)]
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
    """Return the mean distance from the prototypes of a run to the nearest of another run."""
    centres = EmbeddedBodies(points.embedding, run.centres, 0.0)
    _, distances = assign(centres, other.centres)
    return float(distances.double().mean())
