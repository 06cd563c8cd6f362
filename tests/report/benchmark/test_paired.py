"""Gains, gaps and deciles, against the same statistics made from rows, and by hand."""

import json
import re
from dataclasses import replace
from pathlib import Path

import fake_errors
import numpy as np
import pandas as pd
import pytest
from fake_benchmark import packed_benchmark, to_rows

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY
from pmnet.report.benchmark.claim import claim
from pmnet.report.benchmark.deciles import by_decile
from pmnet.report.benchmark.listing import (
    COLUMNS,
    BenchmarkRun,
    add_drafts,
    main_of,
    read_listing,
)
from pmnet.report.benchmark.pages import to_page
from pmnet.report.benchmark.paired import paired
from pmnet.report.options import ReportOptions
from pmnet.report.redraws import Clips
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import Measured, deciles, interval, tail
from pmnet.report.wording import gain_in_words

REPORT = ReportOptions(tails=[5, 10], bins=6, bootstrap=100, seed=0)
P3DH = "p3dh_k50_l5.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmark")


@pytest.fixture(scope="module")
def packed(folder) -> RunErrors:
    return packed_benchmark(folder, samples=100)


@pytest.fixture(scope="module")
def runs(folder, packed) -> list[BenchmarkRun]:
    add_drafts(folder / "runs.csv", packed)
    return read_listing(folder / "runs.csv", packed)


@pytest.fixture(scope="module")
def table(packed, runs) -> pd.DataFrame:
    return paired(packed, runs, [], REPORT)


