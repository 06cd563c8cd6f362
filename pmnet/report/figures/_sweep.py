"""Error against a swept setting: Tables V and VI as figures."""

from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pmnet.report.drawing import SUBSETS, bars, legend_below, new_figure, tick_at
from pmnet.report.labels import DATASET_NAMES
from pmnet.report.options import FigureSize

COLUMNS: Final = "source dataset subset value mean_mm low_mm high_mm n"


def sweep(table: pd.DataFrame, size: FigureSize, title: str, label: str, scale: str) -> Figure:
    """Return one panel a data set, one line a subset; bars are 95 % intervals."""
    ours = table[table["source"] == "ours"]
    datasets, subsets = list(ours["dataset"].unique()), list(ours["subset"].unique())
    with new_figure(size, title) as figure:
        panels = figure.subplots(1, len(datasets), squeeze=False)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            here = ours[ours["dataset"] == dataset]
            for place, subset in enumerate(subsets):
                _subset(axes, here[here["subset"] == subset], subset, place)
            tick_at(axes, here["value"], scale)
            axes.set_title(f"{DATASET_NAMES.get(dataset, dataset)}, n = {here['n'].max():,.0f}")
            axes.set_xlabel(label)
        panels[0].set_ylabel("MPVPE [mm]")
        legend_below(figure)
    return figure


def _subset(axes: Axes, rows: pd.DataFrame, subset: str, place: int) -> None:
    """Draw one line of a sweep."""
    rows = rows.sort_values("value")
    label = "all samples" if subset == "all" else subset.replace("_", " ") + " %"
    colour, marker = SUBSETS[place % len(SUBSETS)]
    look: dict[str, Any] = {"color": colour, "marker": marker, "capsize": 3.0, "elinewidth": 1.0}
    axes.errorbar(rows["value"], rows["mean_mm"], bars(rows, "mean_mm"), label=label, **look)
