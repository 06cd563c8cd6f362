"""Errors in memory: rows of files in any order become arrays by seed and sample."""

import fake_errors
import numpy as np
import pandas as pd
import pytest
from rows import rows_of

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import METRICS, read_errors
from pmnet.report.run_errors import NO_PROTOTYPE, RunErrors

SHAPE = {"datasets": ("cmu", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp", "samples": 30}


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_errors(fake_errors.write_runs(tmp_path_factory.mktemp("runs"), **SHAPE))


def test_every_row_is_found_where_its_seed_and_sample_say(frame):
    errors = RunErrors.of_rows(frame.sample(frac=1, random_state=0))
    samples = errors.samples.set_index(["dataset", "sample"]).index
    for row in frame.sample(50, random_state=1).itertuples():
        place = samples.get_loc((row.dataset, row.sample))
        seed = errors.facts(row.run).seeds.index(row.seed)
        for metric in METRICS:
            found = errors.errors(row.run, row.inference, metric)[seed, place]
            assert found == getattr(row, metric) or np.isnan([found, getattr(row, metric)]).all()
        if row.inference == "model":
            assert errors.right(row.run)[seed, place] == (row.assigned == row.chosen)


def test_seeds_are_averaged_sample_by_sample(tmp_path):
    rows = pd.concat([rows_of([1, 2], mpvpe_mm=[4.0, 6.0]), rows_of([1, 2], seed=1)])
    errors = RunErrors.read([fake_errors.write(tmp_path / "e.parquet", rows)])
    assert list(errors.errors("p3dh_k50_l5.0", "model", "mpvpe_mm").mean(0)) == [2.5, 3.5]
    assert list(errors.samples["sequence"]) == ["s0", "s1"]
    assert list(errors.samples["subject"]) == ["p0", "p0"]


def test_each_seed_has_the_seed_of_its_memory(tmp_path):
    seeds = [rows_of([1, 2], seed=seed, memory_seed=seed % 2 + 5) for seed in (3, 0, 2)]
    errors = RunErrors.read([fake_errors.write(tmp_path / "e.parquet", pd.concat(seeds))])
    facts = errors.facts("p3dh_k50_l5.0")
    assert (facts.seeds, facts.memory_seeds) == ((3, 0, 2), (6, 5, 5))


def test_what_a_data_set_without_bodies_cannot_have_is_empty(frame):
    errors = RunErrors.of_rows(frame)
    lacking = errors.datasets()["mpi_inf_3dhp"]
    assert np.isnan(errors.errors("single", "oracle", "mpjpe_mm")[:, lacking]).all()
    assert np.isfinite(errors.errors("single", "model", "mpjpe_mm")).all()
    assert (errors.column("single", 0, "oracle", "assigned")[lacking] == NO_PROTOTYPE).all()
    assert set(errors.with_bodies().samples["dataset"]) == {"cmu"}


def test_some_samples_and_some_runs(frame):
    errors = RunErrors.of_rows(frame)
    where = errors.datasets()["cmu"]
    part = errors.of_samples(where).of_samples(np.arange(30) % 2 == 0)
    whole = errors.errors("single", "model", "mpvpe_mm")
    assert (part.errors("single", "model", "mpvpe_mm") == whole[:, where][:, ::2]).all()
    assert list(errors.of_runs(["3dh_k50", "single"]).runs) == ["3dh_k50", "single"]
    assert errors.protocol() == f"{fake_errors.ABOUT['protocol']}, hard selection"


def test_the_only_run_of_a_method(frame):
    errors = RunErrors.of_rows(frame)
    assert errors.run_of("random") == "random_k50"
    with pytest.raises(InputError, match="one run of the method random, got none"):
        errors.of_runs(["single"]).run_of("random")
