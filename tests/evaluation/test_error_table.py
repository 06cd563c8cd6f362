"""Errors are read strictly: what is broken, foreign or of other samples is refused by name."""

from pathlib import Path

import fake_errors
import pandas as pd
import pytest
from rows import rows_of

from pmnet.core.errors import InputError
from pmnet.evaluation.error_table import KEY, METHODS, read_errors
from pmnet.report.statistics import tail

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    return read_errors(fake_errors.write_runs(folder, datasets=("cmu", "made"), samples=100))


def test_all_rows_are_read_with_what_the_file_says_of_its_run(frame):
    assert len(frame) == 5 * 2 * 2 * 100 * len(fake_errors.INFERENCES)
    methods = frame.drop_duplicates("run").set_index("run")["method"]
    assert tuple(methods) == METHODS
    assert set(frame["protocol"]) == {fake_errors.ABOUT["protocol"]}
    assert set(frame["k"]) == {1, 50} and set(frame["selection"]) == {"hard"}


def test_a_path_given_twice_is_read_once(tmp_path):
    path = fake_errors.write(tmp_path / "e.parquet", rows_of([1, 2]))
    assert len(read_errors([path, path])) == 2


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("mpjpe_mm", NAN, "NaN or infinite in 1 of 3 rows"),
        ("mpvpe_mm", INF, "NaN or infinite in 1 of 3 rows"),
        ("distance_to_mean_mm", NAN, "NaN or infinite in 1 of 3 rows"),
    ],
)
def test_a_bad_number_is_refused_with_file_column_and_cure(tmp_path, column, value, words):
    rows = rows_of([1, 2, 3])
    rows.loc[1, column] = value
    path = fake_errors.write(tmp_path / "bad.parquet", rows)
    with pytest.raises(InputError, match=words) as refused:
        read_errors([path])
    assert str(path) in str(refused.value) and column in str(refused.value)
    assert "dvc repro" in str(refused.value)


def test_a_data_set_without_bodies_has_joint_errors_only(tmp_path):
    rows = pd.concat([rows_of([1, 2]), rows_of([NAN] * 3, "mpi_inf_3dhp", mpvpe_mm=NAN)])
    path = fake_errors.write(tmp_path / "e.parquet", rows)
    read = read_errors([path])
    assert len(read) == 5 and set(read[tail(read, 10)]["dataset"]) == {"cmu"}


BODILESS = {"datasets": ("cmu", "mpi_inf_3dhp"), "bodiless": "mpi_inf_3dhp", "samples": 30}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.drop(rows[(rows["dataset"] == "mpi_inf_3dhp")].index[-1]),
        lambda rows: rows.drop(rows[rows["inference"] == "oracle"].index[-1]),
        lambda rows: rows[(rows["dataset"] == "cmu") | (rows["inference"] != "mean")],
        lambda rows: pd.concat([rows, rows[rows["sample"] == 0].assign(sample=30)]),
        lambda rows: pd.concat(
            [rows, rows[rows["dataset"] == "mpi_inf_3dhp"].assign(inference="oracle")]
        ),
    ],
)
def test_each_inference_must_hold_all_samples_that_it_can_have(tmp_path, spoil):
    one, two, *_ = fake_errors.write_runs(tmp_path, **BODILESS, seeds=1)
    rows = fake_errors.frame_of("naive_k50", 0.0, BODILESS["datasets"], 30, 1)
    rows = fake_errors.without_bodies(rows, "mpi_inf_3dhp")
    fake_errors.write(two, rows, space="parameter")
    read_errors([one, two])
    fake_errors.write(two, spoil(rows), space="parameter")
    with pytest.raises(InputError, match="must hold the same samples"):
        read_errors([one, two])


@pytest.mark.parametrize("lacking", [["subject"], ["subject", "memory_seed"]])
def test_a_file_of_an_earlier_version_is_to_be_evaluated_again(tmp_path, lacking):
    rows = rows_of([1, 2, 3]).drop(columns=lacking)
    path = fake_errors.write(tmp_path / "old.parquet", rows)
    with pytest.raises(InputError, match="evaluate that run again") as refused:
        read_errors([path])
    assert str(refused.value).startswith(
        f"{path}: an earlier version wrote it, without the columns"
    )
    assert all(name in str(refused.value) for name in lacking)


def broken(folder: Path, how: str) -> Path:
    path = fake_errors.write(folder / "broken.parquet", rows_of([1, 2, 3]))
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif how == "foreign":
        path.write_text("run,seed\n")
    elif how == "no header":
        rows_of([1, 2, 3]).to_parquet(path)
    elif how == "no column":
        fake_errors.write(path, rows_of([1, 2, 3]).drop(columns="sequence"))
    elif how == "words for numbers":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(mpvpe_mm="far"))
    elif how == "nothing chosen":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(chosen=pd.array([0, None, 1], "Int64")))
    elif how == "two memories":
        rows_ = rows_of([1, 2, 3]).assign(memory_seed=[0, 1, 1])
        fake_errors.write(path, rows_)
    elif how == "two runs":
        fake_errors.write(path, rows_of([1, 2, 3]).assign(run=["a", "a", "b"]))
    elif how == "empty":
        fake_errors.write(path, rows_of([1]).iloc[:0])
    return path


@pytest.mark.parametrize(
    "how",
    [
        "missing",
        "cut",
        "foreign",
        "no header",
        "no column",
        "words for numbers",
        "nothing chosen",
        "two memories",
        "two runs",
        "empty",
    ],
)
def test_a_broken_file_is_refused_by_name_with_a_cure(tmp_path, how):
    path = broken(tmp_path, how)
    with pytest.raises(InputError, match=r"evaluate that run again") as refused:
        read_errors([path])
    assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "how", ["fewer", "other sequences", "other subjects", "other distances", "twice", "order"]
)
def test_files_of_other_samples_are_refused(tmp_path, how):
    first = fake_errors.write(tmp_path / "a.parquet", rows_of([1, 2, 3], run="a"))
    rows = rows_of([1, 2, 3], run="b")
    if how == "fewer":
        rows = rows.iloc[:2]
    elif how == "other sequences":
        rows = rows.assign(sequence="one")
    elif how == "other subjects":
        rows = rows.assign(subject="one")
    elif how == "other distances":
        rows = rows.assign(distance_to_mean_mm=[1.0, 2.0, 4.0])
    elif how == "twice":
        rows = rows.assign(sample=[0, 1, 1])
    elif how == "order":
        rows = rows.iloc[::-1]
    second = fake_errors.write(tmp_path / "b.parquet", rows)
    if how == "order":
        assert len(read_errors([first, second])) == 6
        return
    with pytest.raises(InputError, match="same samples") as refused:
        read_errors([first, second])
    assert str(second) in str(refused.value)


def test_files_of_other_protocols_or_of_one_run_are_refused(tmp_path):
    first = fake_errors.write(tmp_path / "a.parquet", rows_of([1, 2], run="a"))
    other = fake_errors.write(tmp_path / "b.parquet", rows_of([1, 2], run="b"), protocol="none")
    again = fake_errors.write(tmp_path / "c.parquet", rows_of([1, 2], run="a"))
    with pytest.raises(InputError, match=r"b\.parquet: protocol is 'none'"):
        read_errors([first, other])
    with pytest.raises(InputError, match=r"c\.parquet: run a is also in"):
        read_errors([first, again])
    with pytest.raises(InputError, match="--errors"):
        read_errors([])


def test_keys_tell_samples_apart(frame):
    one = frame[(frame["run"] == "single") & (frame["seed"] == 0) & (frame["inference"] == "mean")]
    assert not one.duplicated(KEY).any()
