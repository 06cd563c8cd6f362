"""The paper's numbers as data, and tables that keep them apart from ours."""

import re

import fake_errors
import numpy as np
import pandas as pd
import pytest

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import read_errors
from pmnet.evaluation.phrases import phrase_of
from pmnet.evaluation.protocols import PROTOCOLS
from pmnet.report.options import ReportOptions
from pmnet.report.pages import to_page
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import balanced_bins, tail
from pmnet.report.tables import (
    COLUMNS,
    MEMORIES,
    paper,
    table2,
    table3,
    table4,
    table5,
    table6,
    write_table,
)

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)
PROTOCOL = "alignment pelvis, hard selection"
TABLES = {2: table2, 3: table3, 4: table4, 5: table5, 6: table6}
COUNTS = {2: 15, 3: 50, 4: 24, 5: 18, 6: 15}


@pytest.fixture(scope="module")
def memories(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_errors(fake_errors.write_runs(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def tables(memories, tmp_path_factory: pytest.TempPathFactory) -> dict[int, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("sweeps")
    by_k = read_errors(fake_errors.write_sweep(folder, "k", [5, 50, 1000], seeds=1))
    by_limb = read_errors(fake_errors.write_sweep(folder, "limb_weight", [1.0, 5.0]))
    given = {2: memories, 3: memories, 4: memories, 5: by_k, 6: by_limb}
    return {
        number: make(RunErrors.of_rows(given[number]), REPORT) for number, make in TABLES.items()
    }


def one(table: pd.DataFrame, /, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


# --- the paper's numbers


def test_every_number_of_the_paper_is_there_once():
    numbers = paper()
    assert dict(numbers["table"].value_counts().sort_index()) == COUNTS
    assert not numbers.duplicated(["table", "method", "dataset", "subset", "metric"]).any()
    assert numbers["value_mm"].between(30, 250).all()
    assert set(numbers["metric"]) == {"mpvpe", "mpjpe", "pa_mpjpe", ""}
    assert set(numbers["dataset"]) == {"h36m", "pw3d", "up3d", "mpi_inf_3dhp", ""}
    assert set(numbers["subset"]) == {"all", "tail_5", "tail_10", "tail_20"}


@pytest.mark.parametrize(
    ("table", "method", "dataset", "subset", "metric", "value"),
    [
        (2, "SPIN", "h36m", "all", "mpvpe", 78.7),
        (2, "P3DH K-Means", "up3d", "all", "mpvpe", 112.6),
        (3, "SPIN", "h36m", "all", "mpvpe", 78.8),
        (3, "Pavlakos et al.", "up3d", "all", "mpvpe", 117.7),
        (3, "HMR", "pw3d", "all", "pa_mpjpe", 81.3),
        (3, "DenseRaC", "mpi_inf_3dhp", "all", "mpjpe", 114.2),
        (3, "I2L-MeshNet", "pw3d", "all", "mpjpe", 95.4),
        (3, "PM-Net", "mpi_inf_3dhp", "all", "pa_mpjpe", 62.8),
        (4, "CMR", "pw3d", "tail_5", "mpvpe", 209.9),
        (4, "PM-Net", "up3d", "tail_20", "mpvpe", 158.6),
        (5, "K=50", "h36m", "tail_10", "mpvpe", 81.1),
        (5, "K=1000", "h36m", "all", "mpvpe", 74.8),
        (6, "limb=3.0", "h36m", "tail_5", "mpvpe", 85.7),
        (6, "limb=10.0", "h36m", "tail_10", "mpvpe", 88.4),
    ],
)
def test_numbers_of_the_paper(table, method, dataset, subset, metric, value):
    where = {"table": table, "method": method, "dataset": dataset, "subset": subset}
    assert one(paper(), **where, metric=metric)["value_mm"] == value


def test_the_base_model_has_the_same_numbers_in_all_tables():
    numbers = paper()
    for subset, value in (("all", 73.6), ("tail_5", 80.0), ("tail_10", 81.1)):
        base = numbers["method"].isin(["P3DH K-Means", "PM-Net", "K=50", "limb=5.0"])
        here = numbers[base & (numbers["dataset"] == "h36m") & (numbers["metric"] == "mpvpe")]
        assert set(here.loc[here["subset"] == subset, "value_mm"]) == {value}


def test_years_and_what_is_odd_are_noted():
    numbers = paper().set_index("method")
    years = {"SPIN": 2019, "HMR": 2018, "CMR": 2019, "DecoMR": 2020, "PM-Net": 2020, "K=5": 2020}
    assert {method: set(numbers.loc[[method], "year"]) for method in years} == {
        method: {year} for method, year in years.items()
    }
    starred = numbers[numbers["note"] == "trained on UP-3D"]
    assert set(starred.index) == {"Pavlakos et al.", "CMR", "DecoMR"}
    assert "unreadable" in numbers.loc["HKMR", "note"] and numbers.loc["HKMR", "dataset"] == ""
    assert numbers.loc["limb=3.0", "note"].str.contains("slip").sum() == 2


# --- our numbers beside them


@pytest.mark.parametrize("number", TABLES)
def test_published_rows_follow_ours_and_are_those_of_the_paper(tables, number):
    table = tables[number]
    assert list(table.columns) == list(COLUMNS)
    assert list(table["source"].drop_duplicates()) == ["ours", "published"]
    ours, published = (table[table["source"] == source] for source in ("ours", "published"))
    assert len(published) == COUNTS[number]
    numbers = paper()
    expected = numbers.loc[numbers["table"] == number, "value_mm"]
    assert list(published["mean_mm"]) == list(expected)
    assert published[["sd_mm", "low_mm", "high_mm", "seeds", "n"]].isna().all().all()
    assert ours["year"].isna().all() and published["year"].notna().all()
    assert set(ours["dataset"]) == {"cmu"}
    balanced = ours["metric"] == "bmpvpe"
    assert ours.loc[balanced, ["low_mm", "high_mm"]].isna().all().all()
    within = ours[~balanced]
    assert (within["low_mm"] <= within["mean_mm"]).all()
    assert (within["mean_mm"] <= within["high_mm"]).all()


def test_the_rows_of_table_2(tables, memories):
    ours = tables[2][tables[2]["source"] == "ours"]
    cells = ours[["subset", "metric"]].drop_duplicates().itertuples(index=False, name=None)
    tails = [("tail_5", "pa_mpjpe"), ("tail_10", "pa_mpjpe")]
    assert list(cells) == [("all", "mpvpe"), ("all", "bmpvpe"), *tails]
    balanced, ours = (ours[ours["metric"] == name] for name in ("bmpvpe", "mpvpe"))
    assert list(ours["method"]) == [
        "Single prototype (baseline)",
        "K-Means Naive",
        "Random Select",
        "3DH K-Means",
        "P3DH K-Means",
        "Oracle prototype",
        "Prototype alone",
        "Constant predictor (mean body)",
    ]
    for method, inference in (("P3DH K-Means", "model"), ("Oracle prototype", "oracle")):
        rows = memories[(memories["method"] == "p3dh") & (memories["inference"] == inference)]
        row, seeds = one(ours, method=method), rows.groupby("seed")["mpvpe_mm"].mean()
        assert row["mean_mm"] == round(rows["mpvpe_mm"].mean(), 2)
        assert row["sd_mm"] == round(abs(seeds[0] - seeds[1]) / np.sqrt(2), 2)
        assert (row["seeds"], row["n"]) == (2, 200)
    assert one(ours, method="P3DH K-Means")["note"] == "K = 50, limb weight 5"
    constant = memories[(memories["method"] == "p3dh") & (memories["inference"] == "mean")]
    row = one(ours, method="Constant predictor (mean body)")
    assert row["mean_mm"] == round(constant["mpvpe_mm"].mean(), 2)
    row = one(balanced, method="Constant predictor (mean body)")
    bins = balanced_bins(constant["distance_to_mean_mm"].to_numpy())
    expected = constant["mpvpe_mm"].groupby(bins).mean()
    assert (row["mean_mm"], row["bins"]) == (round(expected.mean(), 2), len(expected))
    assert balanced["bins"].nunique() == 1 and balanced["n"].eq(200).all()


def test_tables_3_and_4_compare_two_systems(tables, memories):
    for number in (3, 4):
        ours = tables[number][tables[number]["source"] == "ours"]
        assert set(ours["method"]) == {"Single prototype (baseline)", "PM-Net (P3DH)"}
    assert set(tables[3].query("source == 'ours'")["metric"]) == {"mpvpe", "mpjpe", "pa_mpjpe"}
    rows = memories[(memories["method"] == "single") & (memories["inference"] == "model")]
    row = one(tables[4], method="Single prototype (baseline)", subset="tail_5", metric="mpvpe")
    samples = rows[rows["seed"] == 0]
    farthest = samples[tail(samples, 5)]["sample"]
    assert row["mean_mm"] == round(rows[rows["sample"].isin(farthest)]["mpvpe_mm"].mean(), 2)
    assert row["n"] == 10
    pm_net = one(tables[4], method="PM-Net (P3DH)", subset="tail_10", metric="pa_mpjpe")
    assert pm_net["n"] == 20


def test_the_sweeps_carry_their_values(tables):
    ours = tables[5][tables[5]["source"] == "ours"]
    assert list(ours["value"].unique()) == [5, 50, 1000]
    assert list(ours["method"].unique()) == ["K=5", "K=50", "K=1000"]
    assert list(ours["subset"].unique()) == ["all", "tail_5", "tail_10"]
    assert ours["sd_mm"].isna().all()  # one seed has no spread
    published = tables[6][tables[6]["source"] == "published"]
    assert list(published["value"].unique()) == [1, 3, 5, 7, 10]
    assert set(tables[6].query("source == 'ours'")["note"]) == {"K = 50"}


def test_a_memory_without_errors_has_the_papers_numbers_only(memories, capsys):
    found = table2(RunErrors.of_rows(memories[memories["method"] != "3dh"]), REPORT)
    rows = found[found["method"] == MEMORIES["3dh"]]
    assert set(rows["source"]) == {"published"}
    assert "no errors of 3DH K-Means" in "".join(capsys.readouterr())


def test_missing_or_doubled_runs_are_refused(memories, tmp_path):
    with pytest.raises(InputError, match="one run of the method p3dh, got none"):
        table2(RunErrors.of_rows(memories[memories["method"] != "p3dh"]), REPORT)
    twice = read_errors(
        [
            fake_errors.write(tmp_path / "a.parquet", fake_errors.frame_of("a", 0.1)),
            fake_errors.write(tmp_path / "b.parquet", fake_errors.frame_of("b", 0.1)),
        ]
    )
    with pytest.raises(InputError, match="a, b all have k 50"):
        table5(RunErrors.of_rows(twice), REPORT)
    with pytest.raises(InputError, match="one run of the method p3dh, got a, b"):
        both = pd.concat([memories[memories["method"] == "single"], twice])
        table4(RunErrors.of_rows(both), REPORT)
    with pytest.raises(InputError, match="table 6: no run of P3DH"):
        table6(RunErrors.of_rows(memories[memories["method"] == "naive"]), REPORT)


PAPERS = {"datasets": ("h36m", "pw3d", "up3d", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp"}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, pd.DataFrame]:
    """Return all tables of runs on the paper's four test sets, one of them without bodies."""
    folder, shape = tmp_path_factory.mktemp("papers"), {**PAPERS, "samples": 40, "seeds": 1}
    runs = read_errors(fake_errors.write_runs(folder, **shape))
    by_k = read_errors(fake_errors.write_sweep(folder, "k", [5, 50], **shape))
    by_limb = read_errors(fake_errors.write_sweep(folder, "limb_weight", [1.0, 5.0], **shape))
    given = {2: runs, 3: runs, 4: runs, 5: by_k, 6: by_limb}
    report = ReportOptions(tails=[5, 10, 20], bins=10, bootstrap=50, seed=0)
    return {
        number: make(RunErrors.of_rows(given[number]), report) for number, make in TABLES.items()
    }


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_every_cell_that_the_paper_printed_has_ours_beside_it(papers, number):
    cell = ["dataset", "subset", "metric"]
    ours, printed = (papers[number].query(f"source == '{s}'") for s in ("ours", "published"))
    found, wanted = (
        set(rows[rows["dataset"] != ""][cell].itertuples(index=False, name=None))
        for rows in (ours, printed)
    )
    assert wanted - found == set()
    assert ("mpi_inf_3dhp", "all", "mpvpe") not in found
    assert not ours["mean_mm"].isna().any()
    page = to_page(papers[number], number, "title", PROTOCOL)
    assert "the paper's data sets" in page and "nan" not in page


def test_a_data_set_without_bodies_is_in_table_3_only_and_by_its_joints(papers):
    for number, table in papers.items():
        here = table.query("source == 'ours' and dataset == 'mpi_inf_3dhp'")
        assert set(here["metric"]) == ({"mpjpe", "pa_mpjpe"} if number == 3 else set())
        assert len(here) == (4 if number == 3 else 0)


def test_only_data_sets_without_bodies_make_table_3_alone(tmp_path):
    shape = {"datasets": ("mpi_inf_3dhp",), "bodiless": "mpi_inf_3dhp", "samples": 20}
    frame = RunErrors.read(fake_errors.write_runs(tmp_path, **shape))
    assert len(table3(frame, REPORT).query("source == 'ours'")) == 4
    for make in (table2, table4):
        with pytest.raises(InputError, match="no test set with bodies"):
            make(frame, REPORT)


# --- pages


@pytest.mark.parametrize("number", TABLES)
def test_a_page_has_two_blocks_that_do_not_mix(tables, number):
    page = to_page(tables[number], number, "what it is", PROTOCOL)
    assert page.startswith("# Table ") and page.splitlines()[0].endswith(": what it is")
    ours, published = page.split("## ")[1:]
    assert ours.startswith(f"Ours (open data, {PROTOCOL}, {1 if number == 5 else 2} seed")
    assert published.startswith("Published (the paper's data: not comparable with ours)")
    assert "cmu" in ours and "Human3.6M" not in ours and "Year" not in ours
    assert "Human3.6M" in published and "cmu" not in published and "±" not in published
    for block in (ours, published):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


def test_each_number_of_the_papers_data_has_its_protocol_below(papers):
    named = {"h36m": "spin_h36m", "pw3d": "spin_3dpw", "up3d": "spin_neutral"}
    named["mpi_inf_3dhp"] = "spin_3dhp"
    protocols = {dataset: PROTOCOLS[name] for dataset, name in named.items()}
    page = to_page(papers[3], 3, "systems", phrase_of(protocols) + ", hard selection")
    assert "## Ours (the paper's data sets, hard selection, protocols below, 1 seed" in page
    ours = page.split("## ")[1]
    head, _, *rows = [line for line in ours.splitlines() if line.startswith("|")]
    below = next(row for row in rows if row.startswith("| protocol |"))
    cells = zip(head.split("|")[2:-2], below.split("|")[2:-2], strict=True)
    found = {(column.split()[0], name.strip()) for column, name in cells}
    names = ("Human3.6M", "3DPW", "UP-3D", "MPI-INF-3DHP")
    assert found == set(zip(names, named.values(), strict=True))
    for protocol in protocols.values():
        assert f"- {protocol.name}: {protocol.in_words(gendered=False)}" in ours
    assert "spin_" not in page.split("## ")[2]


def test_cells_and_columns_of_a_page(tables):
    page = to_page(tables[4], 4, "tails", PROTOCOL)
    row = one(tables[4], method="PM-Net (P3DH)", subset="tail_5", metric="mpvpe")
    cell = "{mean_mm:.1f} ± {sd_mm:.1f} [{low_mm:.1f}, {high_mm:.1f}]".format(**row)
    assert cell in page
    bins = int(tables[4]["bins"].max())
    tails = (
        "cmu tail 5 % MPVPE | cmu tail 5 % PA-MPJPE | cmu tail 10 % MPVPE | cmu tail 10 % PA-MPJPE"
    )
    assert f"| Method | cmu all bMPVPE ({bins} bins) | {tails} |" in page
    assert re.search(r"^\| n \| 200 \| 10 \| 10 \| 20 \| 20 \|", page, re.MULTILINE)
    assert "[95 % interval; redrawn: " in page and "training seeds x subjects x clips" in page
    assert "bMPVPE is the mean over the filled ones of 100 bins" in page
    assert "| CMR | 2019 | 92.5 | 97.3 | 209.9 | 194.3 | 170.4 | 149.2 | trained on UP-3D |" in page
    systems = to_page(tables[3], 3, "systems", PROTOCOL)
    spin = "| SPIN | 2019 | 78.8 | 62.5 | 41.1 | 117.8 | 98.3 | 60.2 | 119.3 | 105.2 | 67.5 |"
    assert spin in systems
    assert "| HKMR | 2020 | - | - | - | - | - | - | - | - | - | 60.0 in a column" in systems


def test_on_the_papers_data_the_page_says_so(tmp_path):
    frame = RunErrors.read(fake_errors.write_runs(tmp_path, datasets=("h36m",), samples=40))
    page = to_page(table3(frame, REPORT), 3, "systems", PROTOCOL)
    assert "## Ours (the paper's data sets, " in page and "may differ from ours" in page


@pytest.mark.parametrize("number", TABLES)
def test_a_table_is_written_twice_with_the_same_bytes(tables, number, tmp_path):
    for name in ("a", "b"):
        write_table(tables[number], tmp_path / f"{name}.csv", number, PROTOCOL)
    suffixes = (".csv", ".md", ".tex")
    assert {path.name for path in tmp_path.iterdir()} == {n + s for n in "ab" for s in suffixes}
    for suffix in suffixes:
        texts = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "b")]
        assert texts[0] == texts[1]
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    read = pd.read_csv(tmp_path / "a.csv")
    assert np.allclose(read["mean_mm"], tables[number]["mean_mm"])
