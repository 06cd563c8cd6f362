"""Error, gain and accuracy by decile of the distance to the mean body, equally many samples each."""

from typing import Any

import numpy as np
import pandas as pd

from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.curves import error_and_reduction
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import DECILES, deciles, interval, mean


def by_decile(
    packed: RunErrors, runs: list[BenchmarkRun], single: BenchmarkRun, report: ReportOptions
) -> pd.DataFrame:
    """Return MPVPE and its reduction (mm) by run and decile, as `curves` has them by bin.

    The reduction is against the run's first reference, or the single prototype. `accuracy_percent`,
    with its interval, is the share of samples whose prototype is recognised; NaN for one prototype.
    """
    dataset, bins = packed.samples["dataset"].iloc[0], deciles(packed.samples)
    rows = []
    for run in runs:
        against = (run.references or [single.run])[0]
        for number in range(DECILES):
            here = bins == number
            rows.append(
                {"run": run.run, "dataset": dataset, "bin": number}
                | error_and_reduction(packed, run.run, against, here, report)
                | _accuracy(packed, run.run, here, report)
            )
    return pd.DataFrame(rows)


def _accuracy(
    packed: RunErrors, run: str, here: np.ndarray, report: ReportOptions
) -> dict[str, Any]:
    percent = low = high = float("nan")
    if packed.facts(run).k > 1:
        right = 100.0 * packed.right(run)[:, here]
        percent = mean(right)
        low, high = interval(right, packed.samples[here]["sequence"].to_numpy(), report)
    return {"accuracy_percent": percent, "accuracy_low": low, "accuracy_high": high}
