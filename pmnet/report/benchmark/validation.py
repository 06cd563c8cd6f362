"""What was chosen on the validation sets: scores of every experiment and seed, the best of each method.

A name METHOD+VALUE+VALUE is a cell of a grid of settings (`pmnet sweep`). Scores are kept in
`validation.csv`, which grows as experiments are run: scores of other experiments stay there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.report.labels import subset_label
from pmnet.report.markdown import grid
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import mean, widest_first

Logs = dict[tuple[str, int], pd.DataFrame]  # by run and seed
KEY: Final = ["run", "seed", "dataset", "subset"]
SCORES: Final = ["mpvpe_mm", "pa_mpjpe_mm", "accuracy_percent", "oracle_mm"]
COLUMNS: Final = [*KEY, "n", *SCORES, "setbacks_percent"]
WARMED_UP: Final = 500  # steps; a loss that rises before is no setback
SETBACK: Final = 1.1  # times the lowest loss so far


def scores(
    errors: RunErrors, logs: dict[tuple[str, int], pd.DataFrame], tails: Sequence[int]
) -> pd.DataFrame:
    """Return the scores of runs (`COLUMNS`), a row per run, seed, data set and subset.

    `logs` has the logs of trainings by run and seed; without one `setbacks_percent` is NaN.
    """
    where = widest_first(errors.samples, tails)
    rows = []
    for run, facts in errors.runs.items():
        several = facts.k > 1
        numbers = {
            "mpvpe_mm": errors.errors(run, "model", "mpvpe_mm"),
            "pa_mpjpe_mm": errors.errors(run, "model", "pa_mpjpe_mm"),
            "accuracy_percent": np.where(several, 100.0 * errors.right(run), np.nan),
            "oracle_mm": errors.errors(run, "oracle" if several else "model", "mpvpe_mm"),
        }
        for at, seed in enumerate(facts.seeds):
            lost = setbacks_percent(logs[run, seed]) if (run, seed) in logs else np.nan
            for dataset, own in errors.datasets().items():
                for subset, part in where.items():
                    here = own & part
                    row = {name: mean(values[at, here]) for name, values in numbers.items()}
                    about: dict[str, Any] = {
                        "run": run,
                        "seed": seed,
                        "dataset": dataset,
                        "subset": subset,
                    }
                    rows.append({**about, "n": int(here.sum()), **row, "setbacks_percent": lost})
    return pd.DataFrame(rows, columns=COLUMNS)


def setbacks_percent(log: pd.DataFrame) -> float:
    """Return the share of a training in which the loss of joints is 10 % above its lowest so far."""
    loss = log["keypoints_3d"].to_numpy()[log["step"].to_numpy() > WARMED_UP]
    return 100 * mean(loss > SETBACK * np.minimum.accumulate(loss))


def read_logs(files: Sequence[Path], errors: RunErrors) -> Logs:
    """Return the logs of trainings that lie below the folders of files of errors, by run and seed."""
    found = {}
    for run, file in zip(errors.runs, files, strict=True):
        for log in sorted(file.parent.rglob("seed_*.csv")):
            found[run, int(log.stem.removeprefix("seed_"))] = pd.read_csv(log)
    return found


def add_scores(path: Path, new: pd.DataFrame) -> None:
    """Write scores into `validation.csv`, in place of those of the same run, seed and data set there."""
    there = read_scores(path) if path.exists() else new[:0]
    every = pd.concat([new, there]).drop_duplicates(KEY).sort_values(KEY[:3], kind="stable")
    with replacing(path) as partial:
        every.round(3).to_csv(partial, index=False, lineterminator="\n")


def read_scores(path: Path) -> pd.DataFrame:
    """Return the scores of a `validation.csv`; InputError where it has other columns."""
    table = pd.read_csv(path)
    if list(table) != COLUMNS:
        raise InputError(
            f"{path}: the columns are {','.join(map(str, table))}, not {','.join(COLUMNS)}"
        )
    return table


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds, one row per data set, method and settings, the best first.

    `chosen` marks the lowest MPVPE over all samples, among the settings with the most seeds.
    """
    table = table.assign(method=table["run"].str.partition("+")[0])
    rows = []
    for (dataset, method, run), part in table.groupby(["dataset", "method", "run"]):
        row = {"dataset": dataset, "method": method, "run": run}
        row |= {
            "seeds": part["seed"].nunique(),
            "setbacks_percent": part["setbacks_percent"].mean(),
        }
        for subset, cells in part.groupby("subset", sort=False):
            row |= {f"{name}_{subset}": cells[name].mean() for name in SCORES}
            row[f"seed_sd_{subset}"] = cells["mpvpe_mm"].std(ddof=1)
        rows.append(row)
    found = pd.DataFrame(rows).sort_values(["dataset", "method", "mpvpe_mm_all"], ignore_index=True)
    most = found.groupby(["dataset", "method"])["seeds"].transform("max")
    best = found[found["seeds"] == most].groupby(["dataset", "method"])["mpvpe_mm_all"].idxmin()
    return found.assign(chosen=found.index.isin(best))


def to_page(table: pd.DataFrame) -> str:
    """Return the choices of each data set as a page for people."""
    columns = [str(name) for name in table]
    subsets = [name.removeprefix("mpvpe_mm_") for name in columns if name.startswith("mpvpe_mm_")]
    head = ["Run", "Seeds", *(f"MPVPE {subset_label(name)}" for name in subsets)]
    head += ["PA-MPJPE all", "Right choices", "Setbacks", "Chosen"]
    lines = [
        "# What was chosen on validation",
        "Means over seeds (mm; ± standard deviation over seeds).",
    ]
    for dataset, part in table.groupby("dataset"):
        rows = [_line(row, subsets) for _, row in part.iterrows()]
        lines += [f"## {dataset}", grid(head, rows, ("Run", "Chosen"))]
    return "\n\n".join(lines) + "\n"


def _line(row: pd.Series, subsets: list[str]) -> list[str]:
    cells = [str(row["run"]), str(row["seeds"])]
    for subset in subsets:
        spread = row[f"seed_sd_{subset}"]
        cells.append(
            f"{row[f'mpvpe_mm_{subset}']:.1f}" + (f" ± {spread:.1f}" if spread == spread else "")
        )
    shares = (_percent(row[name]) for name in ("accuracy_percent_all", "setbacks_percent"))
    return [*cells, f"{row['pa_mpjpe_mm_all']:.1f}", *shares, "yes" if row["chosen"] else ""]


def _percent(share: float) -> str:
    return f"{share:.0f} %" if share == share else "-"


def write_choices(folder: Path) -> None:
    """Write `tables/validation.csv` and `.md` from `validation.csv` of a folder, if there is one."""
    path = folder / "validation.csv"
    if not path.exists():
        return
    table = choices(read_scores(path))
    for out, text in {
        "validation.csv": table.round(2).to_csv(index=False, lineterminator="\n"),
        "validation.md": to_page(table),
    }.items():
        with replacing(folder / "tables" / out) as partial:
            partial.write_text(text, encoding="utf-8")


def score(files: Sequence[Path], out: Path, report: ReportOptions) -> int:
    """Add the scores of files of errors to `out`; return the number of rows. See `read_errors` for errors."""
    errors = RunErrors.read(files)
    table = scores(errors, read_logs(files, errors), report.tails)
    add_scores(out, table)
    return len(table)