def one(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def in_tail(rows: pd.DataFrame, percent: int) -> pd.DataFrame:
    """Return the rows, of all runs and seeds, of the samples in the tail."""
    samples = rows.drop_duplicates(KEY)
    return rows[rows["sample"].isin(samples[tail(samples, percent)]["sample"])]


@pytest.mark.parametrize("metric", ["mpvpe", "pa_mpjpe"])
@pytest.mark.parametrize("subset", ["all", "tail_10", "tail_5"])
def test_a_gain_is_that_of_pairs_of_rows(packed, table, metric, subset):
    column = f"{metric}_mm"
    row = one(table, run=P3DH, against="single", metric=metric, subset=subset)
    rows = to_rows(packed.of_runs([P3DH, "single"])).query("inference == 'model'")
    rows = rows if subset == "all" else in_tail(rows, int(subset.removeprefix("tail_")))
    ours, theirs = (rows[rows["run"] == run] for run in (P3DH, "single"))
    facts = [*KEY, "subject", "sequence"]
    by_seed = [part.pivot(index=facts, columns="seed", values=column) for part in (ours, theirs)]
    both = (by_seed[1].mean(axis=1) - by_seed[0].mean(axis=1)).reset_index(name="gain")
    assert row["gain_mm"] == pytest.approx(both["gain"].mean())
    clips = Clips.of(both)
    own, other = (
        Measured(values.to_numpy().T, (0, 0), run)
        for values, run in zip(by_seed, "ab", strict=True)
    )
    for suffix, clips_only in (("", False), ("_clips", True)):
        expected = interval(own, clips, REPORT, other, clips_only=clips_only)
        found = row[f"low{suffix}_mm"], row[f"high{suffix}_mm"]
        assert found == pytest.approx(expected[:2])
    subjects = "subjects x " * (subset == "all")  # in the tails each subject has one clip
    assert row["interval"] == f"training seeds x {subjects}clips"
    left = [both[both["subject"] != who]["gain"].mean() for who in both["subject"].unique()]
    found = row["low_without_subject_mm"], row["high_without_subject_mm"]
    assert found == pytest.approx((min(left), max(left)))
    for name, column_ in (("clips", "sequence"), ("subjects", "subject")):
        shares = both[column_].value_counts(normalize=True)
        assert row[name] == len(shares)
        assert row[f"effective_{name}"] == pytest.approx(1 / (shares**2).sum())
    means = [rows.groupby("seed")[column].mean() for rows in (ours, theirs)]
    assert row["seed_sd_mm"] == pytest.approx((means[1] - means[0]).std())
    assert (row["mean_mm"], row["against_mm"]) == pytest.approx([m.mean() for m in means])
    assert (row["n"], row["seeds"]) == (len(both), 2)


def test_what_else_is_said_of_a_run(packed, table):
    row = one(table, run=P3DH, against="3dh_k50", metric="mpvpe", subset="tail_10")
    rows = in_tail(to_rows(packed.of_runs([P3DH])), 10)
    means = rows.groupby("inference")["mpvpe_mm"].mean()
    assert row["oracle_mm"] == pytest.approx(means["oracle"])
    assert row["soft_mm"] == pytest.approx(means["soft"])
    assert row["prototype_alone_mm"] == pytest.approx(means["chosen_prototype"])
    model = rows[rows["inference"] == "model"]
    right = (model["assigned"] == model["chosen"]).mean()
    assert row["accuracy_percent"] == pytest.approx(100 * right)
    alone = table[table["run"] == "single"]
    assert set(alone["against"]) == {""} and alone["gain_mm"].isna().all()
    assert alone[["accuracy_percent", "oracle_mm", "soft_mm"]].isna().all().all()


def test_balanced_errors_are_those_of_the_rule_of_ihmr(packed, table):
    """Bins by loops: 100 of equal width, a distance on a lower edge in the bin below."""
    rows = to_rows(packed.of_runs([P3DH])).query("inference == 'model'")
    means = rows.groupby("sample")[["distance_to_mean_mm", "mpvpe_mm"]].mean().to_numpy()
    low, high = means[:, 0].min(), means[:, 0].max()
    bins: dict[int, list[float]] = {}
    for distance, error in means:
        bins.setdefault(int((distance - low) / ((high - low) / 100) - 0.001), []).append(error)
    row = one(table, run=P3DH, against="single", metric="mpvpe", subset="all")
    assert row["bmpvpe"] == pytest.approx(np.mean([np.mean(errors) for errors in bins.values()]))
    assert row["bins"] == len(bins) and 1 < len(bins) < 100
    far = one(table, run=P3DH, against="single", metric="mpvpe", subset="tail_5")
    assert far["bmpvpe"] == far["mean_mm"] and pd.isna(far["bins"])
    assert table[table["metric"] != "mpvpe"]["bmpvpe"].isna().all()


def test_any_number_of_test_sets(tmp_path):
    """Each test set has rows, deciles, a claim and a page of its own, as if it were alone."""
    both = packed_benchmark(tmp_path, samples=60, datasets=("one", "two"))
    add_drafts(tmp_path / "runs.csv", both)
    runs = read_listing(tmp_path / "runs.csv", both)
    found = paired(both.of_dataset(None), runs, [], REPORT)
    assert list(found["dataset"].unique()) == ["one", "two"]
    main = main_of(runs, both)["single"]
    for name in ("one", "two"):
        alone = both.of_dataset(name)
        own = found[found["dataset"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, paired(alone, runs, [], REPORT))
        deciles_ = by_decile(both, runs, main, REPORT).query("dataset == @name")
        expected = by_decile(alone, runs, main, REPORT)
        pd.testing.assert_frame_equal(deciles_.reset_index(drop=True), expected)
    claims = claim(found, both, runs)
    two = claim(found[found["dataset"] == "two"], both.of_dataset("two"), runs)
    assert claims["more"]["two"] == two and claims["sentence"].count("two: P3DH against") == 1
    page = to_page(found, runs, "protocol")
    assert "## one: Controls" in page and "## two: Controls" in page


def test_with_other_seeds_the_spread_is_that_of_the_run(packed, table):
    assert one(table, run="p3dh_k10_l5.0", metric="mpvpe", subset="all")["seeds"] == 1
    assert table[table["run"] == "p3dh_k10_l5.0"]["seed_sd_mm"].isna().all()


def test_the_share_of_the_gap(packed, table):
    row = one(table, run="p3dh_ramp", against=P3DH, metric="mpvpe", subset="tail_5")
    p3dh = one(table, run=P3DH, against="single", metric="mpvpe", subset="tail_5")
    gap = p3dh["mean_mm"] - p3dh["oracle_mm"]
    assert row["gap_closed_percent"] == pytest.approx(100 * row["gain_mm"] / gap)
    assert row["gain_mm"] == pytest.approx(p3dh["mean_mm"] - row["mean_mm"])


def test_another_selection_is_a_run_of_its_own(packed, table):
    where = {"metric": "mpvpe", "subset": "all"}
    row = one(table, run=f"{P3DH}:soft", against=P3DH, **where)
    plain = one(table, run=P3DH, against="single", **where)
    assert row["mean_mm"] == plain["soft_mm"] and row["oracle_mm"] == plain["oracle_mm"]
    assert row["gain_mm"] == pytest.approx(2) and (row["seeds"], row["seed_sd_mm"]) == (2, 0)
    assert f"{P3DH}:soft" in packed and f"{P3DH}:twice" not in packed


def test_any_run_can_be_the_reference_of_all(packed, runs):
    found = paired(packed, runs, ["3dh_k50"], REPORT)
    gain = {"metric": "mpvpe", "subset": "all"}
    for run in packed.runs:
        others = set(found[found["run"] == run]["against"])
        assert ("3dh_k50" in others) == (run != "3dh_k50")
    assert one(found, run="single", against="3dh_k50", **gain)["gain_mm"] < 0
    page = to_page(found, runs, "protocol")
    assert "| Single prototype |  | 2 |" in page.split("## Against other runs")[0]
    with pytest.raises(InputError, match="--against 4dh: the runs are single"):
        paired(packed, runs, ["4dh"], REPORT)


def test_the_page(table, runs):
    page = to_page(table, runs, "alignment pelvis")
    titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
    assert titles == [
        "The memories of Table II",
        "Other numbers of prototypes and weights of the limbs",
        "Controls",
        "Beyond the paper",
        "Against other runs",
        "What the right prototype would give",
    ]
    row = one(table, run=P3DH, against="single", metric="mpvpe", subset="tail_5")
    assert row["low_mm"] > 0
    zero = table[(table["low_mm"] <= 0) & (table["high_mm"] >= 0) & (table["subset"] == "tail_5")]
    zero = zero[zero["metric"] == "mpvpe"].iloc[0]  # not clear, and so in parentheses
    assert "; ({gain_mm:+.1f} [{low_mm:.1f}, {high_mm:.1f}]".format(**zero) in page
    shown = table.dropna(subset="gain_mm")
    clear = ((shown["low_mm"] > 0) | (shown["high_mm"] < 0)).sum()
    assert f"{clear} of the {len(shown)} gains in `paired.csv` are clear" in page
    cell = "{mean_mm:.1f}; {gain_mm:+.1f} [{low_mm:.1f}, {high_mm:.1f}] ± {seed_sd_mm:.1f}"
    assert (
        cell.format(**row) in page
        and "nan" not in page
        and "| P3DH K-Means | K-Means Naive | 2 |" in page
    )
    for block in page.split("## ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1


# --- deciles


def test_deciles_by_hand():
    samples = pd.DataFrame({"sample": range(20), "distance_to_mean_mm": [5.0] * 10 + [1.0] * 10})
    assert list(deciles(samples)) == [5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    sizes = np.bincount(deciles(samples.iloc[:17]))
    assert len(sizes) == 10 and sizes.sum() == 17 and set(sizes) == {1, 2}


def test_deciles_hold_what_the_runs_hold(packed, runs, table):
    main = main_of(runs, packed)
    found = by_decile(packed, runs, main["single"], REPORT)
    assert (found["n"] == 10).all() and len(found) == 10 * len(runs)
    means = found.groupby("run")[["mpvpe_mm", "reduction_mm", "accuracy_percent"]].mean()
    for against in ("single", P3DH):
        run = P3DH if against == "single" else "p3dh_ramp"
        row = one(table, run=run, against=against, metric="mpvpe", subset="all")
        expected = [row["mean_mm"], row["gain_mm"], row["accuracy_percent"]]
        assert list(means.loc[run]) == pytest.approx(expected)
    single = found[found["run"] == "single"]
    assert (single["reduction_mm"] == 0).all() and single["accuracy_percent"].isna().all()
    assert single["distance_mm"].is_monotonic_increasing
    assert (found["low"] <= found["mpvpe_mm"]).all() and (found["mpvpe_mm"] <= found["high"]).all()


# --- the claim


def test_the_claim_says_the_numbers_of_the_table(packed, runs, table):
    found = claim(table, packed, runs)
    cell = found["gains"]["single"]["tail_5_mpvpe"]
    text = "{gain_mm:.1f} mm [{low_mm:.1f}, {high_mm:.1f}] lower over tail 5 %".format(**cell)
    assert text in found["sentence"] and "Means of 2 seeds, 100 images" in found["sentence"]
    assert found["interval"] == "seeds x clips"
    assert found["redrawn"] == "training seeds x subjects x clips"
    row = one(table, run=P3DH, against="naive_k50", metric="mpjpe", subset="tail_10")
    clips = found["clips_only"]["naive"]["tail_10_mpjpe"]
    assert clips == pytest.approx([row["low_clips_mm"], row["high_clips_mm"]], abs=0.006)
    assert found["comparisons"]["shown"] == table["gain_mm"].notna().sum()
    assert "3DH K-Means" in found["sentence"] and set(found["gains"]) >= {"naive", "random"}
    assert json.loads(json.dumps(found)) == found


def test_a_claim_that_does_not_hold_says_so(packed, runs, table):
    turned = table.assign(
        gain_mm=-table["gain_mm"], low_mm=-table["high_mm"], high_mm=-table["low_mm"]
    )
    before, after = (claim(rows, packed, runs)["sentence"] for rows in (table, turned))
    assert " lower over tail 5 %" in before and " higher over tail 5 %" in after
    assert " lower " not in after


def test_the_claim_has_a_sentence_for_each_pair_of_control_runs(packed, runs, table):
    assert claim(table, packed, runs)["controls"] == {}  # single_ce alone is no pair
    pair = [
        replace(run, group="control", against="single_ce") if run.run == "p3dh_ramp" else run
        for run in runs
    ]
    again = paired(packed, pair, [], REPORT)
    found = claim(again, packed, pair)
    row = one(again, run="p3dh_ramp", against="single_ce", metric="mpvpe", subset="tail_5")
    told = found["controls"]["p3dh_ramp"]
    assert told["tail_5_mpvpe"]["gain_mm"] == pytest.approx(row["gain_mm"], abs=0.006)
    assert (told["label"], told["seeds"]) == ("Ramp", 1)  # single_ce has one
    assert "(1 seed). (Means of 2 seeds" in found["sentence"]
    few = again.assign(interval=again["interval"].where(again["run"] != "p3dh_ramp", "clips"))
    assert "(1 seed, redrawn: clips). (Means of" in claim(few, packed, pair)["sentence"]
    words = gain_in_words(row["gain_mm"], row["low_mm"], row["high_mm"], "tail 5 %")
    (said,) = re.findall(r"Ramp, against [^:]+: MPVPE [^;]+; PA-MPJPE", found["sentence"])
    assert words in said


def test_a_bound_that_is_printed_as_zero_is_no_gain():
    said = gain_in_words(-11.3, -22.4, -0.013, "tail 5 %")
    assert said == "no clear loss over tail 5 % (-11.3 mm [-22.4, 0.0])"
    assert gain_in_words(-11.3, -22.4, -0.06, "all") == "11.3 mm [0.1, 22.4] higher over all"


def test_what_contains_zero_is_not_a_gain(packed, runs, table):
    unclear = table.assign(low_mm=-1.0, high_mm=table["gain_mm"].abs() + 1)
    said = claim(unclear, packed, runs)["sentence"]
    assert " lower " not in said and "no clear gain over tail 5 % (+" in said
    losses = unclear.assign(gain_mm=-0.5)
    assert "no clear loss over all (-0.5 mm [-1.0, " in claim(losses, packed, runs)["sentence"]


# --- runs.csv


def test_drafts_know_the_graph_and_leave_lines_as_they_are(folder, packed, runs):
    groups = {run.run: run.group for run in runs}
    assert [run for run, group in groups.items() if group == "main"] == list(fake_errors.RUNS)
    assert {run for run, group in groups.items() if group == "sweep"} == {
        "p3dh_k10_l5.0",
        "p3dh_k100_l5.0",
        "p3dh_k50_l1.0",
    }
    assert (groups["single_ce"], groups[f"{P3DH}:soft"]) == ("control", "beyond")
    (ramp,) = (run for run in runs if run.run == "p3dh_ramp")
    told = (ramp.group, ramp.label, ramp.settings, ramp.against)
    assert told == ("beyond", "Ramp", "start scheduled", f"{P3DH} single")
    before = (folder / "runs.csv").read_bytes()
    assert add_drafts(folder / "runs.csv", packed) == []
    assert (folder / "runs.csv").read_bytes() == before
    assert {run.run: run.references for run in runs}[P3DH] == [
        "single",
        "naive_k50",
        "random_k50",
        "3dh_k50",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ramp,beyond", "ramp,best", "group of p3dh_ramp is 'best'"),
        ("soft,beyond", "soft,sweep", "group of p3dh_k50_l5.0:soft is 'sweep'"),
        ("l5.0:soft", "l5.0:hard", "run p3dh_k50_l5.0:hard: listed twice, or no errors"),
        ("single_ce,control", "single_cd,control", "run single_cd: listed twice, or no errors"),
        ("single_ce,control,single", "single_ce,control,double", "compared with double"),
        ("single_ce,control,single", "single_ce,control,single_ce", "compared with single_ce"),
        ("single_ce,control,single,single_ce,\n", "", "no line for single_ce; pmnet errors pack"),
        ("single,main", "single,sweep", "the group main needs one run each of single and p3dh"),
        (
            "p3dh_ramp,beyond",
            "p3dh_ramp,main",
            "other memory, got 3dh, naive, p3dh, p3dh",
        ),
        (
            "l5.0,main,single naive_k50",
            "l5.0,main,naive_k50",
            "is not compared with single; name it",
        ),
        ("run,group", "name,group", "not run,group,against,label,settings"),
    ],
)
def test_a_wrong_list_of_runs_is_refused(folder, packed, runs, tmp_path, old, new, words):
    text = (folder / "runs.csv").read_text()
    assert text.count(old) == 1 and text.startswith(",".join(COLUMNS))
    path = tmp_path / "runs.csv"
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=words) as refused:
        read_listing(path, packed)
    assert str(refused.value).startswith(f"{path}: ")


def test_no_list_of_runs_says_who_writes_one(packed, tmp_path):
    with pytest.raises(InputError, match=r"runs\.csv: .*pmnet errors pack writes a draft"):
        read_listing(tmp_path / "runs.csv", packed)
