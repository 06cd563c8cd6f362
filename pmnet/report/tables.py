"""Tables II to VI: our measurements first, then, apart from them, the numbers that the paper printed."""

from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.evaluation.error_table import METRICS
from pmnet.report.files import write_csv
from pmnet.report.options import ReportOptions
from pmnet.report.pages import to_page
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import interval, mean, sd_over_seeds, subsets

COLUMNS: Final = {
    "source": "str",  # ours or published
    "method": "str",
    "year": "Int64",  # of publication; empty for ours
    "dataset": "str",
    "subset": "str",  # all, or tail_5 for the 5 % farthest from the mean body
    "metric": "str",
    "value": "float",  # the swept K or limb weight
    "mean_mm": "float",
    "sd_mm": "float",  # over training seeds; empty with one
    "low_mm": "float",  # 95 % interval by test sequence
    "high_mm": "float",
    "seeds": "Int64",
    "n": "Int64",  # samples
    "note": "str",
}
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
    """Return MPVPE of the five memories and of the predictors that bound them (Table II)."""
    rows: list[dict[str, Any]] = []
    for method, label in MEMORIES.items():
        run = errors.run_of(method)
        rows += _measure(errors, run, report, {"method": label, "note": _memory(errors, run)})
    p3dh = errors.run_of("p3dh")
    for inference, (label, note) in BOUNDS.items():
        about = {"method": label, "note": note}
        rows += _measure(errors, p3dh, report, about, inference=inference)
    return _with_published(rows, 2)


def table3(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return all three errors of the baseline and of PM-Net (Table III)."""
    rows: list[dict[str, Any]] = []
    for run, about in _systems(errors):
        rows += _measure(errors, run, report, about, metrics=METRICS)
    return _with_published(rows, 3)


def table4(errors: RunErrors, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE of the tails, `report.tails` per cent of the samples (Table IV)."""
    rows: list[dict[str, Any]] = []
    for run, about in _systems(errors):
        measured = _measure(errors, run, report, about, tails=report.tails)
        rows += [row for row in measured if row["subset"] != "all"]
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


def _systems(errors: RunErrors) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the runs of the baseline and of PM-Net, with the label and note of each."""
    for method, label in SYSTEMS.items():
        run = errors.run_of(method)
        yield run, {"method": label, "note": _memory(errors, run)}


def _sweep(
    errors: RunErrors,
    methods: tuple[str, ...],
    column: str,
    label: str,
    note: str,
    report: ReportOptions,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs by the swept column, all samples and tails."""
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
        yield from _measure(errors, runs[0], report, about, tails=report.tails)


def _memory(errors: RunErrors, run: str) -> str:
    """Return a run's number of prototypes and, for P3DH, its limb weight, as a note."""
    facts = errors.runs[run]
    return f"K = {facts.k}" + f", limb weight {facts.limb_weight:g}" * (facts.method == "p3dh")


def _measure(
    errors: RunErrors,
    run: str,
    report: ReportOptions,
    about: dict[str, Any],
    metrics: tuple[str, ...] = METRICS[:1],
    tails: Sequence[int] = (),
    inference: str = "model",
) -> Iterator[dict[str, Any]]:
    """Yield the statistics of one run and inference by data set, subset and error."""
    if inference not in errors.runs[run].inferences:
        return
    for dataset, where in errors.datasets().items():
        here = errors.of_samples(where)
        sequences = here.samples["sequence"].to_numpy()
        values = {metric: here.errors(run, inference, metric) for metric in metrics}
        for subset, part in subsets(here.samples, tails).items():
            for metric in (m for m in metrics if not np.isnan(values[m][:, part]).all()):
                cell = {
                    "dataset": dataset,
                    "subset": subset,
                    "metric": metric.removesuffix("_mm"),
                }
                numbers = _statistics(values[metric][:, part], sequences[part], report)
                yield about | cell | numbers


def _statistics(
    errors: Float[np.ndarray, "seeds samples"], sequences: np.ndarray, report: ReportOptions
) -> dict[str, Any]:
    low, high = interval(errors, sequences, report)
    return {
        "mean_mm": mean(errors),
        "sd_mm": sd_over_seeds(errors),
        "low_mm": low,
        "high_mm": high,
        "seeds": len(errors),
        "n": errors.shape[1],
    }


def _with_published(rows: list[dict[str, Any]], number: int) -> pd.DataFrame:
    """Return our rows, then the rows of the paper's table of that number."""
    if not rows:
        raise InputError(
            f"table {number}: no run of P3DH, or no test set with bodies (SMPL parameters); give some "
            "with --errors"
        )
    ours = pd.DataFrame(rows).assign(source="ours")
    printed = paper().query("table == @number").rename(columns={"value_mm": "mean_mm"})
    printed = printed.assign(source="published")
    if "value" in ours:
        printed["value"] = printed["method"].str.split("=").str[1].astype(float)
    table = pd.concat([ours, printed], ignore_index=True).reindex(columns=list(COLUMNS))
    return table.fillna({"note": ""}).astype(COLUMNS).round(2)


def write_table(table: pd.DataFrame, path: Path, number: int, protocol: str) -> None:
    """Write a table as CSV, and beside it as Markdown."""
    write_csv(table, path)
    page = to_page(table, number, TITLES[number], protocol)
    with replacing(path.with_suffix(".md")) as partial:
        partial.write_text(page, encoding="utf-8")
