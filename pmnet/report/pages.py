"""Tables II to VI as Markdown pages for people to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import pandas as pd

from pmnet.evaluation.error_table import METRICS, SCORED
from pmnet.evaluation.phrases import besides, by_dataset
from pmnet.report.labels import BALANCED, DATASET_NAMES, OPEN_NAMES
from pmnet.report.markdown import grid

ROMAN: Final = {2: "II", 3: "III", 4: "IV", 5: "V", 6: "VI"}
CELL: Final = ["dataset", "subset", "metric"]
ORDER: Final = [*(metric.removesuffix("_mm") for metric in METRICS), BALANCED]
BALANCED_NOTE: Final = (
    "bMPVPE is the mean over the filled ones of 100 bins of equal width on the distance to the mean body, "
    "each the mean MPVPE in the bin (the rule of IHMR, Balanced MSE). A bin of one image counts as much as a "
    "bin of thousands; the {place} has the number of filled bins. It has no interval: a redrawn sample "
    "empties bins."
)
NUMBERS: Final = ["mean_mm", "sd_mm", "low_mm", "high_mm"]
ROOM: Final = 10  # columns up to which the cells show their intervals


@dataclass(frozen=True)
class Words:
    """What a page says beside the numbers."""

    title: str
    cells: str  # the measures, and what is in a cell
    balanced: str  # what bMPVPE is, with a {place} for where its bins are counted
    ours: str  # heading of our block
    scored: str  # heading of the block of other systems
    published: str
    protocols: Mapping[str, tuple[str, str]]  # name and words by data set, where they differ
    in_words: list[tuple[str, str]]  # the protocols of the data sets in the table


def words_of(
    table: pd.DataFrame, number: int, title: str, protocol: str, *, spreads: bool, intervals: bool
) -> Words:
    """Return what a page of the table says; `spreads` and `intervals` tell whether its cells show them."""
    ours, _, printed = blocks_of(table)
    on_paper_data = bool(set(ours["dataset"]) & set(printed["dataset"]))
    is_open = all(name.startswith(OPEN_NAMES) for name in ours["dataset"])
    elsewhere = "open data" if is_open else "data sets of your own"
    data = "the paper's data sets" if on_paper_data else elsewhere
    other = (
        "data and protocol may differ from ours" if on_paper_data else "not comparable with ours"
    )
    fewest, most = int(ours["seeds"].min()), int(ours["seeds"].max())
    seeds = f"{most} seed{'s' * (most > 1)}" if fewest == most else f"{fewest} to {most} seeds"
    spread = " ± standard deviation over training seeds" if spreads and most > 1 else ""
    redrawn = " or ".join(name for name in ours["interval"].unique() if name)
    interval = f" [95 % interval; redrawn: {redrawn}]" if intervals and redrawn else ""
    metrics = ", ".join(metric_label(name) for name in ours["metric"].unique())
    protocols = by_dataset(protocol)
    how = ", ".join(filter(None, [besides(protocol), "protocols below" * bool(protocols)]))
    shown = {protocols[name] for name in ours["dataset"].unique() if name in protocols}
    return Words(
        title=f"Table {ROMAN[number]}: {title}",
        cells=f"{metrics} in mm, lower is better. Our cells: mean{spread}{interval}.",
        balanced=BALANCED_NOTE if BALANCED in set(ours["metric"]) else "",
        ours=f"Ours ({data}, {how}, {seeds}, n in the last row)",
        scored="Scored by us (predictions of other systems; samples, protocols and rules as ours)",
        published=f"Published (the paper's data: {other})",
        protocols=protocols,
        in_words=sorted(shown),
    )


def blocks_of(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return our rows, those of other systems that were scored, and those that the paper printed."""
    ours, scored, printed = (
        table[table["source"] == source] for source in ("ours", SCORED, "published")
    )
    return ours, scored, printed


