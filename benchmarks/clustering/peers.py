"""The peers: each clusters the vertex vectors (20,670 numbers per body) of a subset.

If a peer does not report the time of each iteration, it is the difference of two fits with different numbers
of iterations. Each returns (seconds per iteration, labels, the centres of these labels).
"""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor

from pmnet.body import BodyModel, BodyParams
from pmnet.core.device import full_precision

Found = tuple[float, Tensor, Tensor]


def sklearn(algorithm: str) -> Callable[[Tensor, Tensor, int], Found]:
    """Return scikit-learn's Lloyd or Elkan."""

    def run(vectors: Tensor, centres: Tensor, iterations: int) -> Found:
        from sklearn.cluster import KMeans

        def fit(count: int) -> tuple[float, Any]:
            model = KMeans(
                len(centres),
                init=centres.numpy(),
                n_init=1,
                max_iter=count,
                tol=0.0,
                algorithm=algorithm,
                copy_x=False,
            )
            begun = time.perf_counter()
            model.fit(vectors.numpy())
            return time.perf_counter() - begun, model

        once = min(fit(1)[0] for _ in range(2))
        more, model = fit(1 + iterations)
        each = (more - once) / max(model.n_iter_ - 1, 1)
        return each, torch.from_numpy(model.labels_), torch.from_numpy(model.cluster_centers_)

    return run


def faiss(vectors: Tensor, centres: Tensor, iterations: int) -> Found:
    """Return FAISS's k-means on all vectors (its default draws 256 per centre)."""
    import faiss as library

    library.omp_set_num_threads(torch.get_num_threads())
    x, start = vectors.numpy(), centres.numpy()

    model = library.Kmeans(
        x.shape[1],
        len(start),
        niter=1 + iterations,
        max_points_per_centroid=10**9,
        min_points_per_centroid=1,
    )
    model.train(x, init_centroids=start)
    ends = [stats["time"] for stats in model.iteration_stats]  # seconds since its beginning
    labels = torch.from_numpy(model.index.search(x, 1)[1][:, 0])
    each = median(after - before for before, after in pairwise(ends))
    return each, labels, torch.from_numpy(model.centroids)


def torch_gemm(precision: str) -> Callable[[Tensor, Tensor, int], Found]:
    """Return the assignment alone, as one matrix product per chunk; "highest" is float32, "high" TF32."""

    def run(vectors: Tensor, centres: Tensor, iterations: int) -> Found:
        with full_precision():
            torch.set_float32_matmul_precision(precision)
            norms = (centres**2).sum(1)
            size = 4096 if vectors.device.type == "cpu" else 1 << 15

            def assign() -> Tensor:
                parts = [
                    torch.addmm(norms, part, centres.T, alpha=-2).argmin(1)
                    for part in vectors.split(size)
                ]
                return torch.cat(parts)

            return *_timed(assign, iterations), centres

    return run


def flash_kmeans(vectors: Tensor, centres: Tensor, iterations: int) -> Found:
    """Return the flash-kmeans kernel's assignment alone, in half precision (a GPU only)."""
    from flash_kmeans.assign_euclid_triton import euclid_assign_triton

    x, c = vectors.half()[None], centres.half()[None]
    squared = torch.cat([part.float().square().sum(1) for part in x[0].split(4096)])[None]
    return *_timed(lambda: euclid_assign_triton(x, c, squared)[0], iterations), centres


def _timed(assign: Callable[[], Tensor], iterations: int) -> tuple[float, Tensor]:
    labels, took = assign().cpu(), []
    for _ in range(iterations):
        begun = time.perf_counter()
        labels = assign().cpu()
        took.append(time.perf_counter() - begun)
    return median(took), labels


def literal_pair_s(body: BodyModel, params: BodyParams, pairs: int) -> float:
    """Return the seconds per pair if Algorithm 1 is taken literally: each pair makes two bodies."""
    one = torch.arange(1)
    body(params[one])
    took = []
    for index in range(pairs):
        begun = time.perf_counter()
        difference = body(params[one + index]).vertices - body(params[one]).vertices
        float(difference.norm())
        took.append(time.perf_counter() - begun)
    return median(took)
