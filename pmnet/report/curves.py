"""Error, and reduction against another run, by distance to the mean body."""

from typing import Any

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import METHODS
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import distance_bins, gain, interval, mean


def curves(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return error and reduction (mm) by run, data set and distance bin (Figs. 1(b) and 5).

    The single prototype comes first. `reduction_mm` is its error minus the run's on the same
    samples: positive is better. `low` and `high` bound `mpvpe_mm`, `reduction_low` and
    `reduction_high` bound `reduction_mm`. An empty bin keeps its row: n is 0, all else NaN.
    """
    bodies = errors.with_bodies()
    if bodies.samples.empty:
        raise InputError(
            "no test set has bodies (SMPL parameters), so there is no distance to draw errors by; "
            "give one that has (datasets in params.yaml)"
        )
    single = errors.run_of("single")
    bins = distance_bins(bodies.samples, report.bins)
    rows = []
    for run in sorted(bodies.runs, key=lambda run: _order(bodies, run)):
        for dataset, where in bodies.datasets().items():
            for number in range(report.bins):
                about = {"run": run, "dataset": dataset, "bin": number}
                here = where & (bins == number)
                rows.append(about | error_and_reduction(bodies, run, single, here, report))
    return pd.DataFrame(rows)


def _order(errors: RunErrors, run: str) -> tuple[int, int, float]:
    facts = errors.runs[run]
    return METHODS.index(facts.method), facts.k, facts.limb_weight


def error_and_reduction(
    errors: RunErrors, run: str, against: str, here: np.ndarray, report: ReportOptions
) -> dict[str, Any]:
    """Return the MPVPE (mm) of a run, and its reduction, over the samples `here`, with intervals."""
    own, other = (errors.errors(name, "model", "mpvpe_mm")[:, here] for name in (run, against))
    about = errors.samples[here]
    sequences = about["sequence"].to_numpy()
    low, high = interval(own, sequences, report)
    reduction_low, reduction_high = interval(own, sequences, report, other)
    return {
        "distance_mm": mean(about["distance_to_mean_mm"].to_numpy()),
        "mpvpe_mm": mean(own.mean(0)),
        "reduction_mm": mean(gain(own, other)),
        "n": len(about),
        "low": low,
        "high": high,
        "reduction_low": reduction_low,
        "reduction_high": reduction_high,
    }
