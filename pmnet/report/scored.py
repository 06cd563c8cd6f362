"""What is printed of one scored file: means, tails, balanced errors, deciles, and gains over other runs."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.benchmark.paired import paired
from pmnet.report.field import field_metrics
from pmnet.report.labels import subset_label
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import DECILES, deciles, interval, mean, widest_first
from pmnet.report.wording import gain_in_words, is_clear

PAIRED: Final = (
    *("run", "against", "dataset", "subset", "metric", "n", "mean_mm", "against_mm", "gain_mm"),
    *("low_mm", "high_mm", "interval"),
)


def means(errors: RunErrors, run: str, report: ReportOptions) -> pd.DataFrame:
    """Return a row per data set, subset and metric: mean and 95 % interval (statistics.interval).

    Errors are in mm; extra metrics (evaluate.extra) in their own units.
    """
    return pd.DataFrame(list(_means(errors, run, report)))


def _means(errors: RunErrors, run: str, report: ReportOptions) -> Iterator[dict[str, Any]]:
    metrics = ("mpvpe_mm", "mpjpe_mm", "pa_mpjpe_mm", *errors.extra)
    for dataset, where in errors.datasets().items():
        here = errors.of_samples(where)
        clips = Clips.of(here.samples)
        for subset, part in widest_first(here.samples, report.tails).items():
            for metric in metrics:
                measured = here.measured(run, "model", metric).part(part)
                if np.isnan(measured.values).all():
                    continue
                low, high, redrawn = interval(measured, clips.part(part), report)
                yield {
                    "dataset": dataset,
                    "subset": subset_label(subset),
                    "metric": metric.removesuffix("_mm"),
                    "mean": mean(measured.values),
                    "low": low,
                    "high": high,
                    "n": int(part.sum()),
                    "interval": " x ".join(redrawn),
                }


def balanced(errors: RunErrors, run: str) -> pd.DataFrame:
    """Return the balanced errors by the rule of IHMR: all samples (over filled bins), and the tails."""
    table = field_metrics(errors.of_runs([run]))
    table = table[
        (table["rule"] == "balanced") & table["metric"].isin(["mpvpe", "mpjpe", "pa_mpjpe"])
    ]
    return table[["dataset", "metric", "group", "n", "value"]].assign(
        metric="b" + table["metric"], group=table["group"].map(subset_label)
    )


def by_decile(errors: RunErrors, run: str) -> pd.DataFrame:
    """Return MPVPE (mm) by tenths of the samples, ordered by the distance to the mean body."""
    rows: list[dict[str, Any]] = []
    bodies = errors.with_bodies()
    for dataset, where in bodies.datasets().items():
        here = bodies.of_samples(where)
        values = here.errors(run, "model", "mpvpe_mm").mean(0)
        if np.isnan(values).all():
            continue
        own = deciles(here.samples)
        for decile in range(DECILES):
            part = own == decile
            distance = here.samples["distance_to_mean_mm"].to_numpy()[part]
            row = {"dataset": dataset, "decile": decile + 1, "distance_mm": mean(distance)}
            rows.append(row | {"mpvpe_mm": mean(values[part]), "n": int(part.sum())})
    return pd.DataFrame(rows)


def gains(
    errors: RunErrors, run: str, others: Sequence[str], report: ReportOptions
) -> pd.DataFrame:
    """Return the gain (mm) of a run over others on the same samples, by data set, subset and metric."""
    line = BenchmarkRun(run, "control", " ".join(others), run, "")
    shared = errors.of_samples(_shared(errors, [run, *others]))
    return paired(shared, [line], [], report)[list(PAIRED)]


def _shared(errors: RunErrors, runs: Sequence[str]) -> np.ndarray:
    """Return which samples all runs have errors of: a scored file may lack data sets."""
    has = [~np.isnan(errors.errors(run, "model", "pa_mpjpe_mm")).any(0) for run in runs]
    both: np.ndarray = np.logical_and.reduce(has)
    return both


def gains_in_words(table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per comparison by MPVPE, or by PA-MPJPE where there is none."""
    for _, row in table.iterrows():
        known = table[(table["dataset"] == row["dataset"]) & table["gain_mm"].notna()]
        metric = "mpvpe" if "mpvpe" in set(known["metric"]) else "pa_mpjpe"
        if row["metric"] == metric:
            gain = row["gain_mm"], row["low_mm"], row["high_mm"]
            words = gain_in_words(*gain, row["against"], "than")
            name = metric.upper().replace("_", "-")
            verb = "is" if is_clear(*gain[1:]) else "has"
            yield (
                f"{row['dataset']}, {subset_label(row['subset'])}, {name}: {row['run']} {verb} {words}"
            )
