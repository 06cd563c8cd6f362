"""Each seed by itself, and right choices beside wrong ones, by hand."""

import pytest
from fake_benchmark import packed_benchmark

from pmnet.report.benchmark.details import by_choice, by_seed
from pmnet.report.benchmark.listing import BenchmarkRun
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors

REPORT = ReportOptions(tails=[10], bins=5, bootstrap=10, seed=0)
P3DH = "p3dh_k50_l5.0"
RUNS = [
    BenchmarkRun("single", "main", "", "single", ""),
    BenchmarkRun(P3DH, "main", "single", "P3DH", ""),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> RunErrors:
    folder = tmp_path_factory.mktemp("details")
    packed_benchmark(folder, samples=60)
    return load_packed(sorted(folder.glob("errors*.parquet")))


def test_the_mean_over_seeds_is_that_of_all_errors(packed):
    table = by_seed(packed, RUNS, REPORT)
    assert set(table["subset"]) == {"all", "tail_10"}
    for run in ("single", P3DH):
        rows = table[(table["run"] == run) & (table["subset"] == "all")]
        assert tuple(rows["seed"]) == packed.facts(run).seeds
        whole = packed.errors(run, "model", "mpvpe_mm")
        assert rows["mpvpe_mm"].tolist() == pytest.approx(whole.mean(1).tolist())


def test_choices_make_up_the_whole(packed):
    table = by_choice(packed, RUNS, REPORT)
    assert set(table["run"]) == {P3DH}
    for _, rows in table.groupby("subset"):
        assert rows["share_percent"].sum() == pytest.approx(100)
    rows = table[table["subset"] == "all"].set_index("choice")
    right = packed.right(P3DH)
    own = packed.errors(P3DH, "model", "mpvpe_mm")
    assert rows.loc["right", "mean_mm"] == pytest.approx(own[right].mean())
    assert rows.loc["right", "share_percent"] == pytest.approx(100 * right.mean())
    whole = (rows["mean_mm"] * rows["share_percent"]).sum() / 100
    assert whole == pytest.approx(own.mean())
