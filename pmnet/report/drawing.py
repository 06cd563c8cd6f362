"""What all figures share: style and colours, lines with bands, bars of intervals, the legend, the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context

from pmnet.core.files import replacing
from pmnet.report.options import FigureSize, VectorFormat

Look = tuple[str, str, str]  # label, colour, marker
POINTS_PER_INCH: Final = 72
INK, PALE = "#333333", "#d0d4d9"
# colours of Okabe and Ito, which colour-blind people can tell apart; markers differ for print in grey
MEMORIES: Final[dict[str, Look]] = {
    "naive": ("K-Means Naive", "#E69F00", "^"),
    "random": ("Random Select", "#56B4E9", "s"),
    "3dh": ("3DH K-Means", "#009E73", "D"),
    "p3dh": ("P3DH K-Means", "#D55E00", "o"),
}
SUBSETS: Final = (("#0072B2", "o"), ("#009E73", "s"), ("#E69F00", "D"), ("#D55E00", "^"))
STYLE: Final[dict[str, Any]] = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.color": "#e8ebee",
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3
    "svg.hashsalt": "pmnet",
}


# sizes in points beside text of 9 points
SCALED: Final = {
    **{"lines.linewidth": 1.8, "lines.markersize": 4.5, "axes.linewidth": 0.8},
    **{
        f"{axis}tick.major.{part}": at
        for axis in "xy"
        for part, at in (("width", 0.8), ("size", 3.5))
    },
}
LETTER_EM, HANDLE_EM = 0.55, 4.0  # width of a letter, and of what stands before a label of a legend

# what would differ between two runs: dates, and names of versions
METADATA: Final[dict[str, dict[str, Any]]] = {
    "png": {"Software": None},
    "pdf": dict.fromkeys(("CreationDate", "Creator", "Producer")),
    "svg": dict.fromkeys(("Date", "Creator")),
}


def save(figure: Figure, path: Path, size: FigureSize, vector: VectorFormat = "pdf") -> None:
    """Write a figure as PNG, and beside it as PDF or SVG; the same figure gives the same bytes."""
    with context(_style(size)):
        save_pictures(figure, path, size.dpi, vector)


def save_pictures(figure: Figure, path: Path, dpi: int, vector: VectorFormat = "pdf") -> None:
    """Write a figure of pictures as PNG, and beside it as PDF or SVG."""
    for suffix in ("png", vector):
        with replacing(path.with_suffix(f".{suffix}")) as partial, context({"pdf.fonttype": 42}):
            figure.savefig(partial, format=suffix, dpi=dpi, metadata=METADATA[suffix])


def _style(size: FigureSize) -> list[Any]:
    """Return our style, with lines and marks as large as the text."""
    scaled = {name: points * size.font_pt / 9 for name, points in SCALED.items()}
    fonts = {"font.size": size.font_pt, "axes.titlesize": size.font_pt + 1}
    return ["default", STYLE, scaled, fonts]


@contextmanager
def new_figure(size: FigureSize, title: str) -> Iterator[Figure]:
    """Yield an empty figure in our style, whatever style the user has set."""
    with context(_style(size)):
        inches = (size.width_in, size.height_in)
        figure = Figure(figsize=inches, dpi=size.dpi, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=size.font_pt + 1.5)
        yield figure


def legend_below(figure: Figure) -> None:
    """Write the legend below the figure. All panels share it: it is taken from the first."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    widths_em = [LETTER_EM * len(label) + HANDLE_EM for label in labels]
    room_em = figure.get_figwidth() * POINTS_PER_INCH / rcParams["font.size"]
    columns = len(labels)
    if labels and sum(widths_em) > room_em:
        columns = max(1, int(room_em // max(widths_em)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def band(
    axes: Axes,
    x: pd.Series,
    rows: pd.DataFrame,
    columns: tuple[str, str, str],
    look: Look,
    alpha: float,
) -> None:
    """Draw a line of means and the band of their intervals; `columns` are mean, low and high."""
    mean, low, high = columns
    label, colour, marker = look
    axes.fill_between(x, rows[low], rows[high], color=colour, alpha=alpha, lw=0)
    axes.plot(x, rows[mean], color=colour, marker=marker, label=label)


def bars(rows: pd.DataFrame, mean: str) -> list[pd.Series]:
    """Return how far the intervals `low_mm` to `high_mm` reach below and above the means."""
    return [(rows[mean] - rows["low_mm"]).clip(0), (rows["high_mm"] - rows[mean]).clip(0)]


def tick_at(axes: Axes, values: pd.Series, scale: str) -> None:
    """Put the ticks of x at the values that were measured, and nowhere else."""
    axes.set_xscale(scale)
    axes.set_xticks(sorted(values.unique()))
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
