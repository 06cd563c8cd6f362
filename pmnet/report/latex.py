"""Tables II to VI as LaTeX for papers; a document needs the package booktabs and no other.

A paper's columns are narrow: data sets stand below each other, and a column is a subset and a measure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Final

import pandas as pd

from pmnet.report.labels import BALANCED, DATASET_NAMES, subset_label
from pmnet.report.pages import (
    NUMBERS,
    ORDER,
    Words,
    blocks_of,
    cell_text,
    metric_label,
    notes_of,
    words_of,
)

ESCAPES: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)
ROOM: Final = 5  # columns up to which the cells show intervals; beyond, the spread over seeds
NONE: Final = "--"


def to_latex(table: pd.DataFrame, number: int, title: str, protocol: str) -> str:
    """Return a floating table: our measurements, those of other systems if any, and the paper's numbers.

    The caption says what is in a cell and how it was measured; notes of methods stand below, by letters.
    """
    ours, scored, printed = blocks_of(table)
    intervals = len(_columns(ours)) <= ROOM
    shown = {"spreads": not intervals, "intervals": intervals}
    words = words_of(table, number, title, protocol, **shown)
    notes = _letters([ours, scored, printed])
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_caption(words)}}}",
        rf"\label{{tab:pmnet-{number}}}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        *_block(words.ours, ours, intervals, notes, words),
        r"\par\medskip",
        *(_block(words.scored, scored, intervals, notes, words) if len(scored) else ()),
        *[r"\par\medskip"] * bool(len(scored)),
        *_block(words.published, printed, False, notes, words),
        *_below(words, notes, printed),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return a text in which LaTeX reads no command."""
    return text.translate(ESCAPES)


def _caption(words: Words) -> str:
    """Return the caption: LaTeX numbers tables itself, so the paper's number stands in brackets."""
    roman, _, title = words.title.partition(": ")
    return escape(f"{title[:1].upper()}{title[1:]} ({roman} of PM-Net). {words.cells}")


@dataclass(frozen=True)
class _Column:
    subset: str
    metric: str

    def heading(self, several_subsets: bool, several_metrics: bool) -> str:
        """Return the heading, as short as the other columns allow."""
        parts = [subset_label(self.subset)] * several_subsets
        return " ".join([*parts, *[metric_label(self.metric)] * (several_metrics or not parts)])


def _columns(rows: pd.DataFrame) -> list[_Column]:
    """Return subset and metric of each column, in the paper's order."""
    known = rows[rows["dataset"] != ""][["subset", "metric"]].drop_duplicates()

    def rank(column: _Column) -> tuple[int, int]:
        percent = 0 if column.subset == "all" else int(column.subset.removeprefix("tail_"))
        return percent, ORDER.index(column.metric)

    return sorted((_Column(*row) for row in known.itertuples(index=False, name=None)), key=rank)


def _letters(blocks: list[pd.DataFrame]) -> dict[str, str]:
    """Return the letter of each different note; methods without any data have no mark to carry one."""
    notes = [note for rows in blocks for note in notes_of(rows[rows["dataset"] != ""]) if note]
    return dict(zip(dict.fromkeys(notes), ascii_lowercase, strict=False))


def _block(
    heading: str, rows: pd.DataFrame, intervals: bool, letters: dict[str, str], words: Words
) -> Iterator[str]:
    """Yield the lines of one block: a heading, and per data set its methods and their numbers."""
    columns = _columns(rows)
    several = (len({c.subset for c in columns}) > 1, len({c.metric for c in columns}) > 1)
    yield rf"{{\itshape {escape(heading)}}}\par\smallskip"
    yield rf"\begin{{tabular}}{{l{'r' * len(columns)}}}"
    yield r"\toprule"
    yield _row(["Method", *(escape(column.heading(*several)) for column in columns)])
    known = set(rows["dataset"])
    order = [name for name in DATASET_NAMES if name in known]
    order += [name for name in rows["dataset"].unique() if name and name not in DATASET_NAMES]
    marks = {str(method): letters.get(note, "") for method, note in notes_of(rows).items()}
    for dataset in order:
        label = escape(DATASET_NAMES.get(dataset, dataset))
        if dataset in words.protocols and heading != words.published:
            label += f" ({escape(words.protocols[dataset][0])})"
        yield r"\midrule"
        yield rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\bfseries {label}}} \\"
        yield from _dataset(rows[rows["dataset"] == dataset], columns, intervals, marks)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _dataset(
    rows: pd.DataFrame, columns: list[_Column], intervals: bool, marks: dict[str, str]
) -> Iterator[str]:
    """Yield one line per method of a data set, and the number of samples of each column."""
    cells: dict[tuple[str, _Column], str] = {}
    counts: dict[_Column, str] = {}
    fields = rows[["method", "subset", "metric", *NUMBERS, "n", "bins"]]
    for method, subset, metric, mean, sd, low, high, n, bins in fields.itertuples(index=False):
        column = _Column(subset, metric)
        spread = float("nan") if intervals else sd
        cells[method, column] = escape(cell_text(mean, spread, low, high, intervals))
        if pd.notna(n):
            counts[column] = f"{n:,}" + (f" ({bins} bins)" if metric == BALANCED else "")
    years = dict(zip(rows["method"], rows["year"], strict=True))
    for method in rows["method"].unique():
        name = escape(method if pd.isna(years[method]) else f"{method} ({years[method]})")
        if marks[method]:
            name += rf"\textsuperscript{{{marks[method]}}}"
        yield _row([name, *(cells.get((method, column), NONE) for column in columns)])
    if counts:
        yield _row(["n", *(counts.get(column, NONE) for column in columns)])


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _below(words: Words, letters: dict[str, str], printed: pd.DataFrame) -> Iterator[str]:
    """Yield the notes below the table, a paragraph each."""
    lone = notes_of(printed[printed["dataset"] == ""])
    texts = [
        *(rf"\textsuperscript{{{letter}}} {escape(note)}" for note, letter in letters.items()),
        *(escape(f"{method}: {note}") for method, note in lone.items() if note),
        *(escape(f"{name}: {text}") for name, text in words.in_words),
        *[escape(words.balanced.format(place="row n"))] * bool(words.balanced),
    ]
    if texts:
        yield r"\par\medskip\begin{minipage}{\linewidth}\raggedright\scriptsize"
        yield "\\par\n".join(text.removesuffix(".") + "." for text in texts)
        yield r"\end{minipage}"