def to_page(table: pd.DataFrame, number: int, title: str, protocol: str) -> str:
    """Return a page with our measurements, and apart from them the numbers that the paper printed.

    Where predictions of other systems were scored, they have a block of their own between the two.
    Where data sets have protocols of their own, the name of each stands below its numbers, and its words
    below the table.
    """
    ours, scored, printed = blocks_of(table)
    room = len(_columns(ours)) <= ROOM
    words = words_of(table, number, title, protocol, spreads=True, intervals=room)
    listed = "\n".join(f"- {name}: {text}" for name, text in words.in_words)
    lines = [
        f"# {words.title}",
        words.cells,
        *[words.balanced.format(place="heading")] * bool(words.balanced),
        f"## {words.ours}",
        _grid(ours, room, words.protocols),
        *[listed] * bool(listed),
        *([f"## {words.scored}", _grid(scored, room, words.protocols)] if len(scored) else []),
        f"## {words.published}",
        _grid(printed, False),
    ]
    return "\n\n".join(lines) + "\n"


def _grid(
    rows: pd.DataFrame,
    intervals: bool,
    protocols: Mapping[str, tuple[str, str]] = MappingProxyType({}),
) -> str:
    """Return one block: one row per method, one column per data set, subset and metric."""
    cells = list(zip(rows["dataset"], rows["subset"], rows["metric"], strict=True))
    columns = _columns(rows)
    texts = {
        (method, cell): cell_text(mean, sd, low, high, intervals)
        for method, cell, mean, sd, low, high in zip(
            rows["method"], cells, *(rows[name] for name in NUMBERS), strict=True
        )
    }
    years = dict(zip(rows["method"], rows["year"], strict=True))
    notes = notes_of(rows)
    with_year, with_note = bool(rows["year"].notna().any()), bool(notes.ne("").any())
    bins = {c: int(n) for c, n in zip(cells, rows["bins"], strict=True) if pd.notna(n)}
    headings = _headings(columns, bins)
    head = ["Method", *["Year"] * with_year, *headings, *["Note"] * with_note]
    lines = []
    for method, note in notes.items():
        row = [texts.get((method, column), "-") for column in columns]
        lines.append([str(method), *[str(years[method])] * with_year, *row, *[note] * with_note])
    if protocols:
        names = [protocols[dataset][0] for dataset, _, _ in columns]
        lines.append(["protocol", *names, *[""] * with_note])
    if rows["n"].notna().any():
        n = dict(zip(cells, rows["n"], strict=True))
        lines.append(["n", *[f"{n[column]:,}" for column in columns], *[""] * with_note])
    return grid(head, lines, texts=("Method", "Note"))


def notes_of(rows: pd.DataFrame) -> "pd.Series[str]":
    """Return the different notes of each method as one text."""
    return rows.groupby("method", sort=False)["note"].agg(
        lambda notes: "; ".join(
            dict.fromkeys(part for note in notes if note for part in note.split("; "))
        )
    )


def cell_text(mean: float, sd: float, low: float, high: float, intervals: bool) -> str:
    """Return the text of a cell: mean, spread over seeds, and interval, as far as they are known."""
    spread = f" ± {sd:.1f}" if pd.notna(sd) else ""
    bounds = f" [{low:.1f}, {high:.1f}]" if intervals and pd.notna(low) else ""
    return f"{mean:.1f}{spread}{bounds}"


def _columns(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return data set, subset and metric of each column, in the paper's order."""
    known = rows[rows["dataset"] != ""]
    datasets = list(dict.fromkeys([*DATASET_NAMES, *known["dataset"]]))

    def rank(cell: tuple[str, str, str]) -> tuple[int, int, int]:
        dataset, subset, metric = cell
        percent = 0 if subset == "all" else int(subset.removeprefix("tail_"))
        return datasets.index(dataset), percent, ORDER.index(metric)

    return sorted(set(known[CELL].itertuples(index=False, name=None)), key=rank)


def _headings(
    columns: list[tuple[str, str, str]], bins: dict[tuple[str, str, str], int]
) -> list[str]:
    several = len({metric for _, _, metric in columns}) > 1
    whole = {subset for _, subset, _ in columns} == {"all"}
    return [
        DATASET_NAMES.get(dataset, dataset)
        + ("" if whole else " " + subset.replace("tail_", "tail ") + " %" * (subset != "all"))
        + (f" {metric_label(metric)}" if several else "")
        + (f" ({bins[dataset, subset, metric]} bins)" if metric == BALANCED else "")
        for dataset, subset, metric in columns
    ]


def metric_label(name: str) -> str:
    """Return what people read for a metric."""
    return "bMPVPE" if name == BALANCED else name.upper().replace("_", "-")
