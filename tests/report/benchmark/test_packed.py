"""Packed errors: what goes in comes out again, to the stated rounding, and broken files are refused."""

import json
from pathlib import Path

import fake_errors
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_benchmark import packed_benchmark, to_rows, write_benchmark

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import METRICS, read_errors
from pmnet.report import tables
from pmnet.report.benchmark.packed import METADATA, load_packed
from pmnet.report.benchmark.packing import Kept, pack
from pmnet.report.curves import curves
from pmnet.report.options import ReportOptions
from pmnet.report.run_errors import RunErrors

REPORT = ReportOptions(tails=[5, 10], bins=6, bootstrap=50, seed=0)
ORDER = ["run", "dataset", "seed", "inference", "sample"]
BODILESS = {"datasets": ("cmu", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp", "samples": 40}


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(ORDER, ignore_index=True)


@pytest.fixture(scope="module", params=[{"samples": 60}, BODILESS], ids=["bodies", "bodiless"])
def files(request, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fake_errors.write_runs(tmp_path_factory.mktemp("runs"), **request.param)


@pytest.fixture(scope="module")
def both(files) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the files, and those of the packed file."""
    out = files[0].parent.parent / "packed.parquet"
    pack(files, out)
    return ordered(read_errors(files)), ordered(to_rows(load_packed([out])))


def test_errors_come_back_to_a_quarter_of_a_millimetre_and_all_else_as_it_was(both):
    before, after = both
    rest = [name for name in before if name not in METRICS]
    pd.testing.assert_frame_equal(before[rest], after[rest], check_dtype=False)
    for metric in METRICS:
        assert (before[metric].isna() == after[metric].isna()).all()
        assert (before[metric] - after[metric]).abs().max() <= 0.25 + 1e-9


def test_tables_and_curves_are_those_of_the_files(both):
    before, after = both
    for make in (tables.table2, tables.table3, tables.table4, curves):
        one, other = (make(RunErrors.of_rows(rows), REPORT) for rows in both)
        numbers = one.select_dtypes("number").columns
        assert np.allclose(
            one[numbers].astype(float), other[numbers].astype(float), atol=0.5, equal_nan=True
        )
        texts = one.columns.difference(numbers)
        pd.testing.assert_frame_equal(one[texts], other[texts])
    assert set(before["method"]) == set(after["method"])


def test_what_is_equal_is_stored_once(tmp_path):
    packed = packed_benchmark(tmp_path, samples=20)
    stored = pq.read_schema(tmp_path / "errors.parquet").names
    assert "p3dh_k50_l5.0/1/oracle/chosen" not in stored
    rows = fake_errors.frame_of("p3dh_k50_l5.0", 0, samples=20, seeds=1)
    chosen = rows[rows["inference"] == "oracle"]["chosen"]
    assert list(packed.column("p3dh_k50_l5.0", 1, "oracle", "chosen")) == list(chosen)
    assert list(pd.read_parquet(tmp_path / "errors.parquet")["sample"]) == list(range(20))


def test_what_starts_from_the_right_prototype_is_not_repeated(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=20)
    model, right = rows["inference"] == "model", rows["chosen"] == rows["assigned"]
    oracle = rows["inference"] == "oracle"
    errors = rows.loc[model, "mpvpe_mm"].to_numpy()
    rows.loc[oracle, "mpvpe_mm"] = np.where(right[model], errors, errors / 2)
    path = fake_errors.write(tmp_path / "run.parquet", rows)
    pack([path], tmp_path / "packed.parquet")
    stored = pd.read_parquet(tmp_path / "packed.parquet")["a/0/oracle/mpvpe_half_mm"]
    assert list(stored.notna()) == list(~right[oracle][:20])
    found = load_packed([tmp_path / "packed.parquet"]).errors("a", "oracle", "mpvpe_mm").ravel()
    assert np.abs(found - rows.loc[oracle, "mpvpe_mm"]).max() <= 0.25 + 1e-9


def test_numbers_by_seed_and_sample(tmp_path):
    packed = packed_benchmark(tmp_path, samples=20)
    rows = read_errors(write_benchmark(tmp_path / "runs", samples=20)[:5])
    one = rows[(rows["run"] == "p3dh_k50_l5.0") & (rows["inference"] == "oracle")]
    expected = one.pivot(index="seed", columns="sample", values="mpjpe_mm")
    found = packed.errors("p3dh_k50_l5.0", "oracle", "mpjpe_mm")
    assert found.shape == (2, 20) and np.abs(found - expected).max().max() <= 0.25 + 1e-9
    assert packed.right("p3dh_ramp").shape == (1, 20)
    assert list(packed.right("p3dh_ramp")[0]) == [row % 4 != 0 or row == 0 for row in range(20)]


def test_one_test_set_is_chosen(tmp_path):
    paths = fake_errors.write_runs(tmp_path, datasets=("a", "b"), samples=20)
    pack(paths, tmp_path / "packed.parquet")
    packed = load_packed([tmp_path / "packed.parquet"])
    assert set(packed.of_dataset("b").samples["dataset"]) == {"b"}
    expected = packed.errors("single", "model", "mpvpe_mm")[1, packed.datasets()["b"]]
    found = packed.of_dataset("b").errors("single", "model", "mpvpe_mm")[1]
    assert list(found) == list(expected)
    assert set(packed.of_dataset(None).samples["dataset"]) == {"a", "b"}
    with pytest.raises(InputError, match="a, b; choose one with --dataset"):
        packed.of_dataset("c")


def test_runs_may_differ_in_selection_but_not_in_protocol(tmp_path):
    one, two = (tmp_path / name / "errors.parquet" for name in ("a", "b"))
    fake_errors.write(one, fake_errors.frame_of("a", 0, samples=10))
    fake_errors.write(two, fake_errors.frame_of("b", 0, samples=10), selection="soft")
    pack([one, two], tmp_path / "packed.parquet")
    packed = load_packed([tmp_path / "packed.parquet"])
    assert [facts.selection for facts in packed.runs.values()] == ["hard", "soft"]
    fake_errors.write(two, fake_errors.frame_of("b", 0, samples=10), protocol="none")
    with pytest.raises(InputError, match="protocol is 'none'"):
        pack([one, two], tmp_path / "packed.parquet")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda rows: rows.assign(mpvpe_mm=17000.0),
            "mpvpe_mm is 17000, but packed errors hold up to",
        ),
        (lambda rows: rows.assign(chosen=40000), "chosen is 40000"),
        (
            lambda rows: rows[(rows["seed"] == 0) | (rows["inference"] != "oracle")],
            "an inference lacks a seed",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, spoil, words):
    path = fake_errors.write(
        tmp_path / "e.parquet", spoil(fake_errors.frame_of("a", 0, samples=10))
    )
    with pytest.raises(InputError, match=words) as refused:
        pack([path], tmp_path / "packed.parquet")
    assert str(path) in str(refused.value)
    assert not (tmp_path / "packed.parquet").exists()


def test_broken_files_are_refused_by_name_with_a_cure(tmp_path):
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    run = fake_errors.write(tmp_path / "run.parquet", fake_errors.frame_of("a", 0, samples=10))
    pack([run], good)
    cut = good.read_bytes()[:-9]
    for content in (None, b"run,seed\n", cut, run.read_bytes()):
        bad.unlink(missing_ok=True)
        if content is not None:
            bad.write_bytes(content)
        with pytest.raises(InputError, match="pack the errors of the runs again") as refused:
            load_packed([bad])
        assert str(refused.value).startswith(f"{bad}: ")


def test_distances_may_differ_by_the_rounding_of_another_machine(tmp_path):
    for name, more, fits in (("b", 1e-3, True), ("c", 1.0, False)):
        for run, shift in (("a", 0.0), (name, more)):
            rows = fake_errors.frame_of(run, 0, samples=10)
            rows["distance_to_mean_mm"] += shift
            file = tmp_path / f"{run}.parquet"
            pack([fake_errors.write(tmp_path / "run.parquet", rows)], file)
        if fits:
            assert list(load_packed([tmp_path / "a.parquet", file]).runs) == ["a", name]
        else:
            with pytest.raises(InputError, match="other samples than"):
                load_packed([tmp_path / "a.parquet", file])


def test_packed_files_of_other_samples_or_the_same_seed_are_refused(tmp_path):
    for name, run, samples in (("a", "a", 10), ("b", "b", 12), ("c", "a", 10)):
        rows = fake_errors.frame_of(run, 0, samples=samples)
        pack([fake_errors.write(tmp_path / "run.parquet", rows)], tmp_path / f"{name}.parquet")
    for other, words in (("b", "other samples than"), ("c", "a/0, a/1: also in")):
        with pytest.raises(InputError, match=words) as refused:
            load_packed([tmp_path / "a.parquet", tmp_path / f"{other}.parquet"])
        assert str(refused.value).startswith(str(tmp_path / f"{other}.parquet"))


def packed_seed(folder: Path, rows: pd.DataFrame, seed: int, **about: int) -> Path:
    file = fake_errors.write(folder / "run.parquet", rows[rows["seed"] == seed], **about)
    pack([file], folder / f"{seed}.parquet")
    return folder / f"{seed}.parquet"


def test_seeds_of_a_run_in_several_files_are_one_run(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=10, seeds=3)
    rows["memory_seed"] = rows["seed"] + 5
    paths = [packed_seed(tmp_path, rows, seed) for seed in (2, 0, 1)]
    packed = load_packed(paths)
    assert packed.facts("a").seeds == (0, 1, 2) and packed.facts("a").memory_seeds == (5, 6, 7)
    parts = [load_packed([path]) for path in sorted(paths)]
    alone = [part.errors("a", "model", METRICS[0])[0] for part in parts]
    assert (packed.errors("a", "model", METRICS[0]) == np.stack(alone)).all()
    together = pd.concat([to_rows(part) for part in parts])
    pd.testing.assert_frame_equal(ordered(to_rows(packed)), ordered(together))


def test_packed_files_are_packed_again_without_what_is_not_kept(tmp_path):
    shape = {"datasets": ("a", "b"), "samples": 20}
    rows = fake_errors.frame_of("p", 0, seeds=3, **shape)
    parts = [packed_seed(tmp_path, rows, seed) for seed in (0, 1, 2)]
    fresh = fake_errors.write(tmp_path / "q.parquet", fake_errors.frame_of("q", 1, **shape))
    kept = Kept(["b"], ["oracle", "q:chosen_prototype"])
    pack([*parts, fresh], out := tmp_path / "again.parquet", kept)
    found, whole = load_packed([out]), load_packed(parts)
    assert set(found.samples["dataset"]) == {"b"} and list(found.runs) == ["p", "q"]
    assert found.facts("p").seeds == (0, 1, 2)
    assert found.facts("p").inferences == ("model", "oracle")
    assert set(found.facts("q").inferences) == {"model", "oracle", "chosen_prototype"}
    for inference in ("model", "oracle"):
        for metric in METRICS:
            expected = whole.errors("p", inference, metric)[:, whole.datasets()["b"]]
            assert (found.errors("p", inference, metric) == expected).all()
    assert (found.right("p") == whole.right("p")[:, whole.datasets()["b"]]).all()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (Kept(["c"]), "has no errors on c; --dataset takes cmu"),
        (Kept(inferences=["orakle"]), "--inference orakle: no run has it; they have .*oracle"),
    ],
)
def test_what_no_file_has_cannot_be_kept(tmp_path, kept, words):
    path = fake_errors.write(tmp_path / "a.parquet", fake_errors.frame_of("a", 0, samples=10))
    with pytest.raises(InputError, match=words):
        pack([path], tmp_path / "packed.parquet", kept)
    assert not (tmp_path / "packed.parquet").exists()


def test_a_run_that_is_packed_and_not_packed_is_refused(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=10, seeds=1)
    path = fake_errors.write(tmp_path / "a.parquet", rows)
    pack([path], packed := tmp_path / "packed.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: run a is in another file too"):
        pack([packed, path], tmp_path / "again.parquet")


def test_packed_runs_of_another_protocol_are_refused(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=10, seeds=1)
    one = packed_seed(tmp_path, rows, 0)
    other = fake_errors.write(tmp_path / "b.parquet", rows.assign(run="b"), protocol="none")
    with pytest.raises(InputError, match=r"b\.parquet: protocol of b is 'none', but 'alignment"):
        pack([one, other], tmp_path / "again.parquet")


@pytest.mark.parametrize("lacking", ["subject", "memory_seeds"])
def test_files_of_an_earlier_version_are_refused(tmp_path, lacking):
    new, old = tmp_path / "new.parquet", tmp_path / "old.parquet"
    rows = fake_errors.frame_of("a", 0, samples=10)
    pack([fake_errors.write(tmp_path / "run.parquet", rows)], new)
    table = pq.read_table(new)
    about = json.loads(table.schema.metadata[METADATA])
    if lacking in table.column_names:
        table = table.drop_columns(lacking)
    else:
        del about["runs"]["a"][lacking]
    pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(about)}), old)
    with pytest.raises(InputError, match=rf"{lacking}.*pack the errors of the runs again"):
        load_packed([old])


def test_seeds_of_other_settings_are_refused(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=10)
    paths = [packed_seed(tmp_path, rows, seed, k=seed + 5) for seed in (0, 1)]
    with pytest.raises(InputError, match=r"1\.parquet: a has other settings"):
        load_packed(paths)


def test_a_seed_that_is_in_two_files_is_refused_with_both_names(tmp_path):
    rows = fake_errors.frame_of("a", 0, samples=10, seeds=3)
    paths = [packed_seed(tmp_path, rows, seed) for seed in (0, 1, 2)]
    again = tmp_path / "again.parquet"
    again.write_bytes(paths[1].read_bytes())
    with pytest.raises(
        InputError, match=r"again\.parquet: a/1: also in .*/1\.parquet; pack a seed"
    ):
        load_packed([*paths, again])
