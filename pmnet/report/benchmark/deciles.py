"""Error, gain and accuracy by decile of the distance to the mean body, equally many samples each."""

import numpy as np
import pandas as pd

from pmnet.report.benchmark.listing import Run
from pmnet.report.benchmark.packed import Packed
from pmnet.report.benchmark.subsets import DECILES, deciles_of, interval
from pmnet.report.options import ReportOptions


def deciles(packed: Packed, runs: list[Run], single: Run, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE and its reduction (mm) by run and decile, as `analysis.curves` has them by bin.

    The reduction is against the run's first reference, or the single prototype. `accuracy_percent`,
    with its interval, is the share of samples whose prototype is recognised; NaN for one prototype.
    """
    rows = []
    bins = deciles_of(packed.samples)
    distances = packed.samples["distance_to_mean_mm"].to_numpy()
    for run in runs:
        other = (run.references or [single.run])[0]
        error = packed.errors(run.run, "model", "mpvpe_mm").mean(0)
        reduction = packed.errors(other, "model", "mpvpe_mm").mean(0) - error
        right = np.full_like(error, np.nan)
        if packed.facts(run.run).k > 1:
            right = 100 * packed.right(run.run).mean(0)
        for number in range(DECILES):
            here = bins == number
            row = {"run": run.run, "dataset": packed.samples["dataset"].iloc[0], "bin": number}
            row |= {"distance_mm": distances[here].mean(), "mpvpe_mm": error[here].mean()}
            row |= {"reduction_mm": reduction[here].mean(), "n": int(here.sum())}
            row |= _bounds(packed, error, here, report, "low", "high")
            row |= _bounds(packed, reduction, here, report, "reduction_low", "reduction_high")
            row |= {"accuracy_percent": right[here].mean()}
            row |= _bounds(packed, right, here, report, "accuracy_low", "accuracy_high")
            rows.append(row)
    return pd.DataFrame(rows)


def _bounds(
    packed: Packed, values: np.ndarray, here: np.ndarray, report: ReportOptions, low: str, high: str
) -> dict[str, float]:
    return dict(zip((low, high), interval(values, packed.samples, here, report), strict=True))
