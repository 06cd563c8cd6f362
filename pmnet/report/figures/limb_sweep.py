"""Table VI as a figure: error by weight of the limbs."""

import pandas as pd
from matplotlib.figure import Figure

from pmnet.report.figures._sweep import COLUMNS, sweep
from pmnet.report.options import FigureSize

__all__ = ["COLUMNS", "draw"]


def draw(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return MPVPE against the weight of the limbs, ours only (Table VI)."""
    title = "Error by weight of the limbs (bars: 95 % intervals)"
    return sweep(table, size, title, "weight of the limbs", "linear")
