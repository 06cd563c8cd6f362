"""Panels of error by distance to the mean body: lines above, the number of samples below."""

from collections.abc import Iterator
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pmnet.report.drawing import PALE, Look, band
from pmnet.report.labels import DATASET_NAMES

COLUMNS: Final = (
    "run dataset bin distance_mm mpvpe_mm reduction_mm n low high reduction_low reduction_high"
)
NARROW_IN: Final = 3.0


def panels(figure: Figure, curves: pd.DataFrame, label: str) -> Iterator[tuple[Axes, pd.DataFrame]]:
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
        note = axes.annotate(text, (x, n), (0, 1), textcoords="offset points", fontsize="small")
        note.set(ha="center", va="bottom", rotation=90 if narrow else 0)


def line(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], look: Look) -> None:
    """Draw a line and its band; a hollow marker has no band: its samples are of one sequence."""
    band(axes, rows["distance_mm"], rows, columns, look, alpha=0.15)
    mean, low, _ = columns
    _, colour, marker = look
    bare = rows[rows[low].isna()]
    axes.plot(bare["distance_mm"], bare[mean], marker, color=colour, markerfacecolor="white")
