"""The statistics of all reports: subsets of the samples, bins of distance, means and intervals.

All runs are measured on the same samples, and the samples of a sequence are not independent. So
errors are averaged over training seeds sample by sample, compared in pairs, and resampled by whole
sequences. An interval covers the choice of the test sequences, but not the choice of the training seed.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from pmnet.report.options import ReportOptions

BLOCK: Final = 4_000_000  # numbers drawn at a time
DECILES: Final = 10


# --- which samples


def tail(samples: pd.DataFrame, percent: int) -> Bool[np.ndarray, "samples"]:
    """Return which samples are the `percent` % of each data set farthest from the mean body.

    At least one sample each, ties by sample; a data set without distances has no tail (Table IV).
    """
    places = pd.RangeIndex(len(samples))
    far = samples.set_index(places).dropna(subset="distance_to_mean_mm")
    far = far.sort_values(["distance_to_mean_mm", "sample"], ascending=[False, True])
    by_dataset = far.groupby("dataset")["sample"]
    size = (by_dataset.transform("size") * percent // 100).clip(lower=1)
    in_tail = np.zeros(len(samples), bool)
    in_tail[far.index[by_dataset.cumcount() < size]] = True
    return in_tail


def subsets(samples: pd.DataFrame, tails: Sequence[int]) -> dict[str, Bool[np.ndarray, "samples"]]:
    """Return which samples are in `all` and in `tail_5`, `tail_10`, ..., in the order of `tails`."""
    tails_of = {f"tail_{percent}": tail(samples, percent) for percent in tails}
    return {"all": np.ones(len(samples), bool)} | tails_of


def widest_first(
    samples: pd.DataFrame, tails: Sequence[int]
) -> dict[str, Bool[np.ndarray, "samples"]]:
    """Return the subsets from all samples to the farthest tail."""
    return subsets(samples, sorted(tails, reverse=True))


def distance_bins(samples: pd.DataFrame, bins: int) -> Int[np.ndarray, "samples"]:
    """Return the bin of each sample, 0 the nearest; equal widths over a data set's distances."""
    by_dataset = samples.groupby("dataset")["distance_to_mean_mm"]
    nearest = by_dataset.transform("min")
    width = (by_dataset.transform("max") - nearest) / bins
    steps = (samples["distance_to_mean_mm"] - nearest) / width.where(width > 0, 1.0)
    numbers: np.ndarray = steps.astype(int).clip(upper=bins - 1).to_numpy()
    return numbers


def deciles(samples: pd.DataFrame) -> Int[np.ndarray, "samples"]:
    """Return the decile of each sample, 0 the nearest: equally many each, ties by sample."""
    order = np.lexsort((samples["sample"], samples["distance_to_mean_mm"]))
    rank = np.empty(len(samples), np.int64)
    rank[order] = np.arange(len(samples))
    return rank * DECILES // len(samples)


# --- numbers of these samples


def mean(values: NDArray[Any]) -> float:
    """Return the mean of all numbers; NaN where there are none."""
    return float(values.mean()) if values.size else float("nan")


def sd_over_seeds(values: Float[np.ndarray, "seeds samples"]) -> float:
    """Return the standard deviation of the seeds' means; NaN for a single seed."""
    return float(values.mean(1).std(ddof=1)) if len(values) > 1 else float("nan")


def gain(
    errors: Float[np.ndarray, "seeds samples"], against: Float[np.ndarray, "other_seeds samples"]
) -> Float[np.ndarray, "samples"]:
    """Return by sample how much lower the error is than another run's: positive is better."""
    by_sample: np.ndarray = against.mean(0) - errors.mean(0)
    return by_sample


def interval(
    errors: Float[np.ndarray, "seeds samples"],
    sequences: NDArray[Any],
    report: ReportOptions,
    against: Float[np.ndarray, "other_seeds samples"] | None = None,
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of a number, or of the gain over another run.

    All intervals of all reports are made here. `sequences` has the sequence of each sample.
    """
    values = errors.mean(0) if against is None else gain(errors, against)
    return bootstrap_interval(values, sequences, report.bootstrap, report.seed)


def bootstrap_interval(
    values: NDArray[Any], sequences: NDArray[Any], draws: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `values` over bootstrap draws of sequences.

    Whole sequences are redrawn. NaN for a single sequence, which says nothing about others.
    """
    codes, names = pd.factorize(np.asarray(sequences))
    if len(names) < 2:
        return float("nan"), float("nan")
    sums, counts = np.bincount(codes, values), np.bincount(codes).astype(float)
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(names))
    means = []
    for start in range(0, draws, rows):
        drawn = generator.integers(len(names), size=(min(rows, draws - start), len(names)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
