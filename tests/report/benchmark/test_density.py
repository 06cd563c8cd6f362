"""Errors by the density of training bodies: halves of equal distance, their difference, broken tables."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_benchmark import packed_benchmark

from pmnet.core.errors import InputError
from pmnet.report.benchmark.density import is_sparse, of_density, read_density
from pmnet.report.benchmark.listing import BenchmarkRun, add_drafts, main_of, read_listing
from pmnet.report.benchmark.packed import load_packed
from pmnet.report.benchmark.writing import write_findings
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors
from pmnet.report.statistics import deciles

REPORT = ReportOptions(tails=[10], bins=5, bootstrap=40, seed=0)
P3DH = "p3dh_k50_l5.0"


def alternating(samples: pd.DataFrame) -> pd.Series:
    """50 and 150 in turn within each decile of distance."""
    place = samples.groupby(deciles(samples)).cumcount()
    return 50.0 + 100.0 * (place % 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A benchmark of 60 samples and a table of densities, in another order."""
    folder = tmp_path_factory.mktemp("density")
    packed = packed_benchmark(folder, samples=60)
    add_drafts(folder / "runs.csv", packed)
    keys = packed.samples[["dataset", "sample"]]
    table = keys.assign(neighbour_mm=alternating(packed.samples))
    table.sample(frac=1, random_state=0).to_parquet(folder / "density.parquet")
    write_findings(folder, None, [], REPORT)
    return folder


@pytest.fixture(scope="module")
def packed(folder) -> RunErrors:
    return load_packed(sorted(folder.glob("errors*.parquet")))


@pytest.fixture(scope="module")
def main(folder, packed) -> dict[str, BenchmarkRun]:
    return main_of(read_listing(folder / "runs.csv", packed), packed)


def test_densities_are_joined_by_name(folder, packed):
    near = read_density(folder / "density.parquet", packed.samples)
    assert near.tolist() == alternating(packed.samples).tolist()


def test_each_decile_is_cut_in_two(packed):
    near = packed.samples["distance_to_mean_mm"].to_numpy() ** 2  # density and distance as one
    sparse, bins = is_sparse(packed.samples, near), deciles(packed.samples)
    for number in range(10):
        assert sparse[bins == number].sum() == 3
        assert near[(bins == number) & sparse].min() > near[(bins == number) & ~sparse].max()
    equal = is_sparse(packed.samples, np.ones(len(bins)))
    assert np.bincount(bins[equal]).tolist() == [3] * 10


def test_the_halves_of_a_decile_make_up_its_error(folder, packed, main):
    table = pd.read_csv(folder / "tables" / "density.csv")
    assert list(table["run"].unique()) == [run.run for run in main.values()]
    bins, errors = deciles(packed.samples), packed.errors(P3DH, "model", "mpvpe_mm").mean(0)
    rows = table[table["run"] == P3DH]
    assert rows["neighbour_mm"].tolist() == [50.0, 150.0] * 10 and set(rows["n"]) == {3}
    for number, halves in rows.groupby("bin"):
        whole = errors[bins == number].mean()
        assert halves["mpvpe_mm"].mean() == pytest.approx(whole, abs=0.01)
    assert (table[table["run"] == "single"]["reduction_mm"] == 0).all()


def test_the_difference_of_the_halves_and_its_interval(packed, main):
    """Errors that are 30 mm higher where training bodies are sparse, 100 from decile to decile."""
    near, known = alternating(packed.samples).to_numpy(), packed.column
    errors = 30.0 * (near > 100) + 100.0 * deciles(packed.samples)

    def column(*key):
        return errors if key[3] == "mpvpe_mm" else known(*key)

    shifted = RunErrors(packed.samples, packed.runs, column)
    (row,) = of_density(shifted, near, {"single": main["single"]}, REPORT).to_dict("records")
    assert row["sparse_minus_dense_mm"] == pytest.approx(30.0)
    assert [row["low_mm"], row["high_mm"]] == pytest.approx([30.0, 30.0])  # in every draw
    assert row["spearman_distance"] > 0.98 and abs(row["spearman_density"]) < 0.2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda table: table.iloc[1:], r"density\.parquet: lacks 1 of 60 samples"),
        (lambda table: table.drop(columns="neighbour_mm"), "not a table of densities"),
        (None, "not a table of densities"),
    ],
)
def test_broken_tables_are_refused(folder, packed, tmp_path, spoil, words):
    path = tmp_path / "density.parquet"
    if spoil is None:
        path.write_bytes(b"PAR1 cut")
    else:
        spoil(pd.read_parquet(folder / "density.parquet")).to_parquet(path)
    with pytest.raises(InputError, match=rf"{words}.*pmnet errors density"):
        read_density(path, packed.samples)
    for file in [*folder.glob("errors*.parquet"), folder / "runs.csv"]:
        shutil.copy(file, tmp_path)
    with pytest.raises(InputError, match=words):
        write_findings(tmp_path, None, [], REPORT)
    assert not (tmp_path / "tables").exists()
