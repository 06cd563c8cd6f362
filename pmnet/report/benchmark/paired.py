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
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import (
    Measured,
    balanced_bins,
    balanced_mean,
    effective_number,
    gain,
    interval,
    leave_one_out,
    mean,
    sd_over_seeds,
    spread_of_new_seeds,
    widest_first,
)

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
    "dataset": "str",
    "against": "str",  # the reference; empty where there is none
    "subset": "str",  # all, or tail_5: the 5 % farthest from the mean body
    "metric": "str",
    "seeds": "Int64",
    "n": "Int64",  # samples
    "clips": "Int64",
    "subjects": "Int64",
    "effective_clips": "float",  # 1 / sum of squared shares of the samples: so many equal clips
    "effective_subjects": "float",
    "mean_mm": "float",  # over seeds and samples
    "against_mm": "float",
    "gain_mm": "float",  # error of the reference minus error of the run: positive is better
    "low_mm": "float",  # 95 % interval of the gain (statistics.interval)
    "high_mm": "float",
    "interval": "str",  # what was redrawn for it
    "low_clips_mm": "float",  # 95 % interval with clips alone redrawn
    "high_clips_mm": "float",
    "low_without_subject_mm": "float",  # the gain with one of the subjects left out: from ... to ...
    "high_without_subject_mm": "float",
    "low_new_seed_mm": "float",  # where the gain of one further training of both runs falls with 95 %
    "high_new_seed_mm": "float",
    "seed_sd_mm": "float",  # of the gain; of the run's mean where the two runs have different seeds
    "accuracy_percent": "float",  # chosen prototype = assigned prototype
    "oracle_mm": "float",  # the network, started from the right prototype
    "soft_mm": "float",  # the network, started from the mean of all prototypes by score
    "prototype_alone_mm": "float",  # the chosen prototype, unrefined
    "gap_closed_percent": "float",  # of the reference's error, own choice minus oracle
    "bmpvpe": "float",  # mm, by IHMR's rule: balanced over `bins` of distance, in a tail the plain mean
    "bins": "Int64",  # of 100, those that hold samples
}


def paired(
    packed: RunErrors, runs: list[BenchmarkRun], also: Sequence[str], report: ReportOptions
) -> pd.DataFrame:
    """Return gains and gaps of each data set, run, reference, subset and error (`COLUMNS`).

    `also` names runs that every run is compared with, beside its own references. `against` is empty
    in the rows of a run without references. Raises InputError where a name of `also` is no run.
    """
    if strange := {name for name in also if name not in packed}:
        raise InputError(
            f"--against {' '.join(sorted(strange))}: the runs are {' '.join(packed.runs)}"
        )
    rows: list[dict[str, Any]] = []
    for dataset, where in packed.datasets().items():
        about = {"dataset": dataset}
        of_dataset = _Comparison.of(packed.of_samples(where), report)
        rows += [about | row for row in _rows(of_dataset, runs, also, dataset)]
    return (
        pd.DataFrame(rows).reindex(columns=list(COLUMNS)).fillna({"interval": ""}).astype(COLUMNS)
    )


