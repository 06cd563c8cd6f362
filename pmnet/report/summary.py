"""The numbers of `dvc metrics`: a headline, and all main numbers by method and data set."""

from typing import Any

import numpy as np

from pmnet.evaluation.error_table import METHODS, METRICS
from pmnet.report.labels import subset_label
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import gain, interval, mean, subsets
from pmnet.report.wording import gain_in_words


def headline(errors: RunErrors, report: ReportOptions) -> dict[str, float]:
    """Return the six numbers that a change of parameters is judged by, over all test samples.

    Errors and gains in mm. The tail is the widest of `report.tails`. A number that the test sets
    cannot give is left out: without bodies there is no MPVPE.
    """
    p3dh, single = errors.run_of("p3dh"), errors.run_of("single")
    numbers = {"p3dh_pa_mpjpe_mm": mean(errors.errors(p3dh, "model", "pa_mpjpe_mm"))}
    bodies = errors.with_bodies()
    if bodies.samples.empty:
        return _rounded(numbers)
    own, other = (bodies.errors(run, "model", "mpvpe_mm") for run in (p3dh, single))
    gains = gain(own, other)
    numbers = {"p3dh_mpvpe_mm": mean(own)} | numbers | {"single_mpvpe_mm": mean(other)}
    for subset, part in subsets(bodies.samples, sorted(report.tails)[-1:]).items():
        numbers[f"gain_{_prefix(subset)}mpvpe_mm"] = mean(gains[part])
    return _rounded(numbers) | {"prototype_accuracy": round(mean(bodies.right(p3dh)), 4)}


def summary(errors: RunErrors, report: ReportOptions) -> dict[str, Any]:
    """Return the main numbers of the runs given, nested: what, data set, measure.

    Mean errors (mm) of each method and of the constant predictor, tails included; the gain of P3DH
    over the single prototype with its interval; the share of samples whose prototype is recognised.
    A data set without bodies has its joint errors only.
    """
    given = {facts.method for facts in errors.runs.values()}
    numbers: dict[str, Any] = {
        method: _means(errors, errors.run_of(method), "model", report)
        for method in METHODS
        if method in given
    }
    p3dh = errors.run_of("p3dh")
    numbers["constant"] = _means(errors, p3dh, "mean", report)
    bodies = errors.with_bodies()
    numbers["gain"] = {
        dataset: _gain(bodies.of_samples(where), report)
        for dataset, where in bodies.datasets().items()
    }
    right = bodies.right(p3dh)
    numbers["prototype_accuracy"] = {
        dataset: round(mean(right[:, where]), 4) for dataset, where in bodies.datasets().items()
    }
    return numbers


def _means(
    errors: RunErrors, run: str, inference: str, report: ReportOptions
) -> dict[str, dict[str, float]]:
    """Return the mean errors of a run by data set; MPVPE of the tails too."""
    if inference not in errors.runs[run].inferences:
        return {}
    by_dataset = {}
    for dataset, where in errors.datasets().items():
        here = errors.of_samples(where)
        metrics = (*METRICS, *errors.extra)
        means = {metric: mean(here.errors(run, inference, metric)) for metric in metrics}
        mpvpe = here.errors(run, inference, "mpvpe_mm")
        for subset, part in subsets(here.samples, report.tails).items():
            means[f"{_prefix(subset)}mpvpe_mm"] = mean(mpvpe[:, part])
        by_dataset[dataset] = _rounded(means)
    return by_dataset


def _gain(errors: RunErrors, report: ReportOptions) -> dict[str, Any]:
    """Return the gain of P3DH over the single prototype, all samples and tails, with intervals.

    `low` and `high` are of `interval`, whose levels `redrawn` names, `clips_low` and `clips_high` of
    redrawn clips alone; `words` says which gains are clear.
    """
    own, other = (
        errors.measured(errors.run_of(method), "model", "mpvpe_mm") for method in ("p3dh", "single")
    )
    clips, gains = Clips.of(errors.samples), dict[str, float]()
    words, redrawn = [], ""
    for subset, part in subsets(errors.samples, report.tails).items():
        parts = own.part(part), clips.part(part), report, other.part(part)
        whole, alone = interval(*parts), interval(*parts, clips_only=True)
        name, won = f"{_prefix(subset)}mpvpe", mean(gain(own.values, other.values)[part])
        gains[f"{name}_mm"] = won
        gains[f"{name}_low_mm"], gains[f"{name}_high_mm"] = whole.low, whole.high
        gains[f"{name}_clips_low_mm"], gains[f"{name}_clips_high_mm"] = alone.low, alone.high
        words.append(gain_in_words(won, whole.low, whole.high, subset_label(subset)))
        redrawn = redrawn or whole.name
    return {**_rounded(gains), "redrawn": redrawn, "words": "; ".join(words)}


def _prefix(subset: str) -> str:
    return "" if subset == "all" else f"{subset}_"


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    """Return the finite numbers, with two decimals."""
    return {name: round(x, 2) for name, x in numbers.items() if np.isfinite(x)}
