"""Figures of the findings: gains with intervals, errors by start, error and accuracy by decile."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pmnet.report.benchmark.listing import GROUPS, BenchmarkRun
from pmnet.report.drawing import (
    INK,
    MEMORIES,
    PALE,
    SUBSETS,
    Look,
    band,
    bars,
    legend_below,
    new_figure,
)
from pmnet.report.labels import subset_label
from pmnet.report.options import FigureSize
from pmnet.report.wording import is_clear

WIDTH_IN, DPI, FONT_PT = 11.0, 130, 9.0
ROW_IN, MARGIN_IN = 0.24, 1.5  # of figures with one row per run
DECILES: Final = FigureSize(width_in=10.0, height_in=4.4, dpi=DPI, font_pt=FONT_PT)
LOOKS: Final[dict[str, Look]] = {"single": ("single prototype", "#0072B2", "v"), **MEMORIES}
# column -> label, colour, marker, its size
STARTS: Final = {
    "against_mm": ("its reference", INK, "|", 9.0),
    "prototype_alone_mm": ("chosen prototype alone", "#999999", "^", 4.5),
    "mean_mm": ("its own choice", "#D55E00", "o", 7.0),
    "soft_mm": ("soft", "#0072B2", "s", 3.0),
    "oracle_mm": ("oracle", "#009E73", "D", 4.5),
}
# method, half of a decile -> label, colour, marker
HALVES: Final[dict[tuple[str, str], Look]] = {
    ("single", "dense"): ("single prototype, dense", "#0072B2", "v"),
    ("single", "sparse"): ("single prototype, sparse", "#56B4E9", "^"),
    ("p3dh", "dense"): ("P3DH, dense", "#D55E00", "o"),
    ("p3dh", "sparse"): ("P3DH, sparse", "#E69F00", "s"),
}
FARTHEST: Final = -1.5  # losses beyond this multiple of the largest gain are written, not drawn


def size_of(rows: int) -> FigureSize:
    """Return the size of a figure with this number of rows."""
    return FigureSize(WIDTH_IN, MARGIN_IN + ROW_IN * rows, DPI, FONT_PT)


def gain_figure(table: pd.DataFrame, runs: list[BenchmarkRun]) -> tuple[Figure, FigureSize]:
    """Return the gain in MPVPE of each run over its first reference, one panel per subset, and the size.

    Bars are 95 % intervals; right of zero the run is better. A hollow marker is a gain that is not
    clear: its interval contains zero. A reference that differs from the first
    run's is named at the right. `table` is the one that `paired` returns.
    """
    labels = {run.run: run.label for run in runs}
    shown = [run for run in runs if run.references]
    usual = shown[0].references[0]
    rows, size = _first(table, shown), size_of(len(shown))
    over = f"{labels[usual]}, or over the run named"
    title = f"Gain in MPVPE over {over} (positive: better; bars: 95 % intervals; hollow: not clear)"
    with new_figure(size, title) as figure:
        for axes, part in _panels(figure, rows, shown):
            _gains(axes, part)
        for place, run in enumerate(shown):
            if (other := run.references[0]) != usual:
                _note(axes, 1.03, place, f"over {labels[other]}")
        legend_below(figure)
    return figure, size


def _gains(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw a subset's gains, one colour per group; large losses are written to leave room for the rest."""
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlabel("gain [mm]")
    lowest = FARTHEST * rows["gain_mm"].max()
    drawn = rows[rows["gain_mm"] >= lowest] if lowest < 0 else rows
    left = rows.drop(drawn.index)
    for place, gain in zip(left["place"], left["gain_mm"], strict=True):
        _note(axes, 0.02, place, f"\u25c2 {gain:.0f}")
    for (group, title), (colour, marker) in zip(GROUPS.items(), SUBSETS, strict=True):
        here = drawn[drawn["group"] == group]
        clear = np.array([*map(is_clear, here["low_mm"], here["high_mm"])], bool)
        label = title
        for part, face in ((here[clear], colour), (here[~clear], "white")):
            look: dict[str, Any] = {
                "color": colour,
                "marker": marker,
                "linestyle": "",
                "capsize": 2.5,
            }
            if len(part):
                reach = bars(part, "gain_mm")
                look |= {"xerr": reach, "label": label, "elinewidth": 1.2, "markerfacecolor": face}
                axes.errorbar(part["gain_mm"], part["place"], **look)
                label = "_nolegend_"


def gap_figure(table: pd.DataFrame, runs: list[BenchmarkRun]) -> tuple[Figure, FigureSize]:
    """Return MPVPE by the start of inference, one panel per subset, one row per run, and the size.

    Runs of several prototypes only; the tick is the run's first reference.
    """
    several = set(table[table["accuracy_percent"].notna()]["run"])
    shown = [run for run in runs if run.run in several]
    rows, size = _first(table, shown), size_of(len(shown))
    with new_figure(size, "MPVPE by the prototype that inference starts from") as figure:
        for axes, part in _panels(figure, rows, shown):
            axes.hlines(part["place"], part["oracle_mm"], part["mean_mm"], color=PALE, linewidth=3)
            for column, (label, colour, marker, size_pt) in STARTS.items():
                if rows[column].notna().any():
                    look: dict[str, Any] = {"color": colour, "markersize": size_pt}
                    axes.plot(part[column], part["place"], marker, label=label, **look)
            axes.set_xlabel("MPVPE [mm]")
        legend_below(figure)
    return figure, size