def _rows(
    comparison: "_Comparison", runs: list[BenchmarkRun], also: Sequence[str], dataset: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one data set."""
    for run in track(runs, f"comparing on {dataset}"):
        about = {"run": run.run, "label": run.label, "group": run.group}
        others = [name for name in dict.fromkeys([*run.references, *also]) if name != run.run]
        for metric in METRICS:
            own = list(comparison.own(run.run, metric))
            for other in others:
                gains = comparison.gains(run.run, other, metric)
                yield from (about | row | gain for row, gain in zip(own, gains, strict=True))
            yield from (about | row | {"against": ""} for row in own if not run.references)


@dataclass(frozen=True)
class _Subset:
    """Samples of a subset, and what is said of them whatever the run."""

    where: np.ndarray
    clips: Clips
    about: dict[str, Any]

    @staticmethod
    def of(name: str, where: np.ndarray, clips: Clips) -> "_Subset":
        part = clips.part(where)
        about = {
            "subset": name,
            "n": int(where.sum()),
            "clips": len(part.subjects),
            "subjects": len(np.unique(part.subjects)),
            "effective_clips": effective_number(part.of_sample),
            "effective_subjects": effective_number(part.subject_of_sample),
        }
        return _Subset(where, part, about)


@dataclass(frozen=True)
class _Comparison:
    """What all comparisons on one data set share."""

    packed: RunErrors
    subsets: list[_Subset]
    report: ReportOptions

    @staticmethod
    def of(packed: RunErrors, report: ReportOptions) -> "_Comparison":
        clips, parts = Clips.of(packed.samples), widest_first(packed.samples, report.tails)
        subsets = [_Subset.of(name, where, clips) for name, where in parts.items()]
        return _Comparison(packed, subsets, report)

    def own(self, run: str, metric: str) -> Iterator[dict[str, Any]]:
        """Yield the numbers of a run by itself, subset by subset."""
        facts = self.packed.facts(run)
        several = facts.k > 1
        starts = {start: name for start, name in STARTS.items() if start in facts.inferences}
        columns = {"model": "mean_mm"} | (starts if several else {})
        errors = {name: self.packed.errors(run, start, metric) for start, name in columns.items()}
        if several:
            errors["accuracy_percent"] = 100.0 * self.packed.right(run)
        for subset in self.subsets:
            about = {"metric": metric.removesuffix("_mm"), "seeds": len(facts.seeds)}
            means = {name: mean(values[:, subset.where]) for name, values in errors.items()}
            balanced = self._balanced(errors["mean_mm"], subset) if metric == METRICS[0] else {}
            yield subset.about | about | means | balanced

    def _balanced(self, errors: np.ndarray, subset: _Subset) -> dict[str, Any]:
        """Return balanced MPVPE; IHMR balances over all samples, and takes the plain mean in a tail."""
        if subset.about["subset"] != "all":
            return {"bmpvpe": mean(errors[:, subset.where])}
        bins = balanced_bins(self.packed.samples["distance_to_mean_mm"].to_numpy())
        return {"bmpvpe": balanced_mean(errors, bins), "bins": len(np.unique(bins))}

    def gains(self, run: str, other: str, metric: str) -> Iterator[dict[str, Any]]:
        """Yield the gain of a run over another, subset by subset."""
        ours, theirs = (self.packed.measured(name, "model", metric) for name in (run, other))
        same_seeds = self.packed.facts(run).seeds == self.packed.facts(other).seeds
        gap = self._gap(other, metric)
        for subset in self.subsets:
            own, others = ours.part(subset.where), theirs.part(subset.where)
            by_seed = others.values - own.values if same_seeds else own.values
            numbers = self._gain(own, others, subset)
            whole = 0.0 if gap is None else mean(gap[subset.where])
            share = 100 * numbers["gain_mm"] / whole if whole else np.nan
            yield numbers | {
                "against": other,
                "seed_sd_mm": sd_over_seeds(by_seed),
                "gap_closed_percent": share,
            }

    def _gain(self, ours: Measured, theirs: Measured, subset: _Subset) -> dict[str, Any]:
        """Return a gain, its intervals, and how far it depends on one subject or on new seeds."""
        gains = gain(ours.values, theirs.values)
        parts = ours, subset.clips, self.report, theirs
        whole, alone = interval(*parts), interval(*parts, clips_only=True)
        without, new = (
            leave_one_out(gains, subset.clips.subject_of_sample),
            spread_of_new_seeds(ours, theirs),
        )
        pairs = {"": whole[:2], "_clips": alone[:2], "_without_subject": without, "_new_seed": new}
        bounds = {
            f"{end}{of}_mm": bound
            for of, pair in pairs.items()
            for end, bound in zip(("low", "high"), pair, strict=True)
        }
        means = {"against_mm": mean(theirs.values), "gain_mm": mean(gains)}
        return means | bounds | {"interval": whole.name}

    def _gap(self, other: str, metric: str) -> np.ndarray | None:
        """Return by sample how much lower the oracle's error is; None for a run with nothing to choose."""
        if "oracle" not in self.packed.facts(other).inferences:
            return None
        own, oracle = (self.packed.errors(other, start, metric) for start in ("model", "oracle"))
        gap: np.ndarray = (own - oracle).mean(0)
        return gap if gap.any() else None
