"""Figure 5: error reduction against the single prototype by distance to the mean body."""

from itertools import cycle
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from pmnet.core.errors import InputError
from pmnet.report.drawing import INK, MEMORIES, legend_below, new_figure
from pmnet.report.figures._by_distance import COLUMNS, line, panels
from pmnet.report.options import FigureSize

__all__ = ["COLUMNS", "draw"]

MARKS: Final = "x+*v<>"


def draw(curves: pd.DataFrame, size: FigureSize) -> Figure:
    """Return the error reduction against the single prototype, a line a memory (Fig. 5).

    Above zero is better than the single prototype; the band is the 95 % interval of the difference.
    Raises InputError where there is no run but the single prototype.
    """
    others = curves[curves["run"] != curves["run"].iloc[0]]
    if others.empty:
        raise InputError("the curves are of the single prototype alone; give --errors of more runs")
    names = others["run"].unique()
    methods = [name.split("_")[0] for name in names]
    unknown = [n for n, method in zip(names, methods, strict=True) if method not in MEMORIES]
    others_marks = dict(zip(unknown, cycle(MARKS), strict=False))  # runs that are not the paper's
    with new_figure(
        size, "Error reduction against the single prototype (95 % intervals)"
    ) as figure:
        for axes, part in panels(figure, others, "reduction of MPVPE [mm]"):
            axes.axhline(0, color=INK, linewidth=1)
            for name, method in zip(names, methods, strict=True):
                look = (name, INK, others_marks.get(name, "x"))
                label, colour, marker = MEMORIES.get(method, look)
                label = label if methods.count(method) == 1 else name
                columns = ("reduction_mm", "reduction_low", "reduction_high")
                line(axes, part[part["run"] == name], columns, (label, colour, marker))
        legend_below(figure)
    return figure
