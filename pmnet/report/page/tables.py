"""Tables II to VI as HTML: our measurements, and apart from them the numbers that the paper printed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.report.labels import BALANCED, DATASET_NAMES, subset_label
from pmnet.report.pages import CELL, ORDER, ROMAN
from pmnet.report.tables import COLUMNS

Column = tuple[str, str, str]  # data set, subset, metric


@dataclass(frozen=True)
class Words:
    """What the Markdown page of a table says beside its numbers."""

    title: str
    notes: tuple[str, ...]
    ours: str
    protocols: tuple[str, ...]
    published: str


def read_table(path: Path) -> pd.DataFrame:
    """Return a table of `reports/tables`; raises InputError where it is missing, or another file."""
    try:
        table = pd.read_csv(
            path, keep_default_na=False, na_values={name: [""] for name in _NUMBERS}
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as CSV ({error}); run dvc repro") from None
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(
            f"{path}: not a table of pmnet: {', '.join(missing)} is missing; run dvc repro"
        )
    return table


_NUMBERS: Final = [name for name, kind in COLUMNS.items() if kind != "str"]


def read_words(path: Path, number: int) -> Words:
    """Return title, notes and protocols of the Markdown page of a table; its grid is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return Words(f"Table {ROMAN[number]}", (), "Ours", (), "Published")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("|")]
    heads = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    title = next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "")
    return Words(
        title or f"Table {ROMAN[number]}",
        tuple(line for line in lines if not line.startswith(("#", "- "))),
        next((head for head in heads if head.startswith("Ours")), "Ours"),
        tuple(line.removeprefix("- ") for line in lines if line.startswith("- ")),
        next((head for head in heads if head.startswith("Published")), "Published"),
    )


def table_section(number: int, table: pd.DataFrame, words: Words) -> str:
    """Return one table as HTML: ours first, the paper's apart, the protocol under each."""
    blocks = []
    for source, head in (("ours", words.ours), ("published", words.published)):
        rows = table[table["source"] == source]
        if not rows.empty:
            name, _, about = head.partition(" (")
            blocks.append(_block(number, source, rows, name, _sentence(about.removesuffix(")"))))
            if source == "ours":
                blocks += [f'<p class="note">{escape(words)}</p>' for words in words.protocols]
    notes = "".join(f"<p>{escape(note)}</p>" for note in words.notes)
    return (
        f'<article class="table" id="table{number}"><h3>{escape(_title(words.title))}</h3>'
        f'{"".join(blocks)}<div class="note">{notes}</div></article>'
    )


def _title(title: str) -> str:
    """Return "Table II. The five ..." of "Table II: the five ..."."""
    name, _, what = title.partition(": ")
    return f"{name}. {_sentence(what)}" if what else name


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "." * bool(words)


def _block(number: int, source: str, rows: pd.DataFrame, name: str, about: str) -> str:
    """Return one sortable table below its caption, which stays where the table is scrolled."""
    columns = columns_of(rows)
    body, place = "".join(_rows(rows, columns)), f"caption-{number}-{source}"
    return (
        f'<p class="caption" id="{place}"><b>{escape(name)}.</b> {escape(about)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{place}">'
        f'<table class="sortable {source}" data-table="{number}" data-source="{source}" '
        f'aria-labelledby="{place}">'
        f"<thead>{_head(rows, columns)}</thead><tbody>{body}</tbody>{_counts(rows, columns)}"
        "</table></div>"
    )


def columns_of(rows: pd.DataFrame) -> list[Column]:
    """Return data set, subset and metric of each column: data sets in order, all before the tails."""
    known = rows[
        rows["dataset"] != ""
    ]  # of a number in an unreadable column only the note is shown
    datasets = list(dict.fromkeys([*DATASET_NAMES, *known["dataset"]]))

    def rank(column: Column) -> tuple[int, int, int]:
        percent = re.sub(r"\D", "", column[1])
        return datasets.index(column[0]), int(percent or 0), ORDER.index(column[2])

    return sorted(set(known[CELL].itertuples(index=False, name=None)), key=rank)


def metric_name(metric: str) -> str:
    """Return what people read for a metric."""
    return "bMPVPE" if metric == BALANCED else metric.upper().replace("_", "-")


