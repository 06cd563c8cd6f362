"""Which samples a statistic is over: all, the tails, the deciles of the distance to the mean body."""

from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from pmnet.evaluation.error_table import KEY
from pmnet.report.options import ReportOptions
from pmnet.report.statistics import bootstrap_interval, tail

DECILES: Final = 10


def subsets(samples: pd.DataFrame, tails: list[int]) -> dict[str, Bool[np.ndarray, "samples"]]:
    """Return which samples are in `all` and in `tail_10`, `tail_5`, ..., the widest first."""
    found = {"all": np.ones(len(samples), bool)}
    for percent in sorted(tails, reverse=True):
        far = pd.MultiIndex.from_frame(tail(samples, percent)[KEY])
        found[f"tail_{percent}"] = pd.MultiIndex.from_frame(samples[KEY]).isin(far)
    return found


def subset_label(subset: str) -> str:
    """Return the words for a subset."""
    return "all" if subset == "all" else f"tail {subset.removeprefix('tail_')} %"


def deciles_of(samples: pd.DataFrame) -> Int[np.ndarray, "samples"]:
    """Return the decile of each sample, 0 the nearest: equally many each, ties by sample."""
    order = np.lexsort((samples["sample"], samples["distance_to_mean_mm"]))
    rank = np.empty(len(samples), np.int64)
    rank[order] = np.arange(len(samples))
    return rank * DECILES // len(samples)


def interval(
    values: np.ndarray, samples: pd.DataFrame, where: np.ndarray, report: ReportOptions
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of one value a sample, of the samples `where`."""
    sequences: Any = samples["sequence"].to_numpy()
    return bootstrap_interval(values[where], sequences[where], report.bootstrap, report.seed)
