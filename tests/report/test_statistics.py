"""Errors read strictly, and the laws of tails, bins, intervals and curves, with numbers by hand."""

import json
import re
from pathlib import Path

import fake_errors
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_closure import ROOT, import_closure

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY, METHODS, METRICS, NEED_BODIES
from pmnet.report.options import ReportOptions
from pmnet.report.statistics import (
    bootstrap_interval,
    curves,
    distance_bins,
    headline,
    over_seeds,
    read_errors,
    summary,
    tail,
    write_csv,
)
from stages.summary import summary as write_summary

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)
HEADLINE = [
    *("p3dh_mpvpe_mm", "p3dh_pa_mpjpe_mm", "single_mpvpe_mm"),
    *("gain_mpvpe_mm", "gain_tail_10_mpvpe_mm", "prototype_accuracy"),
]
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    return read_errors(fake_errors.write_runs(folder, datasets=("cmu", "made"), samples=100))


def rows_of(distances: list[float], dataset: str = "cmu", **columns: object) -> pd.DataFrame:
    """Rows of one run, seed and inference, by their distances."""
    rows = pd.DataFrame({"distance_to_mean_mm": distances}, dtype=float)
    rows = rows.assign(dataset=dataset, sample=range(len(rows)), run="p3dh_k50_l5.0", seed=0)
    rows = rows.assign(inference="model", assigned=0, chosen=0, mpvpe_mm=1.0, mpjpe_mm=1.0)
    return rows.assign(pa_mpjpe_mm=1.0, sequence=[f"s{i}" for i in range(len(rows))], **columns)


# --- files


def test_all_rows_are_read_with_what_the_file_says_of_its_run(frame):
    assert len(frame) == 5 * 2 * 2 * 100 * len(fake_errors.INFERENCES)
    methods = frame.drop_duplicates("run").set_index("run")["method"]
    assert tuple(methods) == METHODS
    assert set(frame["protocol"]) == {fake_errors.ABOUT["protocol"]}
    assert set(frame["k"]) == {1, 50} and set(frame["selection"]) == {"hard"}


def test_a_path_given_twice_is_read_once(tmp_path):
    path = fake_errors.write(tmp_path / "e.parquet", rows_of([1, 2]))
    assert len(read_errors([path, path])) == 2


@pytest.mark.parametrize("module", ["tables", "charts"])
def test_reports_import_neither_torch_nor_pyplot(module):
    files = import_closure(ROOT / "pmnet" / "report" / f"{module}.py")
    assert "pmnet/core/files.py" in files
    imports = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    assert any("import pandas" in line for line in imports)
    assert not [line for line in imports if re.search(r"^\s*(from|import) (torch|.*pyplot)", line)]


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("mpjpe_mm", NAN, "NaN or infinite in 1 of 3 rows"),
        ("mpvpe_mm", INF, "NaN or infinite in 1 of 3 rows"),
        ("distance_to_mean_mm", NAN, "NaN or infinite in 1 of 3 rows"),
    ],
)
def test_a_bad_number_is_refused_with_file_column_and_cure(tmp_path, column, value, words):
    rows = rows_of([1, 2, 3])
    rows.loc[1, column] = value
    path = fake_errors.write(tmp_path / "bad.parquet", rows)
    with pytest.raises(InputError, match=words) as refused:
        read_errors([path])
    assert str(path) in str(refused.value) and column in str(refused.value)
    assert "dvc repro" in str(refused.value)


def test_a_data_set_without_bodies_has_joint_errors_only(tmp_path):
    rows = pd.concat([rows_of([1, 2]), rows_of([NAN] * 3, "mpi_inf_3dhp", mpvpe_mm=NAN)])
    path = fake_errors.write(tmp_path / "e.parquet", rows)
    read = read_errors([path])
    assert len(read) == 5 and set(tail(read, 10)["dataset"]) == {"cmu"}


