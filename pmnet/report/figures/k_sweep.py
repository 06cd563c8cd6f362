"""Table V as a figure: error by number of prototypes."""

import pandas as pd
from matplotlib.figure import Figure

from pmnet.report.figures._sweep import COLUMNS, sweep
from pmnet.report.options import FigureSize

__all__ = ["COLUMNS", "draw"]


def draw(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return MPVPE against the number of prototypes, ours only (Table V)."""
    title = "Error by number of prototypes (bars: 95 % intervals)"
    return sweep(table, size, title, "number of prototypes K", "log")
