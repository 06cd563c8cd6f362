"""Figure 1(b): error of the single prototype by distance to the mean body."""

import pandas as pd
from matplotlib.figure import Figure

from pmnet.report.drawing import new_figure
from pmnet.report.figures._by_distance import COLUMNS, line, panels
from pmnet.report.options import FigureSize

__all__ = ["COLUMNS", "draw"]


def draw(curves: pd.DataFrame, size: FigureSize) -> Figure:
    """Return error against distance for the single prototype, a panel a data set (Fig. 1(b)).

    The band is the 95 % interval; bars below count the samples of each bin.
    """
    single = curves[curves["run"] == curves["run"].iloc[0]]
    with new_figure(
        size, "Error of the single prototype by distance (band: 95 % interval)"
    ) as figure:
        for axes, part in panels(figure, single, "MPVPE [mm]"):
            line(axes, part, ("mpvpe_mm", "low", "high"), ("", "#0072B2", "o"))
    return figure