BODILESS = {"datasets": ("cmu", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp", "samples": 30}


def test_without_bodies_a_data_set_has_no_told_prototype_and_no_curve(tmp_path):
    frame = read_errors(fake_errors.write_runs(tmp_path, **BODILESS))
    assert set(frame[frame["inference"].isin(NEED_BODIES)]["dataset"]) == {"cmu"}
    assert set(curves(frame, REPORT)["dataset"]) == {"cmu"}
    found = summary(frame, REPORT)
    assert set(found["constant"]["mpi_inf_3dhp"]) == {"mpjpe_mm", "pa_mpjpe_mm"}
    assert set(found["gain"]) == set(found["prototype_accuracy"]) == {"cmu"}
    joints = frame[frame["dataset"] == "mpi_inf_3dhp"]
    assert summary(joints, REPORT)["gain"] == {}
    with pytest.raises(InputError, match="no test set has bodies"):
        curves(joints, REPORT)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.drop(rows[(rows["dataset"] == "mpi_inf_3dhp")].index[-1]),
        lambda rows: rows.drop(rows[rows["inference"] == "oracle"].index[-1]),
        lambda rows: rows[(rows["dataset"] == "cmu") | (rows["inference"] != "mean")],
        lambda rows: pd.concat([rows, rows[rows["sample"] == 0].assign(sample=30)]),
        lambda rows: pd.concat(
            [rows, rows[rows["dataset"] == "mpi_inf_3dhp"].assign(inference="oracle")]
        ),
    ],
)
def test_each_inference_must_hold_all_samples_that_it_can_have(tmp_path, spoil):
    one, two, *_ = fake_errors.write_runs(tmp_path, **BODILESS, seeds=1)
    rows = fake_errors.frame_of("naive_k50", 0.0, BODILESS["datasets"], 30, 1)
    rows = fake_errors.without_bodies(rows, "mpi_inf_3dhp")
    fake_errors.write(two, rows, space="parameter")
    read_errors([one, two])
    fake_errors.write(two, spoil(rows), space="parameter")
    with pytest.raises(InputError, match="must hold the same samples"):
        read_errors([one, two])


def broken(folder: Path, how: str) -> Path:
    path = fake_errors.write(folder / "broken.parquet", rows_of([1, 2, 3]))
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "foreign":
        path.write_text("run,seed\n")
    elif how == "no header":
        rows_of([1, 2, 3]).to_parquet(path)
    elif how == "no column":
        fake_errors.write(path, rows_of([1, 2, 3]).drop(columns="sequence"))
    elif how == "words for numbers":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(mpvpe_mm="far"))
    elif how == "nothing chosen":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(chosen=pd.array([0, None, 1], "Int64")))
    elif how == "two runs":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(run=["a", "a", "b"]))
    elif how == "empty":
        fake_errors.write(path, rows_of([1]).iloc[:0])
    return path


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "cut",
        "foreign",
        "no header",
        "no column",
        "words for numbers",
        "nothing chosen",
        "two runs",
        "empty",
    ],
)
def test_a_broken_file_is_refused_by_name_with_a_cure(tmp_path, how):
    path = broken(tmp_path, how)
    with pytest.raises(InputError, match=r"evaluate that run again") as refused:
        read_errors([path])
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("how", ["fewer", "other sequences", "other distances", "twice", "order"])
def test_files_of_other_samples_are_refused(tmp_path, how):
    first = fake_errors.write(tmp_path / "a.parquet", rows_of([1, 2, 3], run="a"))
    rows = rows_of([1, 2, 3], run="b")
    if how == "fewer":
        rows = rows.iloc[:2]
    elif how == "other sequences":
        rows = rows.assign(sequence="one")
    elif how == "other distances":
        rows = rows.assign(distance_to_mean_mm=[1.0, 2.0, 4.0])
    elif how == "twice":
        rows = rows.assign(sample=[0, 1, 1])
    elif how == "order":
        rows = rows.iloc[::-1]
    second = fake_errors.write(tmp_path / "b.parquet", rows)
    if how == "order":
        assert len(read_errors([first, second])) == 6
        return
    with pytest.raises(InputError, match="same samples") as refused:
        read_errors([first, second])
    assert str(second) in str(refused.value)


