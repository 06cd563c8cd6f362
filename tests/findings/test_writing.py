"""The one command: everything of a benchmark from its packed errors, the same again, as a user runs it."""

from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from fake_benchmark import packed_benchmark, write_benchmark
from typer.testing import CliRunner

from pmnet import cli
from pmnet.error_files import METRICS
from pmnet.errors import InputError
from pmnet.findings import drawings
from pmnet.findings.listing import add_drafts, main_of, read_listing
from pmnet.findings.packed import Packed
from pmnet.findings.writing import write_findings
from pmnet.params import Report

REPORT = Report(tails=[5, 10], bins=5, bootstrap=40, seed=0)
TABLES = {f"table{number}" for number in range(2, 7)} | {"paired"}
FIGURES = {"distance", "reduction", "k_sweep", "limb_sweep", "gain", "gap", "deciles", "accuracy"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packed errors, the list of runs, and the findings."""
    folder = tmp_path_factory.mktemp("findings")
    packed = packed_benchmark(folder, samples=60)
    add_drafts(folder / "runs.csv", packed)
    write_findings(folder, None, [], REPORT)
    return folder


@pytest.fixture(scope="module")
def packed(folder) -> Packed:
    return Packed.load(sorted(folder.glob("errors*.parquet")))


def test_everything_is_written(folder):
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    written = {name for name in names if not name.startswith("runs/")}
    assert written == {
        "errors.parquet",
        "errors_controls.parquet",
        "runs.csv",
        "claim.json",
        "tables/curves.csv",
        "tables/deciles.csv",
        *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "md")),
        *(f"figures/{name}.png" for name in FIGURES),
    }


def test_the_sweeps_are_those_of_the_list(folder):
    ours = pd.read_csv(folder / "tables" / "table5.csv").query("source == 'ours'")
    assert list(ours["value"].unique()) == [10, 50, 100]
    ours = pd.read_csv(folder / "tables" / "table6.csv").query("source == 'ours'")
    assert list(ours["value"].unique()) == [1, 5]
    curves = pd.read_csv(folder / "tables" / "curves.csv")
    assert curves["run"].nunique() == 5  # a control has the method of a main run, but not its place


def test_the_same_again_byte_for_byte(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with matplotlib.rc_context({"font.size": 20}):
        write_findings(folder, None, [], REPORT)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_gains_are_drawn_as_they_are(folder, packed):
    runs = read_listing(folder / "runs.csv", packed)
    table = pd.read_csv(folder / "tables" / "paired.csv", keep_default_na=False, na_values=[""])
    table["against"] = table["against"].fillna("")
    figure, size = drawings.gain_figure(table, runs)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [run.label for run in runs if run.run != "single"]
    assert size.height_in > 3 and len(figure.axes) == 3
    first = {run.run: run.references[0] for run in runs if run.references}
    part = table[(table["subset"] == "tail_10") & (table["metric"] == "mpvpe")]
    part = part[part["against"] == part["run"].map(first)]
    drawn = [x for bars in figure.axes[1].containers for x in bars.lines[0].get_xdata()]
    assert sorted(drawn) == sorted(part["gain_mm"])
    figure, _ = drawings.gap_figure(table, runs)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "single_ce" not in labels and "P3DH K-Means" in labels
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [label for label, _, _ in drawings.STARTS.values()]


def test_the_deciles_are_drawn_as_they_are(folder, packed):
    main = main_of(read_listing(folder / "runs.csv", packed), packed)
    table = pd.read_csv(folder / "tables" / "deciles.csv")
    p3dh = table[table["run"] == main["p3dh"].run]
    errors, reductions = drawings.decile_figure(table, main).axes
    assert list(errors.lines[-1].get_ydata()) == list(p3dh["mpvpe_mm"])
    lines = {line.get_label(): line for line in reductions.lines}
    assert list(lines["P3DH K-Means"].get_ydata()) == list(p3dh["reduction_mm"])
    (axes,) = drawings.accuracy_figure(table, main).axes
    assert len(axes.lines) == 4
    assert list(axes.lines[-1].get_ydata()) == list(p3dh["accuracy_percent"])


def test_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(cli.__file__).parent.parent)
    paths, out = write_benchmark(tmp_path / "runs", samples=40), tmp_path / "open"
    words = ["errors", "pack", *map(str, paths), "--out", str(out / "errors.parquet")]
    shown = CliRunner().invoke(cli.app, words, catch_exceptions=False).stdout
    assert shown.startswith("10 runs, ") and "set group, against and label of single, " in shown
    assert "set group" not in CliRunner().invoke(cli.app, words, catch_exceptions=False).stdout
    done = CliRunner().invoke(cli.app, ["findings", str(out)], catch_exceptions=False)
    assert done.stdout.startswith("P3DH against the single prototype: MPVPE is ")
    shown = CliRunner().invoke(cli.app, ["info", str(out / "errors.parquet")]).stdout
    assert "packed errors of 40 samples, 10 runs" in shown and "seeds 0, 1" in shown


def test_a_folder_without_errors_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="write them with pmnet errors pack"):
        write_findings(tmp_path, None, [], REPORT)
    assert METRICS and not list(tmp_path.iterdir())
