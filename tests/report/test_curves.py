"""Curves of error and reduction by distance, with numbers by hand."""

import fake_errors
import numpy as np
import pandas as pd
import pytest
from rows import rows_of

from pmnet.core.errors import InputError
from pmnet.report.curves import curves
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors

REPORT = ReportOptions(tails=[5, 10], bins=10, bootstrap=200, seed=0)


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> RunErrors:
    folder = tmp_path_factory.mktemp("runs")
    return RunErrors.read(fake_errors.write_runs(folder, datasets=("cmu", "made"), samples=100))


def test_the_columns_of_the_curves_and_their_order(errors):
    found = curves(errors, REPORT)
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
    found = curves(RunErrors.read(paths), ReportOptions([5], 3, 400, 0)).set_index(["run", "bin"])
    assert list(found.loc["single", "mpvpe_mm"])[::2] == [15, 60]
    p3dh = found.loc["p3dh_k50_l5.0"]
    assert list(p3dh["n"]) == [2, 0, 2]
    assert list(p3dh["distance_mm"])[::2] == [5, 95]
    assert list(p3dh["mpvpe_mm"])[::2] == [14, 40]
    assert list(p3dh["reduction_mm"])[::2] == [1, 20]
    # one of two clips and one of two seeds, drawn twice: more than 2.5 % of the draws at either end
    assert (p3dh.loc[2, "reduction_low"], p3dh.loc[2, "reduction_high"]) == (10, 30)
    assert (p3dh.loc[2, "low"], p3dh.loc[2, "high"]) == (30, 50)
    assert p3dh.loc[1].drop(["dataset", "n"]).isna().all()


def test_the_single_prototype_reduces_nothing(errors):
    found = curves(errors, REPORT)
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
    p3dh = curves(RunErrors.read(paths), ReportOptions([5], 1, 200, 0)).iloc[1]
    assert p3dh["high"] - p3dh["low"] > 5
    assert p3dh["reduction_low"] == pytest.approx(5) == p3dh["reduction_high"]


def test_curves_without_the_single_prototype_say_what_is_missing(errors):
    with pytest.raises(InputError, match="one run of the method single, got none"):
        curves(errors.of_runs(run for run in errors.runs if run != "single"), REPORT)
