"""Tables II to VI: what we measured, and below it, apart, what the paper printed."""

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.evaluation.error_table import METRICS, run_of
from pmnet.report.markdown import to_markdown
from pmnet.report.options import ReportOptions
from pmnet.report.statistics import interval_of, over_seeds, tail, write_csv

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


def table2(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE of the five memories and of what bounds them (Table II)."""
    rows: list[dict[str, Any]] = []
    for method, label in MEMORIES.items():
        run = _model(run_of(frame, method))
        rows += _measure(run, report, {"method": label, "note": _memory(run)})
    p3dh = run_of(frame, "p3dh")
    for inference, (label, note) in BOUNDS.items():
        about = {"method": label, "note": note}
        rows += _measure(p3dh[p3dh["inference"] == inference], report, about)
    return _with_published(rows, 2)


def table3(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return all three errors of the baseline and of PM-Net (Table III)."""
    rows: list[dict[str, Any]] = []
    for method, label in SYSTEMS.items():
        run = _model(run_of(frame, method))
        rows += _measure(run, report, {"method": label, "note": _memory(run)}, METRICS)
    return _with_published(rows, 3)


def table4(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE of the tails, `report.tails` per cent of the samples (Table IV)."""
    rows: list[dict[str, Any]] = []
    for method, label in SYSTEMS.items():
        run = _model(run_of(frame, method))
        about = {"method": label, "note": _memory(run)}
        rows += _measure(run, report, about, subsets=report.tails)
    return _with_published(rows, 4)


def table5(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE against the number of prototypes, all samples and tails (Table V)."""
    p3dh = frame[frame["method"].isin(["p3dh", "single"])]  # K = 1 is the single prototype
    return _with_published(
        list(_sweep(p3dh, "k", "K={k:d}", "limb weight {limb_weight:g}", report)), 5
    )


def table6(frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return MPVPE against the weight of the limbs, all samples and tails (Table VI)."""
    p3dh = frame[frame["method"] == "p3dh"]
    return _with_published(
        list(_sweep(p3dh, "limb_weight", "limb={limb_weight:.1f}", "K = {k}", report)), 6
    )


TABLES: Final[dict[int, Callable[[pd.DataFrame, ReportOptions], pd.DataFrame]]] = {
    2: table2,
    3: table3,
    4: table4,
    5: table5,
    6: table6,
}


def table(number: int, frame: pd.DataFrame, report: ReportOptions) -> pd.DataFrame:
    """Return the table of that number; raises InputError where the paper has no such table of errors."""
    if number not in TABLES:
        raise InputError(f"table {number}: expected one of {', '.join(map(str, TABLES))}")
    return TABLES[number](frame, report)


def _sweep(
    frame: pd.DataFrame, column: str, label: str, note: str, report: ReportOptions
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs by the swept column, all samples and tails."""
    for value, rows in _model(frame).groupby(column):
        runs = rows["run"].unique()
        if len(runs) > 1:
            raise InputError(
                f"{', '.join(runs)} all have {column} {value}; give --errors of one of them"
            )
        run = {name: rows[name].iloc[0] for name in ("k", "limb_weight")}
        about = {"method": label.format(**run), "note": note.format(**run), "value": run[column]}
        yield from _measure(rows, report, about, subsets=[100, *report.tails])


def _model(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["inference"] == "model"]


def _memory(rows: pd.DataFrame) -> str:
    """Return the size of a run's memory, and the weight of the limbs where they have one."""
    run = rows.iloc[0]
    return f"K = {run['k']}" + f", limb weight {run['limb_weight']:g}" * (run["method"] == "p3dh")


def _measure(
    rows: pd.DataFrame,
    report: ReportOptions,
    about: dict[str, Any],
    metrics: tuple[str, ...] = METRICS[:1],
    subsets: list[int] | tuple[int, ...] = (100,),
) -> Iterator[dict[str, Any]]:
    """Yield the statistics of one run and inference; a subset is a percentage of the samples."""
    for dataset, samples in rows.groupby("dataset", sort=False):
        for percent in subsets:
            part = samples if percent == 100 else tail(samples, percent)
            where = {"dataset": dataset, "subset": "all" if percent == 100 else f"tail_{percent}"}
            for metric in (m for m in metrics if part[m].notna().any()):
                name = {"metric": metric.removesuffix("_mm")}
                yield about | where | name | _statistics(part, metric, report)


def _statistics(part: pd.DataFrame, metric: str, report: ReportOptions) -> dict[str, Any]:
    of_seeds = part.groupby("seed")[metric].mean()
    of_samples = over_seeds(part, metric)
    low, high = interval_of(of_samples, metric, report)
    return {
        "mean_mm": of_seeds.mean(),
        "sd_mm": of_seeds.std(),
        "low_mm": low,
        "high_mm": high,
        "seeds": len(of_seeds),
        "n": len(of_samples),
    }


def _with_published(rows: list[dict[str, Any]], number: int) -> pd.DataFrame:
    """Return our rows, then those of the paper's table of that number."""
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
    page = to_markdown(table, number, TITLES[number], protocol)
    with replacing(path.with_suffix(".md")) as partial:
        partial.write_text(page, encoding="utf-8")
