"""All tables, pages, figures and the claim of a benchmark, from its packed errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.evaluation.error_table import protocol_of
from pmnet.report import charts, statistics, tables
from pmnet.report.benchmark import drawings
from pmnet.report.benchmark.claim import claim
from pmnet.report.benchmark.deciles import deciles
from pmnet.report.benchmark.details import by_choice, by_seed
from pmnet.report.benchmark.listing import Run, main_of, read_listing
from pmnet.report.benchmark.packed import Packed
from pmnet.report.benchmark.pages import to_page
from pmnet.report.benchmark.paired import paired
from pmnet.report.options import FigureSize, ReportOptions

LISTING: Final = "runs.csv"
SIZE: Final = FigureSize(width_in=9.0, height_in=4.5, dpi=130)
# figure -> the table that it is drawn from
DRAWN: Final = {
    "distance": "curves",
    "reduction": "curves",
    "k_sweep": "table5",
    "limb_sweep": "table6",
}


def write_findings(
    folder: Path, dataset: str | None, also: Sequence[str], report: ReportOptions
) -> dict[str, Any]:
    """Write `tables/`, `figures/` and `claim.json` from `errors*.parquet` and `runs.csv` of a folder.

    Returns the claim. Raises InputError where the folder has no packed errors, and where these or
    the list of runs are broken, naming the file.
    """
    files = sorted(folder.glob("errors*.parquet"))
    if not files:
        raise InputError(f"{folder}: no errors*.parquet; write them with pmnet errors pack")
    packed = Packed.load(files).of_dataset(dataset)
    runs = read_listing(folder / LISTING, packed)
    protocol = _write_tables(folder, packed, runs, report)
    found = _write_comparisons(folder, packed, runs, also, report, protocol)
    with replacing(folder / "claim.json") as partial:
        partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _write_tables(folder: Path, packed: Packed, runs: list[Run], report: ReportOptions) -> str:
    """Write Tables II to VI, curves and their figures; return how the errors were measured."""
    main, out = main_of(runs, packed), folder / "tables"
    frame = packed.frame([run.run for run in main.values()], ["model", *tables.BOUNDS])
    if frame["selection"].nunique() > 1:
        raise InputError(f"{folder / LISTING}: the main runs differ in evaluate.selection")
    protocol, p3dh = protocol_of(frame), packed.runs[main["p3dh"].run]
    sweep = [run.run for run in runs if run.group in ("main", "sweep")]
    by_k = [run for run in sweep if packed.runs[run].limb_weight == p3dh.limb_weight]
    by_limb = [run for run in sweep if packed.runs[run].k == p3dh.k]
    say("tables")
    for number, make, rows in (
        (2, tables.table2, frame),
        (3, tables.table3, frame),
        (4, tables.table4, frame),
        (5, tables.table5, _p3dh(packed, by_k)),
        (6, tables.table6, _p3dh(packed, by_limb)),
    ):
        tables.write_table(make(rows, report), out / f"table{number}.csv", number, protocol)
    statistics.write_csv(statistics.curves(frame, report), out / "curves.csv")
    for name, table in DRAWN.items():
        figure = charts.draw(name, out / f"{table}.csv", SIZE)
        charts.save(figure, folder / "figures" / f"{name}.png", SIZE)
    return protocol


def _p3dh(packed: Packed, runs: list[str]) -> pd.DataFrame:
    return packed.frame([run for run in runs if packed.runs[run].method == "p3dh"], ["model"])


def _write_comparisons(
    folder: Path,
    packed: Packed,
    runs: list[Run],
    also: Sequence[str],
    report: ReportOptions,
    protocol: str,
) -> dict[str, Any]:
    """Write gains, gaps and deciles with their figures; return the claim."""
    main = main_of(runs, packed)
    gains = paired(packed, runs, also, report)
    by_decile = deciles(packed, runs, main["single"], report)
    statistics.write_csv(gains, folder / "tables" / "paired.csv")
    statistics.write_csv(by_decile, folder / "tables" / "deciles.csv")
    statistics.write_csv(by_seed(packed, runs, report), folder / "tables" / "seeds.csv")
    statistics.write_csv(by_choice(packed, runs, report), folder / "tables" / "choices.csv")
    with replacing(folder / "tables" / "paired.md") as partial:
        partial.write_text(to_page(gains, runs, protocol), encoding="utf-8")
    say("figures")
    for name, (figure, size) in {
        "gain": drawings.gain_figure(gains, runs),
        "gap": drawings.gap_figure(gains, runs),
        "deciles": (drawings.decile_figure(by_decile, main), drawings.DECILES),
        "accuracy": (drawings.accuracy_figure(by_decile, main), drawings.DECILES),
    }.items():
        charts.save(figure, folder / "figures" / f"{name}.png", size)
    return claim(gains, packed, runs)
