"""The headline and all main numbers agree with the rows that they are made from."""

import json

import fake_errors
import pandas as pd
import pytest

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY, METHODS, METRICS, NEED_BODIES, read_errors
from pmnet.report.curves import curves
from pmnet.report.files import write_csv
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import tail
from pmnet.report.summary import headline, summary
from stages.summary import summary as write_summary

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)
HEADLINE = [
    *("p3dh_mpvpe_mm", "p3dh_pa_mpjpe_mm", "single_mpvpe_mm"),
    *("gain_mpvpe_mm", "gain_tail_10_mpvpe_mm", "prototype_accuracy"),
]
NAN = float("nan")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    return read_errors(fake_errors.write_runs(folder, datasets=("cmu", "made"), samples=100))


def in_tail(rows: pd.DataFrame, percent: int) -> pd.DataFrame:
    """Return the rows, of all seeds, of the samples in the tail."""
    samples = rows.drop_duplicates(KEY)
    far = pd.MultiIndex.from_frame(samples[tail(samples, percent)][KEY])
    return rows[pd.MultiIndex.from_frame(rows[KEY]).isin(far)]


def test_the_summary_agrees_with_the_rows(frame):
    found = summary(RunErrors.of_rows(frame), REPORT)
    assert list(found) == [*METHODS, "constant", "gain", "prototype_accuracy"]
    p3dh = frame[(frame["method"] == "p3dh") & (frame["dataset"] == "cmu")]
    model = p3dh[p3dh["inference"] == "model"]
    numbers = found["p3dh"]["cmu"]
    for metric in METRICS:
        assert numbers[metric] == round(model[metric].mean(), 2)
    assert numbers["tail_5_mpvpe_mm"] == round(in_tail(model, 5)["mpvpe_mm"].mean(), 2)
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
    found = headline(RunErrors.of_rows(frame), REPORT)
    assert list(found) == HEADLINE
    model = frame[frame["inference"] == "model"]
    p3dh, single = (model[model["method"] == method] for method in ("p3dh", "single"))
    assert found["p3dh_mpvpe_mm"] == round(p3dh["mpvpe_mm"].mean(), 2)
    assert found["p3dh_pa_mpjpe_mm"] == round(p3dh["pa_mpjpe_mm"].mean(), 2)
    gains = [in_tail(rows, 10)["mpvpe_mm"].mean() for rows in (single, p3dh)]
    assert found["gain_tail_10_mpvpe_mm"] == pytest.approx(gains[0] - gains[1], abs=0.006)
    both = found["single_mpvpe_mm"] - found["p3dh_mpvpe_mm"]
    assert found["gain_mpvpe_mm"] == pytest.approx(both, abs=0.011)
    assert found["prototype_accuracy"] == (p3dh["assigned"] == p3dh["chosen"]).mean()


def test_the_headline_leaves_out_what_the_test_sets_cannot_give(tmp_path):
    shape = {"datasets": ("mpi_inf_3dhp",), "bodiless": "mpi_inf_3dhp", "samples": 20}
    frame = read_errors(fake_errors.write_runs(tmp_path, **shape))
    assert list(headline(RunErrors.of_rows(frame), REPORT)) == ["p3dh_pa_mpjpe_mm"]


def test_the_stage_of_the_summary_writes_headline_and_all_numbers(tmp_path):
    paths = fake_errors.write_runs(tmp_path / "runs", samples=20)
    write_summary(paths, tmp_path / "metrics.json", tmp_path / "summary.json", REPORT)
    frame = read_errors(paths)
    assert json.loads((tmp_path / "metrics.json").read_text()) == headline(
        RunErrors.of_rows(frame), REPORT
    )
    assert json.loads((tmp_path / "summary.json").read_text()) == summary(
        RunErrors.of_rows(frame), REPORT
    )


BODILESS = {"datasets": ("cmu", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp", "samples": 30}


def test_without_bodies_a_data_set_has_no_prototype_from_the_truth_and_no_curve(tmp_path):
    frame = read_errors(fake_errors.write_runs(tmp_path, **BODILESS))
    assert set(frame[frame["inference"].isin(NEED_BODIES)]["dataset"]) == {"cmu"}
    errors = RunErrors.of_rows(frame)
    assert set(curves(errors, REPORT)["dataset"]) == {"cmu"}
    found = summary(errors, REPORT)
    assert set(found["constant"]["mpi_inf_3dhp"]) == {"mpjpe_mm", "pa_mpjpe_mm"}
    assert set(found["gain"]) == set(found["prototype_accuracy"]) == {"cmu"}
    joints = RunErrors.of_rows(frame[frame["dataset"] == "mpi_inf_3dhp"])
    assert summary(joints, REPORT)["gain"] == {}
    with pytest.raises(InputError, match="no test set has bodies"):
        curves(joints, REPORT)


def test_a_table_is_written_with_two_decimals_and_no_minus_zero(tmp_path):
    rows = pd.DataFrame({"value": [5.0, 0.5], "x": [-0.001, NAN], "n": [3, 4]})
    write_csv(rows, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "value,x,n\n5,0.00,3\n0.5,,4\n"
