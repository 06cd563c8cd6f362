"""The laws of tails, bins and intervals, with numbers by hand; reports need no torch."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_closure import ROOT, import_closure
from rows import rows_of

from pmnet.report.options import ReportOptions
from pmnet.report.statistics import (
    bootstrap_interval,
    distance_bins,
    gain,
    interval,
    mean,
    sd_over_seeds,
    subsets,
    tail,
    widest_first,
)

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)


@pytest.mark.parametrize(
    "module", ["tables", "curves", "drawing", "figures/distance", "benchmark/writing"]
)
def test_reports_import_neither_torch_nor_pyplot(module):
    files = import_closure(ROOT / "pmnet" / "report" / f"{module}.py")
    assert "pmnet/core/files.py" in files
    imports = [line for file in files for line in (ROOT / file).read_text().splitlines()]
    assert any("import pandas" in line for line in imports)
    assert not [line for line in imports if re.search(r"^\s*(from|import) (torch|.*pyplot)", line)]


# --- tails and bins


def farthest(samples: pd.DataFrame, percent: int) -> pd.DataFrame:
    return samples[tail(samples, percent)]


def test_the_tail_by_hand():
    rows = rows_of([5, 1, 9, 3, 9, 2, 8, 4, 7, 6])
    assert list(farthest(rows, 10)["sample"]) == [2]  # 9 twice: the smaller row number goes first
    assert list(farthest(rows, 20)["sample"]) == [2, 4]
    assert list(farthest(rows, 39)["sample"]) == [2, 4, 6]  # int(3.9)
    assert list(farthest(rows, 1)["sample"]) == [2]  # at least one
    both = pd.concat([rows, rows_of([1, 2], "made")])
    assert list(farthest(both, 10)["dataset"]) == ["cmu", "made"]
    lacking = pd.concat([rows, rows_of([float("nan")] * 9, "joints")])
    assert list(farthest(lacking, 20)["sample"]) == [2, 4]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60))
def test_laws_of_tails(distances):
    rows = rows_of(distances)
    five, ten = farthest(rows, 5), farthest(rows, 10)
    assert set(five["sample"]) <= set(ten["sample"])
    assert len(ten) == max(1, len(distances) // 10)
    rest = rows.drop(ten.index)
    assert rest.empty or ten["distance_to_mean_mm"].min() >= rest["distance_to_mean_mm"].max()
    assert tail(rows, 100).all()


def test_bins_by_hand():
    rows = pd.concat([rows_of([0, 24, 25, 50, 99, 100]), rows_of([7, 7], "made")])
    assert list(distance_bins(rows, 4)) == [0, 0, 1, 2, 3, 3, 0, 0]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=60), st.integers(1, 12))
def test_bins_hold_every_sample_once_and_in_order(distances, bins):
    found = distance_bins(rows_of(distances), bins)
    assert ((found >= 0) & (found < bins)).all() and len(found) == len(distances)
    assert (np.diff(found[np.argsort(distances, kind="stable")]) >= 0).all()


def test_subsets_keep_the_order_of_the_tails():
    samples = rows_of([float(x) for x in range(40)])
    found = subsets(samples, [5, 10])
    assert list(found) == ["all", "tail_5", "tail_10"]
    assert [part.sum() for part in found.values()] == [40, 2, 4]
    assert list(widest_first(samples, [5, 10])) == ["all", "tail_10", "tail_5"]


# --- intervals


def test_every_interval_is_of_means_over_seeds_and_of_pairs():
    generator = np.random.default_rng(1)
    own, other = generator.normal(size=(2, 30)), generator.normal(size=(3, 30))
    sequences = np.arange(30) // 5
    draws = REPORT.bootstrap, REPORT.seed
    expected = bootstrap_interval(own.mean(0), sequences, *draws)
    assert interval(own, sequences, REPORT) == expected
    gains = other.mean(0) - own.mean(0)
    assert (gain(own, other) == gains).all()
    assert interval(own, sequences, REPORT, other) == bootstrap_interval(gains, sequences, *draws)


def test_the_spread_over_seeds():
    values = np.array([[1.0, 3.0], [5.0, 7.0]])
    assert sd_over_seeds(values) == pytest.approx(np.sqrt(8))
    assert np.isnan(sd_over_seeds(values[:1])) and np.isnan(mean(values[:, :0]))


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
