"""The statistics of all reports: subsets of the samples, bins of distance, means and intervals.

All runs are measured on the same samples, so they are compared in pairs. Neither the images of a clip nor
the clips of a subject are independent, and another seed gives another network. So an interval redraws all
four: clustering seeds, training seeds, subjects and clips (`redraws`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.special import stdtrit

from pmnet.report.options import ReportOptions
from pmnet.report.redraws import MOST_CLIPS, Clips, redraws, shares

BLOCK: Final = 4_000_000  # numbers at a time
DECILES: Final = 10
PERCENTILES: Final = (2.5, 97.5)
LEVELS: Final = ("clustering seeds", "training seeds", "subjects", "clips")
BALANCED_BINS: Final = 100  # of the balanced mean


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


def balanced_bins(distances: Float[np.ndarray, "samples"]) -> Int[np.ndarray, "samples"]:
    """Return the bin of each sample by the rule of IHMR (Balanced MSE, CVPR 2022), 100 of equal width.

    The bin is int((d - min) / width - 0.001), cut towards zero: a distance on a lower edge, or less than a
    thousandth of a width above it, is in the bin below, and the largest is in the last. Equal
    distances, for which IHMR divides by zero, are one bin.
    """
    nearest = distances.min(initial=np.inf)
    width = (distances.max(initial=-np.inf) - nearest) / BALANCED_BINS
    if not width > 0:
        return np.zeros(len(distances), np.int64)
    numbers: np.ndarray = ((distances - nearest) / width - 0.001).astype(np.int64)
    return numbers


def balanced_mean(
    errors: Float[np.ndarray, "seeds samples"], bins: Int[np.ndarray, "samples"]
) -> float:
    """Return the mean over the filled bins of the mean error in a bin (bMPVPE, all samples, of IHMR).

    No weights: a bin of one sample counts as much as a bin of thousands.
    """
    filled, bin_of = np.unique(bins, return_inverse=True)
    if not len(filled):
        return float("nan")
    return float((np.bincount(bin_of, errors.mean(0)) / np.bincount(bin_of)).mean())


def effective_number(groups: Int[np.ndarray, "samples"]) -> float:
    """Return 1 over the sum of the squared shares of the groups: how many equal groups say as much."""
    shares_of = np.bincount(groups) / len(groups)
    return float(1 / (shares_of**2).sum())


def leave_one_out(
    values: Float[np.ndarray, "samples"], groups: Int[np.ndarray, "samples"]
) -> tuple[float, float]:
    """Return the lowest and the highest mean with one of the groups left out; NaN for one group."""
    counts = np.bincount(groups)
    if (counts > 0).sum() < 2:
        return float("nan"), float("nan")
    kept = counts > 0
    left = (values.sum() - np.bincount(groups, values)[kept]) / (len(values) - counts[kept])
    return float(left.min()), float(left.max())


def sd_over_seeds(values: Float[np.ndarray, "seeds samples"]) -> float:
    """Return the standard deviation of the seeds' means; NaN for a single seed."""
    return float(values.mean(1).std(ddof=1)) if len(values) > 1 else float("nan")


def gain(
    errors: Float[np.ndarray, "seeds samples"], against: Float[np.ndarray, "other_seeds samples"]
) -> Float[np.ndarray, "samples"]:
    """Return by sample how much lower the error is than another run's: positive is better."""
    by_sample: np.ndarray = against.mean(0) - errors.mean(0)
    return by_sample


# --- intervals


@dataclass(frozen=True)
class Measured:
    """A number of a run, by seed and sample, and the clustering seed behind each training seed.

    `run` names the trained networks: two selections of one run are of the same networks.
    """

    values: Float[np.ndarray, "seeds samples"]
    memory_seeds: tuple[int, ...]
    run: str

    def part(self, where: Bool[np.ndarray, "samples"]) -> "Measured":
        """Return the numbers of some of the samples."""
        return replace(self, values=self.values[:, where])

    def mean_over_seeds(self) -> "Measured":
        """Return the numbers as if there were one seed, which is the mean of all."""
        return replace(self, values=self.values.mean(0, keepdims=True), memory_seeds=(0,))

    def gain_over(self, other: "Measured") -> "Measured":
        """Return by seed and sample how much lower the number is; for runs of the same seeds."""
        return replace(self, values=other.values - self.values)


