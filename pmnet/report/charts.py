"""Figures 1(b) and 5 and the two sweeps, drawn from their tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.style import context

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.evaluation.error_table import DATASET_NAMES
from pmnet.report.options import FigureSize

CURVES: Final = (
    "run dataset bin distance_mm mpvpe_mm reduction_mm n low high reduction_low reduction_high"
)
SWEEP: Final = "source dataset subset value mean_mm low_mm high_mm n"
NARROW_IN: Final = 3.0
INK, PALE = "#333333", "#d0d4d9"
# colours of Okabe and Ito: told apart by every kind of colour vision; the markers serve in grey
MEMORIES: Final = {
    "naive": ("K-Means Naive", "#E69F00", "^"),
    "random": ("Random Select", "#56B4E9", "s"),
    "3dh": ("3DH K-Means", "#009E73", "D"),
    "p3dh": ("P3DH K-Means", "#D55E00", "o"),
}
SUBSETS: Final = (("#0072B2", "o"), ("#009E73", "s"), ("#E69F00", "D"), ("#D55E00", "^"))
STYLE: Final[dict[str, Any]] = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "grid.color": "#e8ebee",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}


def distance_figure(curves: pd.DataFrame, size: FigureSize) -> Figure:
    """Return error against distance for the single prototype, a panel a data set (Fig. 1(b)).

    The band is the 95 % interval; bars below count the samples of each bin.
    """
    single = curves[curves["run"] == curves["run"].iloc[0]]
    with new_figure(
        size, "Error of the single prototype by distance (band: 95 % interval)"
    ) as figure:
        for axes, part in _panels(figure, single, "MPVPE [mm]"):
            _line(axes, part, ("mpvpe_mm", "low", "high"), "#0072B2", "o", "")
    return figure


def reduction_figure(curves: pd.DataFrame, size: FigureSize) -> Figure:
    """Return the error reduction against the single prototype, a line a memory (Fig. 5).

    Above zero is better than the single prototype; the band is the 95 % interval of the difference.
    Raises InputError where there is no run but the single prototype.
    """
    others = curves[curves["run"] != curves["run"].iloc[0]]
    if others.empty:
        raise InputError("the curves are of the single prototype alone; give --errors of more runs")
    names = others["run"].unique()
    methods = [name.split("_")[0] for name in names]
    with new_figure(
        size, "Error reduction against the single prototype (95 % intervals)"
    ) as figure:
        for axes, part in _panels(figure, others, "reduction of MPVPE [mm]"):
            axes.axhline(0, color=INK, linewidth=1)
            for name, method in zip(names, methods, strict=True):
                label, colour, marker = MEMORIES.get(method, (name, INK, "x"))
                label = label if methods.count(method) == 1 else name
                columns = ("reduction_mm", "reduction_low", "reduction_high")
                _line(axes, part[part["run"] == name], columns, colour, marker, label)
        legend_below(figure)
    return figure


def k_sweep_figure(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return MPVPE against the number of prototypes, ours only (Table V)."""
    title = "Error by number of prototypes (bars: 95 % intervals)"
    return _sweep_figure(table, size, title, "number of prototypes K", "log")


