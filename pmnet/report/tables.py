"""Tables II to VI: our measurements first, then, apart from them, the numbers that the paper printed."""

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.evaluation.error_table import METRICS, SCORED
from pmnet.report.files import write_csv
from pmnet.report.labels import BALANCED
from pmnet.report.latex import to_latex
from pmnet.report.options import ReportOptions
from pmnet.report.pages import to_page
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import (
    Measured,
    balanced_bins,
    balanced_mean,
    interval,
    mean,
    sd_over_seeds,
    subsets,
)

COLUMNS: Final = {
    "source": "str",  # ours, scored (predictions of another system, measured by us) or published
    "method": "str",
    "year": "Int64",  # of publication; empty for ours
    "dataset": "str",
    "subset": "str",  # all, or tail_5 for the 5 % farthest from the mean body
    "metric": "str",
    "value": "float",  # the swept K or limb weight
    "mean_mm": "float",
    "sd_mm": "float",  # over training seeds; empty with one
    "low_mm": "float",  # 95 % interval (statistics.interval)
    "high_mm": "float",
    "low_clips_mm": "float",  # 95 % interval with clips alone redrawn
    "high_clips_mm": "float",
    "interval": "str",  # what was redrawn for low_mm and high_mm
    "seeds": "Int64",
    "n": "Int64",  # samples
    "bins": "Int64",  # of bmpvpe: how many hold samples, and count equally
    "note": "str",
}
Cell = tuple[str, str]  # subset, metric
MEMORIES: Final = {
    "single": "Single prototype (baseline)",
    "naive": "K-Means Naive",
    "random": "Random Select",
    "3dh": "3DH K-Means",
    "p3dh": "P3DH K-Means",
}
SYSTEMS: Final = {"single": MEMORIES["single"], "p3dh": "PM-Net (P3DH)"}
TITLES: Final = {
    2: "the five prototype memories and what bounds them",
    3: "the baseline and PM-Net on whole test sets",
    4: "the baseline and PM-Net on the tails",
    5: "the number of prototypes",
    6: "the weight of the limbs",
}
# inference of the P3DH run -> what it bounds
BOUNDS: Final = {
    "oracle": ("Oracle prototype", "the network, told the right prototype: no classifier's error"),
    "chosen_prototype": ("Prototype alone", "the chosen prototype, unrefined"),
    "mean": ("Constant predictor (mean body)", "the mean body for every image"),
}


def paper() -> pd.DataFrame:
    """Return every number of Tables II to VI of the paper, tidy, in mm."""
    with resources.files("pmnet.report").joinpath("paper.csv").open() as file:
        return pd.read_csv(file, keep_default_na=False, na_values={"value_mm": [""]})