def _head(rows: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Return two lines of headings: data sets, then subset and metric with a button that sorts."""
    several = len({metric for _, _, metric in columns}) > 1
    groups = list(dict.fromkeys(dataset for dataset, _, _ in columns))
    widths = {name: sum(dataset == name for dataset, _, _ in columns) for name in groups}
    extra = _extras(rows)
    above = "".join(
        f'<th scope="colgroup" colspan="{widths[name]}">{escape(DATASET_NAMES.get(name, name))}</th>'
        for name in groups
    )
    below = "".join(
        _heading(" ".join(filter(None, [subset_label(s), metric_name(m) if several else ""])))
        for _, s, m in columns
    )
    left = "<td></td>" * (1 + ("year" in extra))
    right = "<td></td>" * ("note" in extra)
    return (
        f'<tr class="groups">{left}{above}{right}</tr><tr>{_heading("method", "left")}'
        f"{_heading('year') * ('year' in extra)}{below}"
        f"{_heading('note', 'left') * ('note' in extra)}</tr>"
    )


def _heading(text: str, side: str = "") -> str:
    kind = f' class="{side}"' if side else ""
    return (
        f'<th scope="col" aria-sort="none"{kind}><button type="button">{escape(text)}'
        '<span aria-hidden="true"></span></button></th>'
    )


def _extras(rows: pd.DataFrame) -> set[str]:
    return {name for name in ("year", "note") if rows[name].notna().any() and any(rows[name] != "")}


def _rows(rows: pd.DataFrame, columns: Sequence[Column]) -> Iterator[str]:
    extra = _extras(rows)
    best = rows[~rows["method"].isin(BOUNDING)].groupby(CELL)["mean_mm"].min().to_dict()
    for method, own in rows.groupby("method", sort=False):
        cells = {tuple(row[name] for name in CELL): row for _, row in own.iterrows()}
        first = own.iloc[0]
        value = "" if pd.isna(first["value"]) else f' data-value="{first["value"]:g}"'
        line = [f'<th scope="row"{value}>{escape(str(method))}</th>']
        if "year" in extra:
            line.append(f"<td>{'' if pd.isna(first['year']) else int(first['year'])}</td>")
        line += [_cell(cells.get(column), best.get(column)) for column in columns]
        if "note" in extra:
            notes = dict.fromkeys(part for note in own["note"] if note for part in note.split("; "))
            line.append(f'<td class="left">{escape("; ".join(notes))}</td>')
        yield f"<tr>{''.join(line)}</tr>"


# what bounds the methods, and is none of them
BOUNDING: Final = ("Oracle prototype", "Prototype alone", "Constant predictor (mean body)")


def _cell(row: pd.Series | None, best: float | None) -> str:
    """Return the mean with its spread and interval; the value that sorts is that of the table's file."""
    if row is None or pd.isna(row["mean_mm"]):
        return "<td>&ndash;</td>"
    number = f"{row['mean_mm']:.1f}"
    spread = "" if pd.isna(row["sd_mm"]) else f'<span class="sd"> ± {row["sd_mm"]:.1f}</span>'
    interval = ""
    if pd.notna(row["low_mm"]):
        interval = f'<span class="ci">{row["low_mm"]:.1f} &ndash; {row["high_mm"]:.1f}</span>'
    shown = f"<b>{number}</b>" if row["mean_mm"] == best else number
    about = f' title="n = {int(row["n"]):,}"' if pd.notna(row["n"]) else ""
    return f'<td data-value="{row["mean_mm"]:.2f}"{about}>{shown}{spread}{interval}</td>'


def _counts(rows: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Return the last line: the number of samples of each column, and of filled bins where they count."""
    if rows["n"].isna().all():
        return ""
    extra = _extras(rows)
    first = rows.drop_duplicates(CELL).set_index(CELL)
    by_column = {name: first[name].to_dict() for name in ("n", "bins")}
    cells = []
    for column in columns:
        count, bins = (by_column[name][column] for name in ("n", "bins"))
        filled = "" if pd.isna(bins) else f'<span class="ci">{int(bins)} bins</span>'
        cells.append(f"<td>{int(count):,}{filled}</td>")
    year, note = ("<td></td>" * (name in extra) for name in ("year", "note"))
    return f'<tfoot><tr><th scope="row">n</th>{year}{"".join(cells)}{note}</tr></tfoot>'