def limb_sweep_figure(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return MPVPE against the weight of the limbs, ours only (Table VI)."""
    title = "Error by weight of the limbs (bars: 95 % intervals)"
    return _sweep_figure(table, size, title, "weight of the limbs", "linear")


def quality_figure(table: pd.DataFrame, size: FigureSize) -> Figure:
    """Return distance, shares and drift against the number of prototypes (`memory.quality`)."""
    panels: tuple[tuple[str, dict[str, str]], ...] = (
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
    with new_figure(size, "Quality of the memory by number of prototypes") as figure:
        for axes, (title, columns) in zip(figure.subplots(1, 3), panels, strict=True):
            for (column, label), (colour, marker) in zip(columns.items(), SUBSETS, strict=False):
                axes.plot(table["k"], table[column], color=colour, marker=marker, label=label)
            axes.set_xscale("log")
            axes.set_xticks(sorted(table["k"].unique()))
            axes.set_xticks([], minor=True)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xlabel("number of prototypes K")
            axes.legend()
    return figure


DRAWN: Final = {
    "distance": (distance_figure, CURVES),
    "reduction": (reduction_figure, CURVES),
    "k_sweep": (k_sweep_figure, SWEEP),
    "limb_sweep": (limb_sweep_figure, SWEEP),
}


def draw(name: str, table: Path, size: FigureSize) -> Figure:
    """Return the figure of that name from its CSV.

    Raises InputError for an unknown name, and where the CSV is missing, empty or of other columns.
    """
    if name not in DRAWN:
        raise InputError(f"figure {name!r} is not one of {', '.join(DRAWN)}")
    function, columns = DRAWN[name]
    try:
        rows = pd.read_csv(table)
    except (OSError, ValueError) as error:
        raise InputError(f"{table}: not readable as CSV ({error}); run dvc repro") from None
    missing = [column for column in columns.split() if column not in rows]
    if missing or rows.empty:
        raise InputError(
            f"{table}: the figure {name} needs rows with the columns {columns}; "
            f"missing: {' '.join(missing) or 'rows'}; run dvc repro"
        )
    return function(rows, size)


def save(figure: Figure, path: Path, size: FigureSize) -> None:
    """Write a figure as PNG, the same bytes for the same figure."""
    with replacing(path) as partial, context(["default", STYLE]):
        figure.savefig(partial, format="png", dpi=size.dpi, metadata={"Software": None})


@contextmanager
def new_figure(size: FigureSize, title: str) -> Iterator[Figure]:
    """Yield an empty figure in our style, whatever the user's own is."""
    with context(["default", STYLE]):
        inches = (size.width_in, size.height_in)
        figure = Figure(figsize=inches, dpi=size.dpi, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
        yield figure


def _panels(
    figure: Figure, curves: pd.DataFrame, label: str
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Yield the upper axes of each data set and its filled bins; count the samples below."""
    datasets = list(curves["dataset"].unique())
    grid = figure.subplots(
        2, len(datasets), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [4, 1]}
    )
    narrow = bool(figure.get_figwidth() / len(datasets) < NARROW_IN)
    gap = "\n" if narrow else " "
    for (upper, lower), dataset in zip(grid.T, datasets, strict=True):
        part = curves[(curves["dataset"] == dataset) & (curves["n"] > 0)]
        upper.set_title(DATASET_NAMES.get(dataset, dataset))
        yield upper, part
        _count(lower, part.drop_duplicates("bin"), narrow)
        lower.set_xlabel(f"distance to the{gap}mean body [mm]")
    grid[0, 0].set_ylabel(label)
    grid[1, 0].set_ylabel("samples")


def _count(axes: Axes, bins: pd.DataFrame, narrow: bool) -> None:
    """Draw how many samples each bin has: bars on a logarithmic scale, with their numbers."""
    width = bins["distance_mm"].diff().median() * 0.7 if len(bins) > 1 else 10.0
    axes.bar(bins["distance_mm"], bins["n"], width, color=PALE)
    axes.set_yscale("log")
    axes.set_ylim(0.5, bins["n"].max() * (80 if narrow else 12))
    axes.set_yticks([], minor=False)
    axes.set_yticks([], minor=True)
    axes.spines["left"].set_visible(False)
    axes.grid(False)
    for x, n in zip(bins["distance_mm"], bins["n"], strict=True):
        text = f"{n}" if n < 1000 else f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"
        note = axes.annotate(text, (x, n), (0, 1), textcoords="offset points", fontsize=7)
        note.set(ha="center", va="bottom", rotation=90 if narrow else 0)


def _line(
    axes: Axes,
    rows: pd.DataFrame,
    columns: tuple[str, str, str],
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Draw a line and its band; a hollow marker has none: its samples are of one sequence."""
    mean, low, high = columns
    axes.fill_between(rows["distance_mm"], rows[low], rows[high], color=colour, alpha=0.15, lw=0)
    axes.plot(rows["distance_mm"], rows[mean], color=colour, marker=marker, label=label)
    bare = rows[rows[low].isna()]
    axes.plot(bare["distance_mm"], bare[mean], marker, color=colour, markerfacecolor="white")


def _sweep_figure(
    table: pd.DataFrame, size: FigureSize, title: str, label: str, scale: str
) -> Figure:
    """Return one panel a data set, one line a subset; bars are 95 % intervals."""
    ours = table[table["source"] == "ours"]
    datasets, subsets = list(ours["dataset"].unique()), list(ours["subset"].unique())
    with new_figure(size, title) as figure:
        panels = figure.subplots(1, len(datasets), squeeze=False)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            here = ours[ours["dataset"] == dataset]
            for place, subset in enumerate(subsets):
                _subset(axes, here[here["subset"] == subset], subset, place)
            axes.set_xscale(scale)
            axes.set_xticks(sorted(here["value"].unique()))
            axes.set_xticks([], minor=True)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_title(f"{DATASET_NAMES.get(dataset, dataset)}, n = {here['n'].max():,.0f}")
            axes.set_xlabel(label)
        panels[0].set_ylabel("MPVPE [mm]")
        legend_below(figure)
    return figure


def _subset(axes: Axes, rows: pd.DataFrame, subset: str, place: int) -> None:
    """Draw one line of a sweep."""
    rows = rows.sort_values("value")
    mean, low, high = (rows[name] for name in ("mean_mm", "low_mm", "high_mm"))
    bars = [(mean - low).clip(0), (high - mean).clip(0)]
    label = "all samples" if subset == "all" else subset.replace("_", " ") + " %"
    colour, marker = SUBSETS[place % len(SUBSETS)]
    look: dict[str, Any] = {"color": colour, "marker": marker, "capsize": 3.0, "elinewidth": 1.0}
    axes.errorbar(rows["value"], mean, bars, label=label, **look)


def legend_below(figure: Figure) -> None:
    """Write the legend of the first panel, which is that of all, below the figure."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
