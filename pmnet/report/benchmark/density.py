"""Error where training bodies are dense and where they are sparse, at equal distance to the mean body."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import spearmanr

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY, NEIGHBOUR
from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.curves import BodyBin, error_and_reduction
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import DECILES, Measured, deciles, interval, mean

FILE: Final = "density.parquet"
HALVES: Final = ("dense", "sparse")


def read_density(path: Path, samples: pd.DataFrame) -> Float[np.ndarray, "samples"]:
    """Return the distance (mm) of each sample to its 10th nearest training body (`pmnet errors density`).

    Raises InputError, naming the file, where it is broken or lacks a sample.
    """
    cure = "write it again (pmnet errors density)"
    try:
        table = pd.read_parquet(path).set_index(KEY)[NEIGHBOUR]
        found: np.ndarray = table.reindex(pd.MultiIndex.from_frame(samples[KEY])).to_numpy(float)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a table of densities ({error}); {cure}") from None
    if lacking := int(np.isnan(found).sum()):
        raise InputError(f"{path}: lacks {lacking} of {len(samples)} samples; {cure}")
    return found


def by_density(
    packed: RunErrors,
    neighbour_mm: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> pd.DataFrame:
    """Return MPVPE and its reduction (mm) of the main runs, by data set, decile of distance and half.

    Each decile is cut in two by `neighbour_mm`: `dense` has training bodies near, `sparse` has not. The
    reduction is against the single prototype.
    """
    return _by_dataset(_halves, packed, neighbour_mm, main, report)


def _halves(
    packed: RunErrors,
    near: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> Iterator[dict[str, Any]]:
    bins, sparse = deciles(packed.samples), is_sparse(packed.samples, near)
    against = packed.measured(main["single"].run, "model", "mpvpe_mm")
    for run in main.values():
        own = packed.measured(run.run, "model", "mpvpe_mm")
        for number in range(DECILES):
            for half, name in zip((~sparse, sparse), HALVES, strict=True):
                here = half & (bins == number)
                part = BodyBin.of(packed.samples[here])
                about = {"run": run.run, "bin": number, "half": name, NEIGHBOUR: mean(near[here])}
                yield about | error_and_reduction(own.part(here), against.part(here), part, report)


def is_sparse(
    samples: pd.DataFrame, neighbour_mm: Float[np.ndarray, "samples"]
) -> Bool[np.ndarray, "samples"]:
    """Return which half of each decile of distance is farther from training bodies; ties by sample."""
    by_decile = pd.Series(neighbour_mm).groupby(deciles(samples))
    rank, size = by_decile.rank(method="first"), by_decile.transform("size")
    sparse: np.ndarray = (rank > size / 2).to_numpy()
    return sparse


def of_density(
    packed: RunErrors,
    neighbour_mm: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> pd.DataFrame:
    """Return how MPVPE (mm) of the main runs depends on distance and on density, by data set.

    `sparse_minus_dense_mm` is the mean over deciles of distance of the difference between their halves,
    with its 95 % interval; the others are rank correlations (Spearman) over the samples, of means over seeds.
    """
    return _by_dataset(_effects, packed, neighbour_mm, main, report)


def _effects(
    packed: RunErrors,
    near: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> Iterator[dict[str, Any]]:
    distance = packed.samples["distance_to_mean_mm"].to_numpy()
    for run in main.values():
        own = packed.measured(run.run, "model", "mpvpe_mm")
        gap = _gap(own, packed.samples, near)
        low, high, _ = interval(gap, Clips.of(packed.samples), report)
        errors = own.values.mean(0)
        yield {
            "run": run.run,
            "sparse_minus_dense_mm": mean(gap.values),
            "low_mm": low,
            "high_mm": high,
            "spearman_distance": float(spearmanr(errors, distance).statistic),
            "spearman_density": float(spearmanr(errors, near).statistic),
        }


def _gap(own: Measured, samples: pd.DataFrame, near: Float[np.ndarray, "samples"]) -> Measured:
    """Return numbers by seed and sample whose mean is the mean over deciles of sparse minus dense.

    Each is the error above the mean of its decile, so that a draw with more of one half stays unbiased.
    """
    bins, sparse = deciles(samples), is_sparse(samples, near)
    values = np.zeros_like(own.values)
    for number in range(DECILES):
        here = bins == number
        if 0 < (share := mean(sparse[here])) < 1:
            above = own.values[:, here] - own.values[:, here].mean(1, keepdims=True)
            values[:, here] = above * np.where(sparse[here], 1 / share, -1 / (1 - share))
    return Measured(values, own.memory_seeds, own.run)


def _by_dataset(
    rows_of: Callable[..., Iterator[dict[str, Any]]],
    packed: RunErrors,
    neighbour_mm: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> pd.DataFrame:
    """Return the rows that `rows_of` makes of each data set."""
    return pd.DataFrame(
        {"dataset": dataset} | row
        for dataset, where in packed.datasets().items()
        for row in rows_of(packed.of_samples(where), neighbour_mm[where], main, report)
    )
