"""All tables, pages, figures and the claim of a benchmark, from its packed errors."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure

from pmnet.core.errors import InputError
from pmnet.core.files import replacing
from pmnet.core.progress import say
from pmnet.report import figures, tables
from pmnet.report.benchmark import drawings
from pmnet.report.benchmark.claim import claim
from pmnet.report.benchmark.deciles import by_decile
from pmnet.report.benchmark.density import FILE, by_density, of_density, read_density
from pmnet.report.benchmark.details import by_choice, by_seed
from pmnet.report.benchmark.listing import BenchmarkRun, main_of, read_listing
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.benchmark.pages import to_page
from pmnet.report.benchmark.paired import paired
from pmnet.report.benchmark.validation import write_choices
from pmnet.report.curves import curves
from pmnet.report.drawing import save
from pmnet.report.files import write_csv
from pmnet.report.options import FigureSize, ReportOptions
from pmnet.report.run_errors import RunErrors

LISTING: Final = "runs.csv"
SIZE: Final = FigureSize(width_in=9.0, height_in=4.5, dpi=130, font_pt=9.0)
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

    With `density.parquet` beside them, errors by the density of training bodies too.
    Returns the claim. Raises InputError where the folder has no packed errors, and, naming the file,
    where packed errors, the list of runs or the table of densities are broken; nothing is written then.
    """
    files = sorted(folder.glob("errors*.parquet"))
    if not files:
        raise InputError(f"{folder}: no errors*.parquet; write them with pmnet errors pack")
    packed = load_packed(files).of_dataset(dataset)
    runs = read_listing(folder / LISTING, packed)
    near = read_density(folder / FILE, packed.samples) if (folder / FILE).exists() else None
    protocol = _write_tables(folder, packed, runs, report)
    write_choices(folder)
    if near is not None:
        _write_densities(folder, packed, near, main_of(runs, packed), report)
    claimed = _write_comparisons(folder, packed, runs, also, report, protocol)
    with replacing(folder / "claim.json") as partial:
        partial.write_text(json.dumps(claimed, indent=2) + "\n", encoding="utf-8")
    return claimed


def _write_tables(
    folder: Path, packed: RunErrors, runs: list[BenchmarkRun], report: ReportOptions
) -> str:
    """Write Tables II to VI, curves and their figures; return how the errors were measured."""
    memories = packed.of_runs(run.run for run in main_of(runs, packed).values())
    if len({facts.selection for facts in memories.runs.values()}) > 1:
        raise InputError(f"{folder / LISTING}: the main runs differ in evaluate.selection")
    by_k, by_limb = _sweeps(packed, runs, memories.run_of("p3dh"))
    protocol, out = memories.protocol(), folder / "tables"
    say("tables")
    for number, errors in {2: memories, 3: memories, 4: memories, 5: by_k, 6: by_limb}.items():
        table = tables.table(number, errors, report)
        tables.write_table(table, out / f"table{number}.csv", number, protocol)
    write_csv(curves(memories, report), out / "curves.csv")
    for name, source in DRAWN.items():
        figure = figures.draw(name, out / f"{source}.csv", SIZE)
        save(figure, folder / "figures" / f"{name}.png", SIZE)
    return protocol


def _sweeps(packed: RunErrors, runs: list[BenchmarkRun], main: str) -> tuple[RunErrors, RunErrors]:
    """Return the runs of P3DH with the main run's limb weight and any K, and with its K and any weight."""
    p3dh = packed.runs[main]
    sweep = {run.run: packed.runs[run.run] for run in runs if run.group in ("main", "sweep")}
    sweep = {run: facts for run, facts in sweep.items() if facts.method == "p3dh"}
    by_k = [run for run, facts in sweep.items() if facts.limb_weight == p3dh.limb_weight]
    by_limb = [run for run, facts in sweep.items() if facts.k == p3dh.k]
    return packed.of_runs(by_k), packed.of_runs(by_limb)


def _write_comparisons(
    folder: Path,
    packed: RunErrors,
    runs: list[BenchmarkRun],
    also: Sequence[str],
    report: ReportOptions,
    protocol: str,
) -> dict[str, Any]:
    """Write gains, gaps and deciles with their figures; return the claim."""
    main = main_of(runs, packed)
    gains = paired(packed, runs, also, report)
    deciles = by_decile(packed, runs, main["single"], report)
    write_csv(gains, folder / "tables" / "paired.csv")
    write_csv(deciles, folder / "tables" / "deciles.csv")
    write_csv(by_seed(packed, runs, report), folder / "tables" / "seeds.csv")
    write_csv(by_choice(packed, runs, report), folder / "tables" / "choices.csv")
    with replacing(folder / "tables" / "paired.md") as partial:
        partial.write_text(to_page(gains, runs, protocol), encoding="utf-8")
    say("figures")
    for place, dataset in enumerate(packed.datasets()):
        gain, decile = (table[table["dataset"] == dataset] for table in (gains, deciles))
        for name, (figure, size) in _figures(gain, decile, runs, main).items():
            suffix = f"_{dataset}" * (place > 0)  # the first test set has the plain names
            save(figure, folder / "figures" / f"{name}{suffix}.png", size)
    return claim(gains, packed, runs)


def _write_densities(
    folder: Path,
    packed: RunErrors,
    near: Float[np.ndarray, "samples"],
    main: dict[str, BenchmarkRun],
    report: ReportOptions,
) -> None:
    """Write errors by the density of training bodies (mm, from `read_density`)."""
    say("density")
    halves = by_density(packed, near, main, report)
    write_csv(halves, folder / "tables" / "density.csv")
    write_csv(of_density(packed, near, main, report), folder / "tables" / "density_effect.csv")
    for place, (_, part) in enumerate(halves.groupby("dataset", sort=False)):
        suffix = f"_{part['dataset'].iloc[0]}" * (place > 0)
        figure = drawings.density_figure(part, main)
        save(figure, folder / "figures" / f"density{suffix}.png", drawings.DECILES)


def _figures(
    gains: pd.DataFrame,
    deciles: pd.DataFrame,
    runs: list[BenchmarkRun],
    main: dict[str, BenchmarkRun],
) -> dict[str, tuple[Figure, FigureSize]]:
    """Return the figures of one test set by name, each with its size."""
    return {
        "gain": drawings.gain_figure(gains, runs),
        "gap": drawings.gap_figure(gains, runs),
        "deciles": (drawings.decile_figure(deciles, main), drawings.DECILES),
        "accuracy": (drawings.accuracy_figure(deciles, main), drawings.DECILES),
    }