def table2(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE of the five memories and of the predictors that bound them (Table II).

    Beside the paper's column: balanced MPVPE, and PA-MPJPE in the tails. The row of a memory without errors
    has the paper's numbers only.
    """
    rows: list[dict[str, Any]] = []
    measured = {facts.method for facts in errors.runs.values()}
    if lacking := [label for method, label in MEMORIES.items() if method not in measured]:
        say(
            f"Table II: no errors of {', '.join(lacking)}; these rows have the paper's numbers only"
        )
    cells = [("all", "mpvpe"), ("all", BALANCED), *_tails(report, "pa_mpjpe")]
    for method, label in MEMORIES.items():
        if method not in measured:
            continue
        run = errors.run_of(method)
        about = {"method": label, "note": _memory(errors, run)}
        rows += _measure(errors, run, report, about, cells)
    p3dh = errors.run_of("p3dh")
    for inference, (label, note) in BOUNDS.items():
        about = {"method": label, "note": note}
        rows += _measure(errors, p3dh, report, about, cells, inference=inference)
    rows += _scored(errors, report, cells)
    return _with_published(rows, 2)


def table3(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return all three errors of the baseline and of PM-Net (Table III)."""
    rows: list[dict[str, Any]] = []
    cells = [("all", metric.removesuffix("_mm")) for metric in METRICS]
    for run, about in _systems(errors):
        rows += _measure(errors, run, report, about, cells)
    rows += _scored(errors, report, cells)
    return _with_published(rows, 3)


def table4(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE of the tails, `report.tails` per cent of the samples (Table IV).

    Beside the paper's columns: PA-MPJPE in the tails, and balanced MPVPE.
    """
    rows: list[dict[str, Any]] = []
    cells = [*_tails(report, "mpvpe", "pa_mpjpe"), ("all", BALANCED)]
    for run, about in _systems(errors):
        rows += _measure(errors, run, report, about, cells)
    rows += _scored(errors, report, cells)
    return _with_published(rows, 4)


def table5(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE against the number of prototypes, all samples and tails (Table V)."""
    methods = ("p3dh", "single")  # K = 1 is the single prototype
    rows = _sweep(errors, methods, "k", "K={k:d}", "limb weight {limb_weight:g}", report)
    return _with_published(list(rows), 5)


def table6(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE against the weight of the limbs, all samples and tails (Table VI)."""
    rows = _sweep(errors, ("p3dh",), "limb_weight", "limb={limb_weight:.1f}", "K = {k}", report)
    return _with_published(list(rows), 6)


TABLES: Final[dict[int, Callable[[RunErrors, ReportOptions], pd.DataFrame]]] = {
    2: table2,
    3: table3,
    4: table4,
    5: table5,
    6: table6,
}


def table(number: int, errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return the table of that number; raises InputError where the paper has no such table of errors."""
    if number not in TABLES:
        raise InputError(f"table {number}: expected one of {', '.join(map(str, TABLES))}")
    return TABLES[number](errors, report)


def _tails(report: ReportOptions, *metrics: str) -> list[Cell]:
    """Return the cells of all tails."""
    return [(f"tail_{percent}", metric) for percent in report.tails for metric in metrics]


def _systems(errors: RunErrors) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the runs of the baseline and of PM-Net, with the label and note of each."""
    for method, label in SYSTEMS.items():
        run = errors.run_of(method)
        yield run, {"method": label, "note": _memory(errors, run)}


def _scored(
    errors: RunErrors, report: ReportOptions, cells: Sequence[Cell]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of other systems, whose predictions were scored from files."""
    for run, facts in errors.runs.items():
        if facts.method == SCORED:
            about = {"source": SCORED, "method": facts.label or run}
            yield from _measure(errors, run, report, about, cells)


def _sweep(
    errors: RunErrors,
    methods: tuple[str, ...],
    column: str,
    label: str,
    note: str,
    report: ReportOptions,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs by the swept column, all samples and tails."""
    cells = [("all", "mpvpe"), *_tails(report, "mpvpe")]
    by_value: dict[float, list[str]] = {}
    for run, facts in errors.runs.items():
        if facts.method in methods:
            by_value.setdefault(getattr(facts, column), []).append(run)
    for value, runs in sorted(by_value.items()):
        if len(runs) > 1:
            raise InputError(
                f"{', '.join(runs)} all have {column} {value}; give --errors of only one of them"
            )
        facts = errors.runs[runs[0]]
        shape = {"k": facts.k, "limb_weight": facts.limb_weight}
        about = {"method": label.format(**shape), "note": note.format(**shape), "value": value}
        yield from _measure(errors, runs[0], report, about, cells)


def _memory(errors: RunErrors, run: str) -> str:
    """Return a run's number of prototypes and, for P3DH, its limb weight, as a note."""
    facts = errors.runs[run]
    return f"K = {facts.k}" + f", limb weight {facts.limb_weight:g}" * (facts.method == "p3dh")


def _measure(
    errors: RunErrors,
    run: str,
    report: ReportOptions,
    about: dict[str, Any],
    cells: Sequence[Cell],
    inference: str = "model",
) -> Iterator[dict[str, Any]]:
    """Yield the statistics of one run and inference by data set and cell, where there are any."""
    if inference not in errors.runs[run].inferences:
        return
    for dataset, where in errors.datasets().items():
        here = errors.of_samples(where)
        clips, parts = Clips.of(here.samples), subsets(here.samples, report.tails)
        for subset, metric in cells:
            name = "mpvpe_mm" if metric == BALANCED else f"{metric}_mm"
            measured = here.measured(run, inference, name).part(parts[subset])
            if np.isnan(measured.values).all():
                continue
            cell = {"dataset": dataset, "subset": subset, "metric": metric}
            if metric == BALANCED:
                distances = here.samples["distance_to_mean_mm"].to_numpy()[parts[subset]]
                yield about | cell | _balanced(measured.values, balanced_bins(distances))
            else:
                yield about | cell | _statistics(measured, clips.part(parts[subset]), report)


def _balanced(values: np.ndarray, bins: np.ndarray) -> dict[str, Any]:
    """Return the balanced mean and its spread; a redrawn sample empties bins, so there is no interval."""
    by_seed = np.array([[balanced_mean(row[None], bins)] for row in values])
    seeds, n = values.shape
    numbers = {"mean_mm": balanced_mean(values, bins), "sd_mm": sd_over_seeds(by_seed)}
    return {**numbers, "bins": len(np.unique(bins)), "seeds": seeds, "n": n, "interval": ""}


def _statistics(measured: Measured, clips: Clips, report: ReportOptions) -> dict[str, Any]:
    """Return mean, spread and intervals."""
    values = measured.values
    whole = interval(measured, clips, report)
    alone = interval(measured, clips, report, clips_only=True)
    return {
        "mean_mm": mean(values),
        "sd_mm": sd_over_seeds(values),
        "low_mm": whole.low,
        "high_mm": whole.high,
        "low_clips_mm": alone.low,
        "high_clips_mm": alone.high,
        "interval": whole.name,
        "seeds": len(values),
        "n": values.shape[1],
    }


def _with_published(rows: list[dict[str, Any]], number: int) -> pd.DataFrame:
    """Return our rows, then the rows of the paper's table of that number."""
    if not rows:
        raise InputError(
            f"table {number}: no run of P3DH, or no test set with bodies (SMPL parameters); give some "
            "with --errors"
        )
    ours = pd.DataFrame([{"source": "ours"} | row for row in rows])
    printed = paper().query("table == @number").rename(columns={"value_mm": "mean_mm"})
    printed = printed.assign(source="published")
    if "value" in ours:
        printed["value"] = printed["method"].str.split("=").str[1].astype(float)
    table = pd.concat([ours, printed], ignore_index=True).reindex(columns=list(COLUMNS))
    return table.fillna({"note": "", "interval": ""}).astype(COLUMNS).round(2)


def write_table(table: pd.DataFrame, path: Path, number: int, protocol: str) -> None:
    """Write a table as CSV, and beside it as Markdown and as LaTeX."""
    write_csv(table, path)
    for suffix, render in ((".md", to_page), (".tex", to_latex)):
        text = render(table, number, TITLES[number], protocol)
        with replacing(path.with_suffix(suffix)) as partial:
            partial.write_text(text, encoding="utf-8")
