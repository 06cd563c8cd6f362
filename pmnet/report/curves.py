"""Error, and reduction against another run, by distance to the mean body."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

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
    against = bodies.errors(single, "model", "mpvpe_mm")
    rows = []
    for run in sorted(bodies.runs, key=lambda run: _order(bodies, run)):
        own = bodies.errors(run, "model", "mpvpe_mm")
        for dataset, where in bodies.datasets().items():
            for number in range(report.bins):
                about = {"run": run, "dataset": dataset, "bin": number}
                here = where & (bins == number)
                samples = bodies.samples[here]
                rows.append(
                    about | error_and_reduction(own[:, here], against[:, here], samples, report)
                )
    return pd.DataFrame(rows)


def _order(errors: RunErrors, run: str) -> tuple[int, int, float]:
    facts = errors.runs[run]
    return METHODS.index(facts.method), facts.k, facts.limb_weight


def error_and_reduction(
    errors: Float[np.ndarray, "seeds samples"],
    against: Float[np.ndarray, "other_seeds samples"],
    samples: pd.DataFrame,
    report: ReportOptions,
) -> dict[str, Any]:
    """Return the MPVPE (mm) of a run and its reduction against another, with their intervals."""
    sequences = samples["sequence"].to_numpy()
    low, high = interval(errors, sequences, report)
    reduction_low, reduction_high = interval(errors, sequences, report, against)
    return {
        "distance_mm": mean(samples["distance_to_mean_mm"].to_numpy()),
        "mpvpe_mm": mean(errors.mean(0)),
        "reduction_mm": mean(gain(errors, against)),
        "n": len(samples),
        "low": low,
        "high": high,
        "reduction_low": reduction_low,
        "reduction_high": reduction_high,
    }
