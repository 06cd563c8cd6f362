"""The gains and gaps of all runs as a Markdown page for people to read."""

from typing import Final

import pandas as pd

from pmnet.report.benchmark.listing import GROUPS, BenchmarkRun
from pmnet.report.labels import DATASET_NAMES, subset_label
from pmnet.report.markdown import grid
from pmnet.report.statistics import LEVELS
from pmnet.report.wording import is_clear

TEXTS: Final = ("Run", "Against", "Settings")  # columns that hold no numbers
GAPS: Final = {
    "mean_mm": "from the prototype that the run chooses",
    "soft_mm": "from the mean of all by score (soft)",
    "oracle_mm": "from the right one (oracle)",
    "prototype_alone_mm": "of the chosen prototype unrefined",
}


def to_page(table: pd.DataFrame, runs: list[BenchmarkRun], protocol: str) -> str:
    """Return a page: errors and gains by group, other comparisons, errors from the right prototype.

    `table` is the one that `paired` returns. Each test set has these blocks of its own.
    """
    datasets = list(table["dataset"].unique())
    lines = [
        "# Every run, paired with its reference",
        f"In mm, lower is better ({protocol}). Cells: mean error, then the gain over the run in the second "
        "column (positive: better) with its 95 % interval and its ± standard deviation over seeds. A gain in "
        "parentheses is not clear: its interval contains zero. Differences are paired by image; the interval "
        f"redraws {_redrawn(table)}, as far as a run has several. Few seeds make it too narrow: "
        "`low_new_seed_mm` and `high_new_seed_mm` in `paired.csv` say where one more training of both runs "
        "would fall.",
    ]
    for dataset in datasets:
        name = f"{DATASET_NAMES.get(dataset, dataset)}: " * (len(datasets) > 1)
        lines += _blocks(table[table["dataset"] == dataset], runs, name)
    return "\n\n".join(lines) + "\n"


def _blocks(table: pd.DataFrame, runs: list[BenchmarkRun], name: str) -> list[str]:
    """Return the lines of a test set; `name` begins its headings."""
    labels = {run.run: run.label for run in runs}
    first = {run.run: (run.references or [""])[0] for run in runs}
    main = table[table["against"] == table["run"].map(first)]
    rest = table[(table["against"] != table["run"].map(first)) & (table["against"] != "")]
    lines = [_about(table)]
    for group, title in GROUPS.items():
        if not (part := main[main["group"] == group]).empty:
            lines += [f"## {name}{title}", _gains(part, labels, runs)]
    if not rest.empty:
        lines += [f"## {name}Against other runs", _gains(rest, labels, runs)]
    if not (several := _of(main, "mpvpe").dropna(subset="accuracy_percent")).empty:
        lines += [f"## {name}What the right prototype would give", *_gaps(several)]
    return lines


def _redrawn(table: pd.DataFrame) -> str:
    """Return the levels that any interval redraws."""
    levels = dict.fromkeys(
        level for name in table["interval"] for level in name.split(" x ") if level
    )
    return ", ".join(level for level in LEVELS if level in levels) or "nothing"


def _about(table: pd.DataFrame) -> str:
    """Return how much each subset has to say, and how many gains are shown."""
    subsets = _of(table, "mpvpe").drop_duplicates("subset").to_dict("records")
    parts = (
        f"{subset_label(row['subset'])}: {row['n']:,} images of {row['clips']} clips (as much as "
        f"{row['effective_clips']:.0f} equal ones) of {row['subjects']} subjects "
        f"({row['effective_subjects']:.0f})"
        for row in subsets
    )
    shown = table.dropna(subset="gain_mm")
    clear = sum(map(is_clear, shown["low_mm"], shown["high_mm"]))
    return (
        f"{'; '.join(parts)}. Many comparisons: {clear} of the {len(shown):,} gains in `paired.csv` are "
        f"clear, and about {len(shown) / 20:.0f} would be by chance if no run differed from its reference."
    )


def _of(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table["metric"] == metric]


def _gains(rows: pd.DataFrame, labels: dict[str, str], runs: list[BenchmarkRun]) -> str:
    """Return one row per run and reference: MPVPE of each subset, PA-MPJPE of all samples."""
    settings = {run.run: run.settings for run in runs}
    columns = [("mpvpe", subset) for subset in rows["subset"].unique()] + [("pa_mpjpe", "all")]
    names = {"mpvpe": "MPVPE", "pa_mpjpe": "PA-MPJPE"}
    head = ["Run", "Against", "Seeds", *(f"{names[m]} {subset_label(s)}" for m, s in columns)]
    closed = bool(rows["gap_closed_percent"].notna().any())
    head += ["Of the reference's gap to its oracle, all / tail"] * closed + ["Settings"]
    lines = []
    for _, part in rows.groupby(["run", "against"], sort=False):
        run, against = part["run"].iloc[0], part["against"].iloc[0]
        cells = part.set_index(["metric", "subset"])
        line = [labels[run], labels.get(against, ""), str(part["seeds"].iloc[0])]
        line += [_gain(cells.loc[column]) for column in columns]
        line += [_closed(_of(part, "mpvpe"))] * closed + [settings[run]]
        lines.append(line)
    return grid(head, lines, TEXTS)


def _gain(cell: pd.Series) -> str:
    text = f"{cell['mean_mm']:.1f}"
    if pd.notna(cell["gain_mm"]):
        gain = f"{cell['gain_mm']:+.1f}"
        gain += f" [{cell['low_mm']:.1f}, {cell['high_mm']:.1f}]" * pd.notna(cell["low_mm"])
        gain += f" ± {cell['seed_sd_mm']:.1f}" * pd.notna(cell["seed_sd_mm"])
        text += f"; {gain}" if is_clear(cell["low_mm"], cell["high_mm"]) else f"; ({gain})"
    return text


def _closed(rows: pd.DataFrame) -> str:
    """Return the shares of the gap that are closed, over all samples and in the farthest tail."""
    if rows["gap_closed_percent"].isna().all():
        return "-"
    return " / ".join(f"{rows['gap_closed_percent'].iloc[at]:.0f} %" for at in (0, -1))


def _gaps(rows: pd.DataFrame) -> tuple[str, str]:
    """Return the meaning of the cells, and a grid with one row per run and one column per subset."""
    names = [name for name in GAPS if rows[name].notna().any()]
    lines = []
    for _, part in rows.groupby("run", sort=False):
        line = [part["label"].iloc[0]]
        for cell in part.to_dict("records"):
            errors = (f"{cell[name]:.1f}" if pd.notna(cell[name]) else "-" for name in names)
            line.append(f"{' / '.join(errors)}; {cell['accuracy_percent']:.1f} %")
        lines.append(line)
    text = f"MPVPE {' / '.join(GAPS[name] for name in names)}; share of right choices."
    return text, grid(["Run", *map(subset_label, rows["subset"].unique())], lines, TEXTS)
