"""The one command: everything of a benchmark from its packed errors, the same again, as a user runs it."""

import contextlib
import json
import shutil
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from fake_benchmark import packed_benchmark, write_benchmark
from import_closure import ROOT
from matplotlib.figure import Figure
from typer.testing import CliRunner

from pmnet import cli
from pmnet.core.errors import InputError
from pmnet.report import drawing
from pmnet.report.benchmark import drawings
from pmnet.report.benchmark.listing import add_drafts, main_of, read_listing
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.benchmark.writing import write_findings
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors

REPORT = ReportOptions(tails=[5, 10], bins=5, bootstrap=40, seed=0)
TABLES = {f"table{number}" for number in range(2, 7)} | {"paired"}
FIGURES = {"distance", "reduction", "k_sweep", "limb_sweep", "gain", "gap", "deciles", "accuracy"}


def run(*words: str | Path) -> str:
    """Run a command in the root of the project; return what it prints."""
    with contextlib.chdir(ROOT):
        done = CliRunner().invoke(cli.app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packed errors, the list of runs, and the findings."""
    folder = tmp_path_factory.mktemp("findings")
    packed = packed_benchmark(folder, samples=60)
    add_drafts(folder / "runs.csv", packed)
    write_findings(folder, None, [], REPORT)
    return folder


@pytest.fixture(scope="module")
def packed(folder) -> RunErrors:
    return load_packed(sorted(folder.glob("errors*.parquet")))


@pytest.fixture
def laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay figures out and draw them, but do not encode them: that takes two thirds of the time."""

    def touch(figure: Figure, path: Path, dpi: int, vector: str = "pdf") -> None:
        figure.draw_without_rendering()
        path.parent.mkdir(exist_ok=True)
        for suffix in ("png", vector):
            path.with_suffix(f".{suffix}").touch()

    monkeypatch.setattr(drawing, "save_pictures", touch)


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
        "tables/seeds.csv",
        "tables/choices.csv",
        *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "md")),
        *(f"tables/{name}.tex" for name in TABLES if name != "paired"),
        *(f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("png", "pdf")),
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
    table = pd.read_csv(folder / "tables" / "paired.csv").fillna({"against": ""})
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
    assert names == [label for label, *_ in drawings.STARTS.values()]


def test_a_large_loss_is_written_so_that_gains_have_room(folder, packed):
    runs = read_listing(folder / "runs.csv", packed)
    table = pd.read_csv(folder / "tables" / "paired.csv").fillna({"against": ""})
    naive = table["run"] == "naive_k50"
    figure, _ = drawings.gain_figure(table.assign(gain_mm=table["gain_mm"] - 900 * naive), runs)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 1 and -900 < int(texts[0].removeprefix("\u25c2 ")) < -800
    assert figure.axes[0].get_xlim()[0] > -200
    deciles = pd.read_csv(folder / "tables" / "deciles.csv")
    naive = deciles["run"] == "naive_k50"
    deciles["reduction_mm"] -= 900 * naive
    _, reductions = drawings.decile_figure(deciles, main_of(runs, packed)).axes
    assert [text.get_text()[:22] for text in reductions.texts] == ["K-Means Naive: down to"]
    assert reductions.get_ylim()[0] > -200


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


def test_the_findings_as_a_command(folder, tmp_path, laid_out):
    """In the settings of params.yaml: the same means, and intervals of more draws."""
    kept = [*folder.glob("errors*.parquet"), folder / "runs.csv"]
    for path in kept:
        shutil.copy(path, tmp_path)
    sentence = run("findings", tmp_path).strip()
    many, few = (json.loads((at / "claim.json").read_text()) for at in (tmp_path, folder))
    assert sentence == many["sentence"] and sentence.startswith("P3DH against the single prototype")
    cells = many["gains"]["single"]["all_mpvpe"], few["gains"]["single"]["all_mpvpe"]
    assert cells[0]["gain_mm"] == cells[1]["gain_mm"] and cells[0]["low_mm"] != cells[1]["low_mm"]


def test_a_further_test_set_has_tables_figures_and_a_claim(tmp_path, laid_out):
    packed = packed_benchmark(tmp_path, samples=20, datasets=("one", "two"))
    add_drafts(tmp_path / "runs.csv", packed)
    found = write_findings(tmp_path, None, [], REPORT)
    assert list(found["more"]) == ["two"]
    for name in ("table2", "table5", "curves", "paired", "deciles", "seeds", "choices"):
        table = pd.read_csv(tmp_path / "tables" / f"{name}.csv")
        assert {"one", "two"} <= set(table["dataset"].dropna()), name
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert figures == FIGURES | {f"{name}_two" for name in ("gain", "gap", "deciles", "accuracy")}


def test_packing_as_a_command(tmp_path):
    paths, out = (
        write_benchmark(tmp_path / "runs", samples=40),
        tmp_path / "open" / "errors.parquet",
    )
    shown = run("errors", "pack", *paths, "--out", out)
    assert shown.startswith("10 runs, ") and "set group, against and label of single, " in shown
    assert "set group" not in run("errors", "pack", *paths, "--out", out)


def test_a_folder_without_errors_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="write them with pmnet errors pack"):
        write_findings(tmp_path, None, [], REPORT)
    assert not list(tmp_path.iterdir())