def test_files_of_other_protocols_or_of_one_run_are_refused(tmp_path):
    first = fake_errors.write(tmp_path / "a.parquet", rows_of([1, 2], run="a"))
    other = fake_errors.write(tmp_path / "b.parquet", rows_of([1, 2], run="b"), protocol="none")
    again = fake_errors.write(tmp_path / "c.parquet", rows_of([1, 2], run="a"))
    with pytest.raises(InputError, match=r"b\.parquet: protocol is 'none'"):
        read_errors([first, other])
    with pytest.raises(InputError, match=r"c\.parquet: run a is also in"):
        read_errors([first, again])
    with pytest.raises(InputError, match="--errors"):
        read_errors([])


# --- tails and bins


def test_the_tail_by_hand():
    rows = rows_of([5, 1, 9, 3, 9, 2, 8, 4, 7, 6])
    assert list(tail(rows, 10)["sample"]) == [2]  # 9 twice: the smaller row number goes first
    assert list(tail(rows, 20)["sample"]) == [2, 4]
    assert list(tail(rows, 39)["sample"]) == [2, 4, 6]  # int(3.9)
    assert list(tail(rows, 1)["sample"]) == [2]  # at least one
    both = pd.concat([rows, rows_of([1, 2], "made")])
    assert list(tail(both, 10)["dataset"]) == ["cmu", "made"]
    assert len(tail(pd.concat([rows, rows.assign(seed=1)]), 20)) == 4


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_laws_of_tails(distances):
    rows = rows_of(distances)
    five, ten = tail(rows, 5), tail(rows, 10)
    assert set(five["sample"]) <= set(ten["sample"])
    assert len(ten) == max(1, len(distances) // 10)
    rest = rows.drop(ten.index)
    assert rest.empty or ten["distance_to_mean_mm"].min() >= rest["distance_to_mean_mm"].max()
    assert len(tail(rows, 100)) == len(rows)


def test_bins_by_hand():
    rows = pd.concat([rows_of([0, 24, 25, 50, 99, 100]), rows_of([7, 7], "made")])
    assert list(distance_bins(rows, 4)) == [0, 0, 1, 2, 3, 3, 0, 0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60), st.integers(1, 12))
def test_bins_hold_every_sample_once_and_in_order(distances, bins):
    found = distance_bins(rows_of(distances), bins)
    assert found.between(0, bins - 1).all() and len(found) == len(distances)
    assert (np.diff(found.to_numpy()[np.argsort(distances, kind="stable")]) >= 0).all()


# --- intervals


