"""The quality of memories by number of prototypes, from the table of `pmnet cluster-quality`."""

from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from pmnet.report.drawing import SUBSETS, new_figure, tick_at
from pmnet.report.options import FigureSize

PANELS: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    (
        "distance to the nearest prototype",
        {
            "mean_distance": "all",
            "head_distance": "head",
            "tail_distance": "tail (farthest 10 %)",
        },
    ),
    (
        "share of the samples",
        {"largest_share": "largest", "median_share": "median", "smallest_share": "smallest"},
    ),
    ("drift between seeds", {"drift_share": "drift / mean distance"}),
)
COLUMNS: Final = " ".join(["k", *(column for _, columns in PANELS for column in columns)])


def draw(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return distance, shares and drift against the number of prototypes (`memory.quality`)."""
    with new_figure(size, "Quality of the memory by number of prototypes") as figure:
        for axes, (title, columns) in zip(figure.subplots(1, 3), PANELS, strict=True):
            for (column, label), (colour, marker) in zip(columns.items(), SUBSETS, strict=False):
                axes.plot(table["k"], table[column], color=colour, marker=marker, label=label)
            tick_at(axes, table["k"], "log")
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("number of prototypes K")
            axes.legend()
    return figure