def decile_figure(deciles: pd.DataFrame, main: dict[str, BenchmarkRun]) -> Figure:
    """Return error and error reduction by decile of distance, one line per memory.

    Bands are 95 % intervals. `main` has the runs by method.
    """
    with new_figure(DECILES, _title("Error and reduction", deciles)) as figure:
        errors, reductions = figure.subplots(1, 2)
        for method, part in _lines(deciles, main):
            _line(errors, part, ("mpvpe_mm", "low", "high"), method)
            if method != "single":
                _line(reductions, part, ("reduction_mm", "reduction_low", "reduction_high"), method)
        _cut_losses(reductions, deciles, main)
        _finish(figure, deciles)
    return figure


def accuracy_figure(deciles: pd.DataFrame, main: dict[str, BenchmarkRun]) -> Figure:
    """Return the share of samples whose prototype is recognised, by decile of distance."""
    size = DECILES
    columns = "accuracy_percent", "accuracy_low", "accuracy_high"
    with new_figure(size, _title("Prototypes recognised", deciles)) as figure:
        axes = figure.subplots()
        for method, part in _lines(deciles, main):
            if method != "single":
                _line(axes, part, columns, method)
        axes.set_ylim(0, 100)
        axes.set_ylabel("chosen = assigned [%]")
        _label_deciles(axes, deciles)
        legend_below(figure)
    return figure


def density_figure(table: pd.DataFrame, main: dict[str, BenchmarkRun]) -> Figure:
    """Return error and reduction by decile of distance, apart for dense and sparse training bodies.

    `table` is the one that `by_density` returns; P3DH is drawn beside the single prototype.
    """
    with new_figure(
        DECILES, _title("Error where training bodies are dense or sparse,", table)
    ) as figure:
        errors, reductions = figure.subplots(1, 2)
        for (method, half), look in HALVES.items():
            part = table[(table["run"] == main[method].run) & (table["half"] == half)]
            band(errors, part["bin"] + 1, part, ("mpvpe_mm", "low", "high"), look, alpha=0.12)
            if method != "single":
                columns = "reduction_mm", "reduction_low", "reduction_high"
                band(reductions, part["bin"] + 1, part, columns, look, alpha=0.12)
        _finish(figure, table.groupby("bin")[["distance_mm"]].mean().reset_index())
    return figure


def _first(table: pd.DataFrame, shown: list[BenchmarkRun]) -> pd.DataFrame:
    """Return the rows of MPVPE against the first references, with the place of each run."""
    first = {run.run: (run.references or [""])[0] for run in shown}
    places = {run.run: place for place, run in enumerate(shown)}
    rows = table[(table["metric"] == "mpvpe") & (table["against"] == table["run"].map(first))]
    return rows.assign(place=rows["run"].map(places))


def _panels(
    figure: Figure, rows: pd.DataFrame, shown: list[BenchmarkRun]
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Yield one panel per subset, with one labelled row per run from the top down."""
    names = list(rows["subset"].unique())
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, names, strict=True):
        part = rows[rows["subset"] == subset]
        axes.set_title(f"{subset_label(subset)}, n = {part['n'].iloc[0]:,}")
        yield axes, part
    panels[0].set_yticks(range(len(shown)), [run.label for run in shown])
    panels[0].set_ylim(len(shown) - 0.4, -0.6)


def _note(axes: Axes, x: float, row: int, text: str) -> None:
    """Write beside a row; `x` is a share of the panel's width."""
    axes.text(x, row, text, fontsize=8, va="center", transform=axes.get_yaxis_transform())


def _cut_losses(axes: Axes, deciles: pd.DataFrame, main: dict[str, BenchmarkRun]) -> None:
    """Cut the axis above large losses, which would flatten all other lines, and write these losses."""
    reductions = {LOOKS[m][0]: part["reduction_mm"] for m, part in _lines(deciles, main)}
    lowest = FARTHEST * max(values.max() for values in reductions.values())
    below = {name: values.min() for name, values in reductions.items() if values.min() < lowest}
    if lowest < 0 and below:
        axes.set_ylim(bottom=lowest)
        text = "\n".join(f"{name}: down to {worst:.0f} mm" for name, worst in below.items())
        axes.text(0.02, 0.03, text, transform=axes.transAxes, fontsize=8)


def _lines(
    deciles: pd.DataFrame, main: dict[str, BenchmarkRun]
) -> Iterator[tuple[str, pd.DataFrame]]:
    for method, run in main.items():
        yield method, deciles[deciles["run"] == run.run]


def _line(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], method: str) -> None:
    band(axes, rows["bin"] + 1, rows, columns, LOOKS[method], alpha=0.12)


def _finish(figure: Figure, deciles: pd.DataFrame) -> None:
    """Write what stands around two panels, errors and reductions by decile, once their lines are drawn."""
    errors, reductions = figure.axes
    reductions.axhline(0, color=INK, linewidth=1)
    for axes, label in ((errors, "MPVPE [mm]"), (reductions, "reduction of MPVPE [mm]")):
        axes.set_ylabel(label)
        _label_deciles(axes, deciles)
    errors.set_title("Error")
    reductions.set_title("Reduction against the single prototype")
    legend_below(figure)


def _label_deciles(axes: Axes, deciles: pd.DataFrame) -> None:
    bins = deciles.drop_duplicates("bin")
    pairs = zip(bins["bin"], bins["distance_mm"], strict=True)
    texts = [f"{number + 1}\n{distance:.0f}" for number, distance in pairs]
    axes.set_xticks(bins["bin"] + 1, texts)
    axes.set_xlabel("decile of the distance to the mean body, and its mean distance [mm]")


def _title(what: str, deciles: pd.DataFrame) -> str:
    n = deciles["n"]
    number = f"{n.min():,}" if n.min() == n.max() else f"{n.min():,} or {n.max():,}"
    return f"{what} by decile of distance ({number} images each; bands: 95 % intervals)"
