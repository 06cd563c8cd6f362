"""Error, gain and accuracy by decile of the distance to the mean body, equally many samples each."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.curves import BodyBin, error_and_reduction
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import DECILES, Measured, deciles, interval, mean


def by_decile(
    packed: RunErrors, runs: list[BenchmarkRun], single: BenchmarkRun, report: ReportOptions
) -> pd.DataFrame:
    """Return MPVPE and its reduction (mm) by data set, run and decile, as `curves` has them by bin.

    The reduction is against the run's first reference, or the single prototype. `accuracy_percent`,
    with its interval, is the share of samples whose prototype is recognised; NaN for one prototype.
    """
    parts = {name: packed.of_samples(where) for name, where in packed.datasets().items()}
    return pd.DataFrame(
        {"run": row.pop("run"), "dataset": dataset} | row
        for dataset, part in parts.items()
        for row in _of_dataset(part, runs, single, report)
    )


def _of_dataset(
    packed: RunErrors, runs: list[BenchmarkRun], single: BenchmarkRun, report: ReportOptions
) -> Iterator[dict[str, Any]]:
    bins = deciles(packed.samples)
    where = [bins == number for number in range(DECILES)]
    parts = [BodyBin.of(packed.samples[here]) for here in where]
    for run in runs:
        own, other = (
            packed.measured(name, "model", "mpvpe_mm")
            for name in (run.run, (run.references or [single.run])[0])
        )
        several = packed.facts(run.run).k > 1
        shares = 100.0 * packed.right(run.run) if several else own.values * np.nan
        right = replace(own, values=shares)
        for number, (here, part) in enumerate(zip(where, parts, strict=True)):
            yield (
                {"run": run.run, "bin": number}
                | error_and_reduction(own.part(here), other.part(here), part, report)
                | _accuracy(right.part(here), part.clips, report)
            )


def _accuracy(right: Measured, clips: Clips, report: ReportOptions) -> dict[str, float]:
    low, high, _ = interval(right, clips, report)
    return {"accuracy_percent": mean(right.values), "accuracy_low": low, "accuracy_high": high}
