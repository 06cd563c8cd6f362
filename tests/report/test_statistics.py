"""The laws of tails, bins and intervals, with numbers by hand; reports need no torch."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_closure import ROOT, import_closure
from rows import rows_of

from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips, redraws
from pmnet.report.statistics import (
    Measured,
    balanced_bins,
    balanced_mean,
    distance_bins,
    effective_number,
    gain,
    interval,
    leave_one_out,
    mean,
    sd_over_seeds,
    spread_of_new_seeds,
    subsets,
    tail,
    widest_first,
)

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)
MANY = replace(REPORT, bootstrap=20_000)


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


# --- balanced errors, by the rule of IHMR


def test_balanced_bins_by_hand():
    """Bins of width 1: an edge, and a thousandth above it, belong to the bin below, but for the first."""
    distances = np.array([0.0, 0.0005, 1.0, 1.0005, 1.0015, 2.0, 50.5, 99.0, 99.5, 100.0])
    assert balanced_bins(distances).tolist() == [0, 0, 0, 0, 1, 1, 50, 98, 99, 99]
    assert balanced_bins(distances + 340).tolist() == [0, 0, 0, 0, 1, 1, 50, 98, 99, 99]
    assert balanced_bins(np.full(3, 7.0)).tolist() == [0, 0, 0]  # IHMR divides by zero here
    assert balanced_bins(np.array([3.0])).tolist() == [0] and not len(balanced_bins(np.empty(0)))


def test_the_balanced_mean_by_hand():
    """A bin of one sample counts as much as a bin of three; empty bins do not count."""
    errors, bins = np.array([[10.0, 20, 30, 100], [10.0, 20, 30, 200]]), np.array([5, 5, 5, 99])
    assert balanced_mean(errors, bins) == (20 + 150) / 2
    assert balanced_mean(errors, np.zeros(4, int)) == errors.mean()
    assert np.isnan(balanced_mean(errors[:, :0], bins[:0]))


# --- effective numbers, one left out


def test_effective_numbers_and_one_left_out_by_hand():
    groups, values = np.array([0, 0, 0, 1]), np.array([1.0, 2.0, 3.0, 10.0])
    assert effective_number(groups) == 1 / (0.75**2 + 0.25**2)
    assert effective_number(np.arange(7)) == pytest.approx(7)
    assert leave_one_out(values, groups) == (2.0, 10.0)
    assert leave_one_out(values, np.array([0, 3, 3, 3])) == (1.0, 5.0)
    assert np.isnan(leave_one_out(values, np.zeros(4, int))).all()


# --- clips and their redraws


def clips_of(subjects: list[str], sequences: list[str], dataset: str = "cmu") -> Clips:
    columns = {"dataset": dataset, "subject": subjects, "sequence": sequences}
    return Clips.of(pd.DataFrame(columns))


def test_clips_are_of_their_subjects_and_people_in_one_clip_are_one():
    clips = clips_of(["a", "a", "b", "a"], ["x", "y", "z", "x"])
    assert clips.of_sample.tolist() == [0, 1, 2, 0] and clips.subjects.tolist() == [0, 0, 1]
    assert clips.part(np.array([False, False, True, True])).subjects.tolist() == [0, 1]
    assert clips.alone().subjects.tolist() == [0, 0, 0]
    together = clips_of(["x/0", "x/1", "y/0", "y/1"], ["x", "x", "y", "y"])
    assert together.subjects.tolist() == [0, 1]
    assert clips.subject_of_sample.tolist() == [0, 0, 1, 0]


def test_of_too_many_clips_those_of_one_subject_are_joined():
    clips = Clips(np.arange(1000), np.arange(1000) // 250)
    few = clips.at_most(100)
    assert len(few.subjects) == 100 and np.bincount(few.subjects).tolist() == [25] * 4
    assert (few.subject_of_sample == clips.subject_of_sample).all()
    assert set(np.bincount(few.of_sample)) == {10}
    assert clips.at_most(1000) is clips


def test_of_too_many_subjects_some_are_redrawn_together_and_the_interval_stays():
    clips = Clips(np.arange(6000) // 2, np.arange(3000))  # two images of each
    few = clips.at_most(100)
    assert few.subjects.tolist() == list(range(100)) and set(np.bincount(few.of_sample)) == {60}
    errors = np.random.default_rng(0).normal(100, 20, (1, 6000))
    low, high, redrawn = interval(
        Measured(errors, (0,), "run"), clips, replace(REPORT, bootstrap=4000)
    )
    assert high - low == pytest.approx(2 * 1.96 * 20 / np.sqrt(6000), rel=0.1)
    assert redrawn == ("clips",)


def test_a_draw_has_as_many_groups_and_their_units():
    groups = np.array([0, 1, 0, 2, 0])  # sizes 3, 1, 1
    counts = redraws(groups, 40_000, (0, 0))
    by_group = np.stack([counts[groups == group].sum(0) for group in range(3)])
    drawn = by_group / np.array([[3], [1], [1]])
    assert (drawn == drawn.astype(int)).all() and (drawn.sum(0) == 3).all()
    assert counts.mean(1) == pytest.approx(1, abs=0.05)
    # a group is drawn with variance 3 x 1/3 x 2/3; a unit of the first adds that of 3 draws of 3 units
    assert counts[1].var() == pytest.approx(2 / 3, abs=0.05)
    assert counts[0].var() == pytest.approx(2 / 3 + 3 * (1 / 3) * (2 / 3), abs=0.08)
    assert (redraws(np.zeros(1, int), 10, (0, 0)) == 1).all()
    assert (redraws(groups, 40_000, (0, 0)) == counts).all()


# --- intervals


def measured(values: np.ndarray, memory_seeds: tuple[int, ...] = (), run: str = "a") -> Measured:
    return Measured(values, memory_seeds or (0,) * len(values), run)


def plain(
    values: np.ndarray, memories: list[int], subjects: np.ndarray, sequences: np.ndarray, draws: int
) -> np.ndarray:
    """The means of hierarchical draws, one after another, by loops alone."""
    generator, means = np.random.default_rng(99), []

    def nested(groups: list, units_of: dict) -> list:
        drawn = []
        for group in generator.choice(len(groups), len(groups)):
            units = units_of[groups[group]]
            drawn += [units[unit] for unit in generator.choice(len(units), len(units))]
        return drawn

    seeds_of = {m: [i for i, n in enumerate(memories) if n == m] for m in memories}
    clips_of = {s: sorted(set(sequences[subjects == s])) for s in subjects}
    rows = {clip: np.flatnonzero(sequences == clip) for clip in sequences}
    for _ in range(draws):
        seeds = nested(sorted(seeds_of), seeds_of)
        samples = np.concatenate([rows[clip] for clip in nested(sorted(clips_of), clips_of)])
        means.append(values[np.ix_(seeds, samples)].mean())
    return np.array(means)


def test_the_interval_is_that_of_loops_to_the_error_of_chance():
    generator = np.random.default_rng(3)
    subjects = np.repeat(["a", "b", "c", "d"], [30, 20, 10, 40])
    sequences = np.array([f"{s}{i % (3 + (s == 'd'))}" for i, s in enumerate(subjects)])
    memories = [0, 0, 0, 1, 1]
    values = generator.normal(size=(5, 100)) + generator.normal(size=(5, 1)) + (subjects == "d")
    expected = plain(values, memories, subjects, sequences, 4000)
    found = interval(measured(values, tuple(memories)), clips_of(subjects, sequences), MANY)
    for percent, bound in ((2.5, found.low), (97.5, found.high)):
        assert abs((expected < bound).mean() - percent / 100) < 0.01
    assert found.name == "clustering seeds x training seeds x subjects x clips"


def test_what_there_is_one_of_is_not_redrawn_and_the_name_says_so():
    values, subjects = np.random.default_rng(0).normal(size=(3, 12)), list("aabbccddeeff")
    sequences = [f"s{i}" for i in range(12)]
    clips, alone = clips_of(subjects, sequences), clips_of(["a"] * 12, sequences)
    seeds, other = measured(values), measured(values[:1], run="b")
    assert interval(seeds, clips, REPORT).name == "training seeds x subjects x clips"
    assert interval(seeds, alone, REPORT).name == "training seeds x clips"
    assert interval(other, alone, REPORT).name == "clips"
    assert interval(other, clips_of(sequences, sequences), REPORT).name == "clips"
    assert interval(measured(values, (0, 1, 2)), alone, REPORT).name == "clustering seeds x clips"
    assert interval(other, alone, REPORT, seeds).name == "training seeds x clips"
    assert interval(seeds, clips, REPORT, clips_only=True).name == "clips"
    same = interval(other, alone, REPORT)
    assert same == interval(other, clips, REPORT, clips_only=True)


def test_a_difference_is_paired_by_sample_and_its_seeds_are_not():
    """Two runs with the same errors: no sample differs, but another seed would."""
    clips = clips_of(["a"] * 40, [f"s{i // 4}" for i in range(40)])
    by_sample = np.random.default_rng(0).normal(0, 50, 40)
    one, other = measured(by_sample[None]), measured(by_sample[None] + 5, run="b")
    assert interval(one, clips, REPORT, other)[:2] == pytest.approx((5, 5))
    seeds = by_sample + np.array([[-3.0], [0.0], [3.0]])
    low, high, _ = interval(measured(seeds), clips, MANY, measured(seeds, run="b"))
    assert (low, high) == pytest.approx((-4, 4), abs=1.01)
    same = interval(measured(seeds), clips, MANY, measured(seeds + 2, run="a"))
    assert same[:2] == pytest.approx((2, 2))  # two selections of the same networks
    alone = interval(measured(seeds), clips, MANY, measured(seeds, run="b"), clips_only=True)
    assert alone[:2] == pytest.approx((0, 0))


def test_the_spread_over_seeds():
    values = np.array([[1.0, 3.0], [5.0, 7.0]])
    assert sd_over_seeds(values) == pytest.approx(np.sqrt(8))
    assert np.isnan(sd_over_seeds(values[:1])) and np.isnan(mean(values[:, :0]))
    assert gain(values, values + 2).tolist() == [2, 2]


def test_where_new_seeds_fall_by_hand_and_by_chance():
    """Three seeds each with variance 1: 2 x (1 + 1/3), four degrees of freedom, t = 2.776."""
    seeds = np.array([[-1.0], [0.0], [1.0]])
    low, high = spread_of_new_seeds(measured(seeds), measured(seeds + 10, run="b"))
    assert (high + low) / 2 == pytest.approx(10)
    assert (high - low) / 2 == pytest.approx(2.776 * np.sqrt(8 / 3), abs=1e-3)
    assert np.isnan(spread_of_new_seeds(measured(seeds), measured(seeds[:1], run="b"))).all()
    generator, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        ours, theirs = generator.normal(0, 1, (4, 1)), generator.normal(20, 6, (4, 1))
        low, high = spread_of_new_seeds(measured(ours[:3]), measured(theirs[:3], run="b"))
        hits += low <= theirs[3, 0] - ours[3, 0] <= high
    assert 925 <= hits <= 975


def test_the_interval_of_a_constant_has_no_width():
    clips = Clips(np.arange(30) // 3, np.arange(10) // 2)
    low, high, _ = interval(measured(np.full((3, 30), 7.25)), clips, REPORT)
    assert low == pytest.approx(7.25) and high == pytest.approx(7.25)


def test_one_clip_has_no_interval_whatever_the_seeds():
    one, none = Clips(np.zeros(9, int), np.zeros(1, int)), Clips(np.empty(0, int), np.empty(0, int))
    assert np.isnan(interval(measured(np.random.rand(3, 9)), one, REPORT)[:2]).all()
    assert np.isnan(interval(measured(np.empty((3, 0))), none, REPORT)[:2]).all()


def test_the_interval_redraws_whole_clips():
    """Two clips of different lengths: the mean is 0, 1 or that of both, never else."""
    values = measured(np.array([[0.0] * 9 + [1.0]]))
    whole = Clips(np.array([0] * 9 + [1]), np.zeros(2, int))
    assert interval(values, whole, MANY)[:2] == (0.0, 1.0)
    assert interval(values, Clips(np.arange(10), np.zeros(10, int)), MANY).high < 0.5


@pytest.mark.parametrize(
    ("memories", "seeds", "others", "sizes"),
    [  # clustering seeds, training seeds per clustering, seeds of the other run; their deviations
        (3, 3, 8, {"memory": 1.0, "seed": 1.0, "subject": 2.0, "clip": 2.0}),
        (1, 8, 8, {"memory": 0.0, "seed": 2.0, "subject": 1.0, "clip": 2.0}),
        (2, 4, 8, {"memory": 0.5, "seed": 1.0, "subject": 3.0, "clip": 1.0}),
    ],
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(memories, seeds, others, sizes):
    """Errors with a known deviation at each level: the true gain is 0, and 95 % intervals hold it."""
    hits, trials, quick = 0, 200, replace(REPORT, bootstrap=1000)
    clips = Clips(np.repeat(np.arange(60), 2), np.repeat(np.arange(20), 3))
    memory = np.repeat(np.arange(memories), seeds)
    for trial in range(trials):
        generator = np.random.default_rng(trial)
        of_clip = generator.normal(0, sizes["clip"], 60)
        of_subject = generator.normal(0, sizes["subject"], 20)
        by_sample = (of_clip + of_subject[clips.subjects])[clips.of_sample]
        ours = generator.normal(0, sizes["memory"], memories)[memory]
        ours = (ours + generator.normal(0, sizes["seed"], len(memory)))[:, None] + by_sample
        theirs = generator.normal(0, sizes["seed"], (others, 1)) + np.zeros_like(by_sample)
        low, high, _ = interval(
            measured(ours, tuple(memory.tolist())), clips, quick, measured(theirs, run="b")
        )
        hits += low <= 0 <= high
    assert 0.90 * trials <= hits <= 0.99 * trials


def test_intervals_without_seeds_or_subjects_are_too_narrow():
    """Clips alone hold the truth far too seldom where seeds or subjects differ."""
    clips = Clips(np.repeat(np.arange(60), 2), np.repeat(np.arange(20), 3))
    hits = {True: 0, False: 0}
    for trial in range(100):
        generator = np.random.default_rng(trial)
        values = (
            generator.normal(0, 1, (8, 1)) + generator.normal(0, 2, 20)[clips.subject_of_sample]
        )
        for clips_only in hits:
            low, high, _ = interval(measured(values), clips, REPORT, clips_only=clips_only)
            hits[clips_only] += low <= 0 <= high
    assert hits[False] >= 88 and hits[True] < 80