def test_the_interval_of_a_constant_has_no_width():
    low, high = bootstrap_interval(np.full(30, 7.25), np.arange(30) // 3, 100, 0)
    assert low == pytest.approx(7.25) and high == pytest.approx(7.25)


def test_one_sequence_has_no_interval():
    assert np.isnan(bootstrap_interval(np.arange(9.0), np.zeros(9), 100, 0)).all()
    assert np.isnan(bootstrap_interval(np.empty(0), np.empty(0), 100, 0)).all()


def test_the_interval_redraws_whole_sequences():
    """Two equal sequences of different lengths: the mean is 0, 1 or that of both, never else."""
    values, sequences = np.array([0.0] * 9 + [1.0]), np.array(["a"] * 9 + ["b"])
    assert bootstrap_interval(values, sequences, 500, 0) == (0.0, 1.0)
    alone = bootstrap_interval(values, np.arange(10), 500, 0)
    assert alone[1] < 0.5


def test_the_interval_is_that_of_a_plain_loop():
    generator = np.random.default_rng(3)
    values, sequences = generator.normal(size=40), generator.integers(0, 7, 40)
    names, codes = pd.factorize(sequences)[1], pd.factorize(sequences)[0]
    drawn = np.random.default_rng(5).integers(len(names), size=(300, len(names)))
    means = [np.concatenate([values[codes == name] for name in row]).mean() for row in drawn]
    expected = np.percentile(means, [2.5, 97.5])
    assert bootstrap_interval(values, sequences, 300, 5) == pytest.approx(tuple(expected))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Samples of a sequence share their error: redrawn one by one, intervals are far too narrow."""
    generator = np.random.default_rng(0)
    sequences, hits, naive = np.repeat(np.arange(40), 10), 0, 0
    for trial in range(200):
        values = np.repeat(generator.normal(size=40), 10) + 0.2 * generator.normal(size=400)
        low, high = bootstrap_interval(values, sequences, 200, trial)
        hits += low <= 0 <= high
        low, high = bootstrap_interval(values, np.arange(400), 200, trial)
        naive += low <= 0 <= high
    assert 175 <= hits <= 198 and naive < 120


# --- curves and summary


def test_the_columns_of_the_curves_and_their_order(frame):
    found = curves(frame, REPORT)
    assert ",".join(found.columns) == (
        "run,dataset,bin,distance_mm,mpvpe_mm,reduction_mm,n,low,high,reduction_low,reduction_high"
    )
    assert list(found["run"].unique()) == list(fake_errors.RUNS)
    assert len(found) == 5 * 2 * REPORT.bins
    assert (found.groupby(["run", "dataset"])["n"].sum() == 100).all()
    edges = found.groupby(["dataset", "bin"])[["n", "distance_mm"]].nunique()
    assert (edges <= 1).all().all()


def test_the_curves_by_hand(tmp_path):
    """Seeds are averaged first; a reduction is single minus run; a bin with no samples is empty."""
    distances = [0.0, 10.0, 90.0, 100.0]
    single = rows_of(distances, run="single")
    paths = [
        fake_errors.write(
            tmp_path / "single.parquet",
            pd.concat([single.assign(seed=s, mpvpe_mm=[10.0, 20, 50, 70]) for s in (0, 1)]),
            k=1,
        ),
        fake_errors.write(
            tmp_path / "p3dh.parquet",
            pd.concat(
                [
                    rows_of(distances, mpvpe_mm=[9.0, 19, 40, 50]),
                    rows_of(distances, mpvpe_mm=[11.0, 17, 30, 40], seed=1),
                ]
            ),
        ),
    ]
    found = curves(read_errors(paths), ReportOptions([5], 3, 50, 0)).set_index(["run", "bin"])
    assert list(found.loc["single", "mpvpe_mm"])[::2] == [15, 60]
    p3dh = found.loc["p3dh_k50_l5.0"]
    assert list(p3dh["n"]) == [2, 0, 2]
    assert list(p3dh["distance_mm"])[::2] == [5, 95]
    assert list(p3dh["mpvpe_mm"])[::2] == [14, 40]
    assert list(p3dh["reduction_mm"])[::2] == [1, 20]
    assert (p3dh.loc[2, "reduction_low"], p3dh.loc[2, "reduction_high"]) == (15, 25)
    assert (p3dh.loc[2, "low"], p3dh.loc[2, "high"]) == (35, 45)
    assert p3dh.loc[1].drop(["dataset", "n"]).isna().all()


def test_the_single_prototype_reduces_nothing(frame):
    found = curves(frame, REPORT)
    single = found[found["run"] == "single"].dropna()
    assert (single[["reduction_mm", "reduction_low", "reduction_high"]] == 0).all().all()
    p3dh = found[found["run"] == "p3dh_k50_l5.0"].dropna()
    assert p3dh["reduction_mm"].between(p3dh["reduction_low"], p3dh["reduction_high"]).all()


def test_a_gain_that_all_samples_share_is_certain(tmp_path):
    """The interval of a reduction is that of pairs: samples differ, their gains do not."""
    errors = np.random.default_rng(0).normal(100, 30, 60)
    paths = [
        fake_errors.write(tmp_path / "s", rows_of([1] * 60, run="single", mpvpe_mm=errors), k=1),
        fake_errors.write(tmp_path / "p", rows_of([1] * 60, mpvpe_mm=errors - 5)),
    ]
    p3dh = curves(read_errors(paths), ReportOptions([5], 1, 200, 0)).iloc[1]
    assert p3dh["high"] - p3dh["low"] > 5
    assert p3dh["reduction_low"] == pytest.approx(5) == p3dh["reduction_high"]


def test_curves_without_the_single_prototype_say_what_is_missing(frame):
    with pytest.raises(InputError, match="one run of the method single, got none"):
        curves(frame[frame["method"] != "single"], REPORT)


def test_seeds_are_averaged_sample_by_sample():
    rows = pd.concat([rows_of([1, 2], mpvpe_mm=[4.0, 6.0]), rows_of([1, 2], seed=1)])
    found = over_seeds(rows, "mpvpe_mm")
    assert list(found["mpvpe_mm"]) == [2.5, 3.5] and list(found["sequence"]) == ["s0", "s1"]


def test_the_summary_agrees_with_the_rows(frame):
    found = summary(frame, REPORT)
    assert list(found) == [*METHODS, "constant", "gain", "prototype_accuracy"]
    p3dh = frame[(frame["method"] == "p3dh") & (frame["dataset"] == "cmu")]
    model = p3dh[p3dh["inference"] == "model"]
    numbers = found["p3dh"]["cmu"]
    for metric in METRICS:
        assert numbers[metric] == round(model[metric].mean(), 2)
    assert numbers["tail_5_mpvpe_mm"] == round(tail(model, 5)["mpvpe_mm"].mean(), 2)
    constant = p3dh.loc[p3dh["inference"] == "mean", "mpvpe_mm"].mean()
    assert found["constant"]["cmu"]["mpvpe_mm"] == round(constant, 2)
    gain = found["gain"]["cmu"]
    both = found["single"]["cmu"]["mpvpe_mm"] - numbers["mpvpe_mm"]
    assert gain["mpvpe_mm"] == pytest.approx(both, abs=0.011)
    assert gain["mpvpe_low_mm"] < gain["mpvpe_mm"] < gain["mpvpe_high_mm"]
    assert gain["tail_10_mpvpe_mm"] > gain["mpvpe_mm"]
    assert found["prototype_accuracy"]["cmu"] == (model["assigned"] == model["chosen"]).mean()
    assert not any("." in key for level in found.values() for key in level)


def test_the_headline_is_six_numbers_over_all_test_samples(frame):
    found = headline(frame, REPORT)
    assert list(found) == HEADLINE
    model = frame[frame["inference"] == "model"]
    p3dh, single = (model[model["method"] == method] for method in ("p3dh", "single"))
    assert found["p3dh_mpvpe_mm"] == round(p3dh["mpvpe_mm"].mean(), 2)
    assert found["p3dh_pa_mpjpe_mm"] == round(p3dh["pa_mpjpe_mm"].mean(), 2)
    gains = [tail(rows, 10)["mpvpe_mm"].mean() for rows in (single, p3dh)]
    assert found["gain_tail_10_mpvpe_mm"] == pytest.approx(gains[0] - gains[1], abs=0.006)
    both = found["single_mpvpe_mm"] - found["p3dh_mpvpe_mm"]
    assert found["gain_mpvpe_mm"] == pytest.approx(both, abs=0.011)
    assert found["prototype_accuracy"] == (p3dh["assigned"] == p3dh["chosen"]).mean()


def test_the_headline_leaves_out_what_the_test_sets_cannot_give(tmp_path):
    shape = {"datasets": ("mpi_inf_3dhp",), "bodiless": "mpi_inf_3dhp", "samples": 20}
    frame = read_errors(fake_errors.write_runs(tmp_path, **shape))
    assert list(headline(frame, REPORT)) == ["p3dh_pa_mpjpe_mm"]


def test_the_stage_of_the_summary_writes_headline_and_all_numbers(tmp_path):
    paths = fake_errors.write_runs(tmp_path / "runs", samples=20)
    write_summary(paths, tmp_path / "metrics.json", tmp_path / "summary.json", REPORT)
    frame = read_errors(paths)
    assert json.loads((tmp_path / "metrics.json").read_text()) == headline(frame, REPORT)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary(frame, REPORT)


def test_a_table_is_written_with_two_decimals_and_no_minus_zero(tmp_path):
    rows = pd.DataFrame({"value": [5.0, 0.5], "x": [-0.001, NAN], "n": [3, 4]})
    write_csv(rows, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "value,x,n\n5,0.00,3\n0.5,,4\n"


def test_keys_tell_samples_apart(frame):
    one = frame[(frame["run"] == "single") & (frame["seed"] == 0) & (frame["inference"] == "mean")]
    assert not one.duplicated(KEY).any()
