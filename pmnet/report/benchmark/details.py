"""Details behind the means: errors of each seed, and errors after right and wrong choices."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pmnet.evaluation.error_table import METRICS
from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import mean, widest_first


def by_seed(packed: RunErrors, runs: list[BenchmarkRun], report: ReportOptions) -> pd.DataFrame:
    """Return the mean errors (mm), one row per run, data set, seed and subset, one column per error."""
    parts = _parts(packed, report)
    rows = []
    for run in runs:
        errors = {metric: packed.errors(run.run, "model", metric) for metric in METRICS}
        for dataset, where in parts.items():
            for index, (seed, memory) in enumerate(packed.facts(run.run).memory_of_seed().items()):
                about = {"run": run.run, "dataset": dataset, "seed": seed, "memory_seed": memory}
                for subset, part in where.items():
                    means = {name: values[index, part].mean() for name, values in errors.items()}
                    rows.append({**about, "subset": subset, **means})
    return pd.DataFrame(rows)


def by_choice(packed: RunErrors, runs: list[BenchmarkRun], report: ReportOptions) -> pd.DataFrame:
    """Return the MPVPE (mm) of samples with the right and with a wrong prototype, over all seeds.

    `against_mm` is the first reference's MPVPE on the same samples, averaged over its seeds.
    """
    parts = _parts(packed, report)
    choosing = (run for run in runs if run.references and packed.facts(run.run).k > 1)
    return pd.DataFrame(row for run in choosing for row in _choices(packed, run, parts))


def _parts(packed: RunErrors, report: ReportOptions) -> dict[str, dict[str, np.ndarray]]:
    """Return which samples are in each subset of each data set."""
    subsets = widest_first(packed.samples, report.tails)
    return {
        dataset: {name: here & part for name, part in subsets.items()}
        for dataset, here in packed.datasets().items()
    }


def _choices(
    packed: RunErrors, run: BenchmarkRun, parts: dict[str, dict[str, np.ndarray]]
) -> Iterator[dict[str, Any]]:
    right = packed.right(run.run)
    own = packed.errors(run.run, "model", "mpvpe_mm")
    other = packed.errors(run.references[0], "model", "mpvpe_mm").mean(0)
    other = np.broadcast_to(other, own.shape)
    for dataset, subset, part in (
        (d, s, p) for d, where in parts.items() for s, p in where.items()
    ):
        for choice, hit in (("right", right), ("wrong", ~right)):
            these = hit & part
            yield {
                "run": run.run,
                "against": run.references[0],
                "dataset": dataset,
                "subset": subset,
                "choice": choice,
                "share_percent": 100 * these.sum() / (len(own) * part.sum()),
                "mean_mm": mean(own[these]),
                "against_mm": mean(other[these]),
            }
