"""Error, and reduction against another run, by distance to the mean body."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import METHODS, SCORED
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import Measured, distance_bins, gain, interval, mean


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
    measured = {run: bodies.measured(run, "model", "mpvpe_mm") for run in bodies.runs}
    order = sorted(bodies.runs, key=lambda run: _order(bodies, run))
    rows: dict[str, list[dict[str, Any]]] = {run: [] for run in order}
    for dataset, where in bodies.datasets().items():
        for number in range(report.bins):
            here = where & (bins == number)
            part, against = BodyBin.of(bodies.samples[here]), measured[single].part(here)
            for run in order:
                about = {"run": run, "dataset": dataset, "bin": number}
                own = measured[run].part(here)
                if np.isnan(measured[run].values[:, where]).all():
                    continue  # a scored file without this data set, or without meshes
                rows[run].append(about | error_and_reduction(own, against, part, report))
    return pd.DataFrame([row for run in order for row in rows[run]])


def _order(errors: RunErrors, run: str) -> tuple[int, int, float]:
    facts = errors.runs[run]
    return [*METHODS, SCORED].index(facts.method), facts.k, facts.limb_weight


@dataclass(frozen=True)
class BodyBin:
    """The samples of a bin: their mean distance to the mean body (mm), and their clips."""

    distance_mm: float
    clips: Clips

    @staticmethod
    def of(samples: pd.DataFrame) -> "BodyBin":
        """Return the bin of these samples."""
        return BodyBin(mean(samples["distance_to_mean_mm"].to_numpy()), Clips.of(samples))


def error_and_reduction(
    errors: Measured, against: Measured, part: BodyBin, report: ReportOptions
) -> dict[str, Any]:
    """Return the MPVPE (mm) of a run and its reduction against another, with their intervals."""
    low, high, _ = interval(errors, part.clips, report)
    reduction_low, reduction_high, _ = interval(errors, part.clips, report, against)
    return {
        "distance_mm": part.distance_mm,
        "mpvpe_mm": mean(errors.values),
        "reduction_mm": mean(gain(errors.values, against.values)),
        "n": len(part.clips.of_sample),
        "low": low,
        "high": high,
        "reduction_low": reduction_low,
        "reduction_high": reduction_high,
    }
