"""Compares every run with its references on the same samples: gains, intervals, spread, gaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.progress import track
from pmnet.evaluation.error_table import METRICS
from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import gain, interval, mean, sd_over_seeds, widest_first

# other starts of a run with several prototypes -> the column of the error from that start
STARTS: Final = {
    "oracle": "oracle_mm",
    "soft": "soft_mm",
    "chosen_prototype": "prototype_alone_mm",
}
COLUMNS: Final = {
    "run": "str",
    "label": "str",
    "group": "str",
    "against": "str",  # the reference; empty where there is none
    "subset": "str",  # all, or tail_5: the 5 % farthest from the mean body
    "metric": "str",
    "seeds": "Int64",
    "n": "Int64",  # samples
    "mean_mm": "float",  # over seeds and samples, like all columns below
    "against_mm": "float",
    "gain_mm": "float",  # error of the reference minus error of the run: positive is better
    "low_mm": "float",  # 95 % interval of the gain (statistics.interval)
    "high_mm": "float",
    "seed_sd_mm": "float",  # of the gain; of the run's mean where the two runs have different seeds
    "accuracy_percent": "float",  # chosen prototype = assigned prototype
    "oracle_mm": "float",  # the network, started from the right prototype
    "soft_mm": "float",  # the network, started from the mean of all prototypes by score
    "prototype_alone_mm": "float",  # the chosen prototype, unrefined
    "gap_closed_percent": "float",  # of the reference's error, own choice minus oracle
}


def paired(
    packed: RunErrors, runs: list[BenchmarkRun], also: Sequence[str], report: ReportOptions
) -> pd.DataFrame:
    """Return gains and gaps of each run, reference, subset and error (`COLUMNS`).

    `also` names runs that every run is compared with, beside its own references. `against` is empty
    in the rows of a run without references. Raises InputError where a name of `also` is no run.
    """
    if strange := {name for name in also if name not in packed}:
        raise InputError(
            f"--against {' '.join(sorted(strange))}: the runs are {' '.join(packed.runs)}"
        )
    comparison = _Comparison(packed, widest_first(packed.samples, report.tails), report)
    rows: list[dict[str, Any]] = []
    for run in track(runs, "comparing"):
        about = {"run": run.run, "label": run.label, "group": run.group}
        others = [name for name in dict.fromkeys([*run.references, *also]) if name != run.run]
        for metric in METRICS:
            own = list(comparison.own(run.run, metric))
            for other in others:
                gains = comparison.gains(run.run, other, metric)
                rows += [about | row | gain for row, gain in zip(own, gains, strict=True)]
            rows += [about | row | {"against": ""} for row in own if not run.references]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype(COLUMNS)


@dataclass(frozen=True)
class _Comparison:
    """What all comparisons share; `where` says which samples are in each subset."""

    packed: RunErrors
    where: dict[str, np.ndarray]
    report: ReportOptions

    def own(self, run: str, metric: str) -> Iterator[dict[str, Any]]:
        """Yield the numbers of a run by itself, subset by subset."""
        facts = self.packed.facts(run)
        several = facts.k > 1
        starts = {start: name for start, name in STARTS.items() if start in facts.inferences}
        columns = {"model": "mean_mm"} | (starts if several else {})
        errors = {name: self.packed.errors(run, start, metric) for start, name in columns.items()}
        if several:
            errors["accuracy_percent"] = 100.0 * self.packed.right(run)
        for subset, part in self.where.items():
            about: dict[str, Any] = {"subset": subset, "metric": metric.removesuffix("_mm")}
            about |= {"seeds": len(facts.seeds), "n": int(part.sum())}
            yield about | {name: mean(values[:, part]) for name, values in errors.items()}

    def gains(self, run: str, other: str, metric: str) -> Iterator[dict[str, Any]]:
        """Yield the gain of a run over another, subset by subset."""
        ours, theirs = (self.packed.errors(name, "model", metric) for name in (run, other))
        gains = gain(ours, theirs)
        same_seeds = self.packed.facts(run).seeds == self.packed.facts(other).seeds
        by_seed = theirs - ours if same_seeds else ours
        gap = self._gap(other, metric)
        sequences = self.packed.samples["sequence"].to_numpy()
        for part in self.where.values():
            low, high = interval(ours[:, part], sequences[part], self.report, theirs[:, part])
            won = mean(gains[part])
            yield {
                "against": other,
                "against_mm": mean(theirs[:, part]),
                "gain_mm": won,
                "low_mm": low,
                "high_mm": high,
                "seed_sd_mm": sd_over_seeds(by_seed[:, part]),
                "gap_closed_percent": np.nan if gap is None else 100 * won / mean(gap[part]),
            }

    def _gap(self, other: str, metric: str) -> np.ndarray | None:
        """Return by sample how much lower the oracle's error is; None for a run with nothing to choose."""
        if "oracle" not in self.packed.facts(other).inferences:
            return None
        own, oracle = (self.packed.errors(other, start, metric) for start in ("model", "oracle"))
        gap: np.ndarray = (own - oracle).mean(0)
        return gap if gap.any() else None
