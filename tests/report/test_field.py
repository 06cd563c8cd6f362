"""Balanced errors, and means per action and sequence: by hand, and as an independent evaluation has them."""

import fake_errors
import field_rules
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pmnet.cli import app
from pmnet.report.field import action_of, farthest, field_metrics
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import balanced_bins, balanced_mean


def balanced_of(distances: np.ndarray, errors: np.ndarray) -> float:
    return balanced_mean(errors[None], balanced_bins(distances))


def test_the_balanced_mean_by_hand():
    """Bins of 1 mm from 0 to 100: what lies on an edge, or just above it, is of the bin below."""
    distances = np.array([0.0, 0.5, 1.0, 1.0005, 1.002, 99.5, 100.0])
    errors = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0])
    # bin 0: 10 20 30 40; bin 1: 50; bin 99: 60 80
    assert balanced_of(distances, errors) == pytest.approx((25 + 50 + 70) / 3)
    assert balanced_of(np.full(4, 7.0), np.array([1.0, 2.0, 3.0, 6.0])) == 3


def test_the_tail_is_cut_down_to_whole_samples():
    distances = np.arange(39.0)
    assert farthest(distances, 10).tolist() == [38, 37, 36]  # 3.9
    assert farthest(distances, 5).tolist() == [38]
    assert farthest(distances[:9], 10).tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_balanced_errors_are_those_of_the_independent_evaluation(seed):
    generator = np.random.default_rng(seed)
    distances = generator.gamma(4, 60, 997)
    distances[:100] = np.round(distances[:100])
    errors = 40 + distances * 0.2 + generator.normal(0, 9, 997)
    expected = field_rules.ihmr(distances, errors)
    assert balanced_of(distances, errors) == pytest.approx(expected["all"], abs=1e-9)
    for percent in (10, 5):
        found = errors[farthest(distances, percent)].mean()
        assert found == pytest.approx(expected[f"tail_{percent}"], abs=1e-9)


@pytest.mark.parametrize(
    ("sequence", "action"),
    [
        ("S9_Directions_1", "Directions"),
        ("S11_Sitting_Down_2", "Sitting_Down"),
        ("S9_Walking", "Walking"),
        ("S9_act_02_subact_01", "act_02"),
        ("downtown_walk_00", None),
        ("TS3", None),
    ],
)
def test_the_action_of_a_clip(sequence, action):
    assert action_of(sequence) == action


@pytest.fixture
def files(tmp_path):
    """Return the errors of two runs on clips of Human3.6M, with a data set without bodies beside them."""
    names = ["S9_Directions_1", "S9_Directions", "S11_Eating_1", "S9_Eating_2"]
    paths = []
    for run, k in (("single", 1), ("p3dh_k50_l5.0", 50)):
        rows = fake_errors.frame_of(run, 0.05 * (k > 1), ("h36m", "mpi_inf_3dhp"), 40, 2)
        rows = fake_errors.without_bodies(rows, "mpi_inf_3dhp")
        rows.loc[rows["dataset"] == "h36m", "sequence"] = [
            names[sample % 3] for sample in rows.loc[rows["dataset"] == "h36m", "sample"]
        ]
        paths.append(fake_errors.write(tmp_path / f"{run}.parquet", rows, k=k))
    return paths


def test_means_per_action_and_sequence_by_hand(files):
    table = field_metrics(RunErrors.read(files))
    rows = pd.read_parquet(files[0]).query("inference == 'model' and dataset == 'h36m'")
    rows["action"] = rows["sequence"].str.split("_").str[1]
    here = table.query("run == 'single' and dataset == 'h36m' and metric == 'mpjpe'")
    for rule, column in (("action", "action"), ("sequence", "sequence")):
        expected = rows.groupby(column)["mpjpe_mm"].mean()
        found = here[here["rule"] == rule].set_index("group")["value"]
        assert set(found.index) == {"all", *expected.index}
        for group, value in expected.items():
            assert found[group] == pytest.approx(value)
        assert found["all"] == pytest.approx(expected.mean())
    balanced = here[here["rule"] == "balanced"].set_index("group")
    by_sample = rows.groupby("sample")[["distance_to_mean_mm", "mpjpe_mm"]].mean().to_numpy().T
    expected = field_rules.ihmr(*by_sample)
    assert balanced["value"].to_dict() == pytest.approx(expected)
    without = table.query("dataset == 'mpi_inf_3dhp'")
    assert set(without["rule"]) == {"sequence"} and set(without["metric"]) == {"mpjpe", "pa_mpjpe"}


def test_the_command_writes_the_table_and_says_the_protocol(files, tmp_path):
    out = tmp_path / "field.csv"
    done = CliRunner().invoke(app, ["field", *map(str, files), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert fake_errors.ABOUT["protocol"] in done.output and "tail_10" in done.output
    assert len(pd.read_csv(out)) == len(field_metrics(RunErrors.read(files)))
