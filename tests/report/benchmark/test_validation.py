"""Scores on validation: means by hand, and the best settings of each method."""

import fake_errors
import numpy as np
import pandas as pd
import pytest

from pmnet.core.errors import InputError
from pmnet.report.benchmark.validation import (
    COLUMNS,
    choices,
    read_scores,
    score,
    setbacks_percent,
    to_page,
    write_choices,
)
from pmnet.report.options import ReportOptions

REPORT = ReportOptions(tails=[5, 10], bins=6, bootstrap=100, seed=0)


def test_scores_are_means_of_each_seed(tmp_path):
    files = [
        fake_errors.write(
            tmp_path / run / "errors.parquet", fake_errors.frame_of(run, gain, seeds=2), **about
        )
        for run, (about, gain) in fake_errors.RUNS.items()
    ]
    log = pd.DataFrame(
        {"step": [100, 600, 700, 800, 900], "keypoints_3d": [9.0, 2.0, 2.3, 1.0, 1.05]}
    )
    (tmp_path / "single/train").mkdir()
    log.to_csv(tmp_path / "single/train/seed_1.csv", index=False)
    out = tmp_path / "validation.csv"
    rows = score(files, out, REPORT)
    table = read_scores(out)
    assert len(table) == rows
    wanted = pd.read_parquet(files[0])
    run = wanted["run"].iloc[0]
    for (dataset, seed), part in wanted[wanted["inference"] == "model"].groupby(
        ["dataset", "seed"]
    ):
        cells = table[
            (table["run"] == run) & (table["dataset"] == dataset) & (table["seed"] == seed)
        ]
        cells = cells.set_index("subset")
        far = part.nlargest(max(1, len(part) // 10), "distance_to_mean_mm")
        assert cells.loc["all", "mpvpe_mm"] == pytest.approx(part["mpvpe_mm"].mean(), abs=6e-4)
        assert cells.loc["tail_10", "pa_mpjpe_mm"] == pytest.approx(
            far["pa_mpjpe_mm"].mean(), abs=6e-4
        )
        assert cells.loc["tail_10", "n"] == len(far)
    lost = table[(table["run"] == "single") & (table["seed"] == 1)]["setbacks_percent"]
    assert set(lost) == {25.0} and table["setbacks_percent"].isna().sum() == len(table) - len(lost)
    score(files[:1], out, REPORT)  # again: in place of what is there
    assert len(read_scores(out)) == rows


def test_a_setback_is_a_tenth_above_the_lowest_loss():
    log = pd.DataFrame({"step": [500, 1000, 1500, 2000], "keypoints_3d": [0.1, 10.0, 10.9, 11.1]})
    assert setbacks_percent(log) == pytest.approx(100 / 3)


def rows_of(run: str, errors: list[float]) -> list[dict[str, object]]:
    numbers = dict.fromkeys(COLUMNS[5:], np.nan)
    about = {"run": run, "dataset": "val", "subset": "all", "n": 10}
    return [{**numbers, **about, "seed": seed, "mpvpe_mm": e} for seed, e in enumerate(errors)]


def test_the_best_of_those_with_most_seeds_is_chosen(tmp_path):
    rows = [
        *rows_of("single+1", [100.0, 110.0]),
        *rows_of("single+2", [99.0, 113.0]),
        *rows_of("single+3", [90.0]),  # lucky
        *rows_of("p3dh+1", [95.0]),
    ]
    table = choices(pd.DataFrame(rows, columns=COLUMNS))
    assert list(table["run"]) == ["p3dh+1", "single+3", "single+1", "single+2"]
    assert list(table[table["chosen"]]["run"]) == ["p3dh+1", "single+1"]
    assert "| single+1 | 2 | 105.0 ± 7.1 |" in to_page(table)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "validation.csv", index=False)
    write_choices(tmp_path)
    assert pd.read_csv(tmp_path / "tables/validation.csv")["mpvpe_mm_all"].tolist() == [
        95,
        90,
        105,
        106,
    ]
    (tmp_path / "validation.csv").write_text("run,seed\n")
    with pytest.raises(InputError, match=r"validation\.csv: the columns are run,seed, not"):
        write_choices(tmp_path)
