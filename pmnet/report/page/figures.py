"""The figures of the page: error by distance, the two sweeps, and training."""

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import METHODS
from pmnet.report.labels import DATASET_NAMES, subset_label
from pmnet.report.page.charts import Panel, Series, figure, numbers_table
from pmnet.report.page.folder import ReportFolder
from pmnet.report.page.tables import read_table
from pmnet.report.pages import ROMAN
from pmnet.report.tables import MEMORIES

# columns of curves.csv, and what people read for them
CURVES: Final = {
    "run": "run",
    "dataset": "data set",
    "distance_mm": "distance [mm]",
    "mpvpe_mm": "MPVPE [mm]",
    "low": "low",
    "high": "high",
    "reduction_mm": "reduction [mm]",
    "reduction_low": "low",
    "reduction_high": "high",
    "n": "n",
}
SWEPT: Final = {5: ("number of prototypes K", True), 6: ("weight of the limbs", False)}


def curves_html(report: ReportFolder) -> str:
    """Return the two figures of error and reduction by distance; nothing without curves."""
    path = report.file("tables/curves.csv")
    if not path.is_file():
        return ""
    try:
        curves = pd.read_csv(path)
        curves = curves[curves["n"] > 0].dropna(subset="distance_mm")
        missing = [name for name in CURVES if name not in curves]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: not readable as a table of curves ({error}); run dvc repro"
        ) from None
    if missing:
        raise InputError(f"{path}: {', '.join(missing)} is missing; run dvc repro")
    numbers = numbers_table(curves[list(CURVES)], list(CURVES.values()))
    errors = _curve_panels(curves, "mpvpe_mm", "low", "high", "MPVPE [mm]", False)
    less = _curve_panels(
        curves, "reduction_mm", "reduction_low", "reduction_high", "reduction [mm]", True
    )
    return figure(
        errors,
        "Error by distance to the mean body. Bands are 95 % intervals; the bars count the samples of "
        "each bin. A bin of one clip has no band.",
        "chart-error",
        numbers,
    ) + figure(
        less,
        "Error reduction against the single prototype on the same samples: above zero is better.",
        "chart-reduction",
    )


def _curve_panels(
    curves: pd.DataFrame, column: str, low: str, high: str, label: str, against: bool
) -> list[Panel]:
    panels = []
    for dataset in curves["dataset"].unique():
        here = curves[curves["dataset"] == dataset]
        series = [
            Series(
                method,
                MEMORIES[method],
                *(_floats(rows[name]) for name in ("distance_mm", column, low, high)),
            )
            for run, rows in here.groupby("run", sort=False)
            if (method := method_of(str(run))) and not (against and method == "single")
        ]
        bins = here.drop_duplicates("bin") if "bin" in here else here.drop_duplicates("distance_mm")
        counts = [(float(x), int(n)) for x, n in zip(bins["distance_mm"], bins["n"], strict=True)]
        panels.append(
            Panel(
                DATASET_NAMES.get(dataset, dataset),
                "distance to the mean body [mm]",
                label,
                series,
                counts,
            )
        )
    return panels


def method_of(run: str) -> str:
    """Return the method of a run by its name in dvc.yaml; nothing for other names."""
    method = run.partition("_")[0]
    return method if method in METHODS else ""


def sweeps_html(report: ReportFolder) -> Iterator[str]:
    """Yield the figures of Tables V and VI that are there."""
    for number, (label, log) in SWEPT.items():
        if number not in report.numbers:
            continue
        table = read_table(report.file(f"tables/table{number}.csv"))
        ours = table[(table["source"] == "ours") & table["value"].notna()]
        panels = []
        for dataset in ours["dataset"].unique():
            here = ours[ours["dataset"] == dataset].sort_values("value")
            series = [
                Series(
                    f"subset{place % 4}",
                    "all samples" if subset == "all" else subset_label(subset),
                    *(_floats(rows[name]) for name in ("value", "mean_mm", "low_mm", "high_mm")),
                )
                for place, subset in enumerate(dict.fromkeys(ours["subset"]))
                if not (rows := here[here["subset"] == subset]).empty
            ]
            n = f"{DATASET_NAMES.get(dataset, dataset)}, n = {here['n'].max():,.0f}"
            ticks = _floats(pd.Series(sorted(here["value"].unique())))
            panels.append(Panel(n, label, "MPVPE [mm]", series, log_x=log, bars=True, ticks=ticks))
        yield figure(
            panels,
            f"Table {ROMAN[number]} as a figure: {label}. Bars are 95 % intervals.",
            f"chart-table{number}",
        )


def training_html(samples: dict[str, Any]) -> str:
    """Return the curves of training of the runs with samples; nothing without them."""
    if not samples.get("log"):
        return ""
    log, runs = pd.DataFrame(samples["log"]), samples["runs"]
    panels = [
        Panel(title, "step", label, _of_log(log, runs, column), log_y=column == "loss")
        for title, label, column in (
            ("Loss", "loss, logarithmic", "loss"),
            ("Right prototype", "share of a batch", "accuracy"),
        )
    ]
    seeds = ", ".join(sorted({str(run["seed"]) for run in runs}))
    words = (
        f"Training of the memories that the samples are of, seed {seeds}. The loss of a single prototype "
        "has no term for its choice."
    )
    return figure(panels, words, "chart-training")


def _of_log(log: pd.DataFrame, runs: list[dict[str, Any]], column: str) -> list[Series]:
    return [
        Series(run["method"], run["label"], _floats(rows["step"]), _floats(rows[column]))
        for number, run in enumerate(runs)
        if not (rows := log[log["run"] == number]).empty
    ]


def _floats(numbers: pd.Series) -> list[float]:
    return [float(number) for number in numbers]
