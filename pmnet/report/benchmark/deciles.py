"""Error, gain and accuracy by decile of the distance to the mean body, equally many samples each."""

import numpy as np
import pandas as pd
from jaxtyping import Float

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
    parts = [(bins == number, packed.samples[bins == number]) for number in range(DECILES)]
    rows = []
    for run in runs:
        own, other = (
            packed.errors(name, "model", "mpvpe_mm")
            for name in (run.run, (run.references or [single.run])[0])
        )
        right = 100.0 * packed.right(run.run) if packed.facts(run.run).k > 1 else own * np.nan
        for number, (here, samples) in enumerate(parts):
            rows.append(
                {"run": run.run, "dataset": dataset, "bin": number}
                | error_and_reduction(own[:, here], other[:, here], samples, report)
                | _accuracy(right[:, here], samples, report)
            )
    return pd.DataFrame(rows)


def _accuracy(
    right: Float[np.ndarray, "seeds samples"], samples: pd.DataFrame, report: ReportOptions
) -> dict[str, float]:
    low, high = interval(right, samples["sequence"].to_numpy(), report)
    return {"accuracy_percent": mean(right), "accuracy_low": low, "accuracy_high": high}