class Interval(NamedTuple):
    """A 95 % interval, and what was redrawn for it, from `LEVELS`."""

    low: float
    high: float
    redrawn: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what was redrawn, as one text."""
        return " x ".join(self.redrawn)


def interval(
    measured: Measured,
    clips: Clips,
    report: ReportOptions,
    against: Measured | None = None,
    *,
    clips_only: bool = False,
) -> Interval:
    """Return the 95 % interval of the mean of a number, or of its gain over another run.

    All intervals of all reports are made here: percentiles of the means of `report.bootstrap` draws. A
    draw redraws clustering seeds, training seeds within each, subjects, and clips within each; whole
    clips, because the images of a clip are not independent. What there is only one of is not redrawn,
    and `redrawn` says so. `clips_only` redraws clips alone, whoever is seen. NaN for a single clip,
    which says nothing about others.

    Two runs see the same redrawn clips: the difference is paired by image. Their seeds are redrawn
    independently. Runs with equal seeds do share the start of the encoder and the order of the batches;
    but this can only make their errors more alike, so that independent draws give the wider interval.
    Two selections of one run are the exception: they are the same trained networks, and stay paired.

    Percentiles of few seeds are too narrow: the interval of three seeds reaches at most from the lowest
    seed to the highest. `spread_of_new_seeds` uses Student's t instead.
    """
    runs = [measured] if against is None else [measured, against]
    if against is not None and against.run == measured.run:
        runs = [measured.gain_over(against)]
    if clips_only:
        means = [run.mean_over_seeds() for run in runs]
        runs, clips = [means[0].gain_over(means[1]) if means[1:] else means[0]], clips.alone()
    redrawn = _redrawn(runs, clips)
    clips = clips.at_most(MOST_CLIPS)
    if len(clips.subjects) < 2:
        return Interval(float("nan"), float("nan"), redrawn)
    draws = _means_of_draws(runs, clips, report)
    low, high = np.percentile(draws[1] - draws[0] if draws[1:] else draws[0], PERCENTILES)
    return Interval(float(low), float(high), redrawn)


def _redrawn(runs: Sequence[Measured], clips: Clips) -> tuple[str, ...]:
    """Return the levels that have something to vary."""
    seeds = [np.unique(run.memory_seeds, return_counts=True)[1] for run in runs]
    of_subject = np.bincount(clips.subjects)
    varies = (
        any(len(counts) > 1 for counts in seeds),
        any((counts > 1).any() for counts in seeds),
        len(of_subject) > 1 and bool((of_subject > 1).any()),
        len(clips.subjects) > 1,
    )
    return tuple(level for level, more in zip(LEVELS, varies, strict=True) if more)


def _means_of_draws(
    runs: Sequence[Measured], clips: Clips, report: ReportOptions
) -> list[Float[np.ndarray, "draws"]]:
    """Return each run's mean in each draw: of the same clips, and of seeds of its own."""
    n = len(clips.subjects)
    rows = [np.bincount(clips.of_sample, row, n) for run in runs for row in run.values]
    sums = np.stack([*rows, np.bincount(clips.of_sample, minlength=n).astype(float)])
    drawn = redraws(clips.subjects, report.bootstrap, (report.seed, 0))
    seeds = [
        shares(
            np.unique(run.memory_seeds, return_inverse=True)[1],
            report.bootstrap,
            (report.seed, stream),
        )
        for stream, run in enumerate(runs, 1)
    ]
    step = max(1, BLOCK // max(sums.shape))
    means: list[list[np.ndarray]] = [[] for _ in runs]
    for at in range(0, report.bootstrap, step):
        here = slice(at, at + step)
        *totals, counts = sums @ drawn[:, here].astype(float, copy=False)
        for own, weights in zip(means, seeds, strict=True):
            by_seed, totals = np.array(totals[: len(weights)]), totals[len(weights) :]
            own.append((by_seed * weights[:, here]).sum(0) / counts)
    return [np.concatenate(own) for own in means]


def spread_of_new_seeds(measured: Measured, against: Measured) -> tuple[float, float]:
    """Return where the gain of one further training of both runs falls with 95 %, on the same samples.

    By Student's t, with Welch's degrees of freedom for the two runs; NaN where a run has one seed.
    """
    same = against.run == measured.run
    runs = [measured.gain_over(against)] if same else [measured, against]
    means = [run.values.mean(1) for run in runs]
    middle = means[0].mean() if same else means[1].mean() - means[0].mean()
    if min(map(len, means)) < 2:
        return float("nan"), float("nan")
    parts = [(x.var(ddof=1) * (1 + 1 / len(x)), len(x) - 1) for x in means]
    variance = sum(v for v, _ in parts)
    if not variance > 0:
        return float(middle), float(middle)
    freedom = variance**2 / sum(v**2 / n for v, n in parts)
    reach = stdtrit(freedom, 0.975) * np.sqrt(variance)
    return float(middle - reach), float(middle + reach)
