"""Body files: .npz and .pkl give the same arrays; what is broken is named, and nothing is written."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import broken
import numpy as np
import pytest
import scipy.sparse

from pmnet.body import OPEN_BODY, read_body, write_body
from pmnet.body.files import KEYS
from pmnet.body.model import body_hash
from pmnet.core.errors import InputError
from stages.body import body as body_stage

MEAN = "runs/single/memory.npz"

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def open_body() -> Arrays:
    return read_body(OPEN_BODY)


def refused(file: Path, message: str) -> None:
    """Check that neither the reader nor the stage takes a file, and that nothing is written."""
    with pytest.raises(InputError, match=message) as error:
        read_body(file)
    assert str(file) in str(error.value)
    out = file.parent / "out"
    with pytest.raises(InputError, match=message):
        body_stage(file, out / "body.npz", {"default": "skeleton"}, MEAN)
    assert not out.exists()


def same(arrays: Arrays, others: Arrays) -> bool:
    return arrays.keys() == others.keys() and all(
        arrays[key].dtype == others[key].dtype and np.array_equal(arrays[key], others[key])
        for key in arrays
    )


def test_what_is_written_is_read(open_body, tmp_path):
    write_body(tmp_path / "folder" / "body.npz", open_body)
    assert same(read_body(tmp_path / "folder" / "body.npz"), open_body)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["body.npz"]


def test_arrays_are_single_precision_and_long_and_only_those_needed(open_body):
    assert tuple(open_body) == KEYS
    kinds = {key: array.dtype for key, array in open_body.items()}
    assert {kinds[key] for key in ("f", "kintree_table")} == {np.dtype(np.int64)}
    assert {kinds[key] for key in set(KEYS) - {"f", "kintree_table"}} == {np.dtype(np.float32)}
    assert open_body["kintree_table"][0, 0] == -1


def test_the_stage_writes_a_body_that_reads_the_same(open_body, tmp_path):
    body_stage(OPEN_BODY, tmp_path / "body.npz", {"default": "skeleton"}, MEAN)
    assert same(read_body(tmp_path / "body.npz"), open_body)


def official(arrays: Arrays) -> Arrays:
    """Return the arrays as an official file holds them, and some more."""
    return {
        **{key: arrays[key].astype(np.float64) for key in ("v_template", "posedirs", "weights")},
        "shapedirs": np.concatenate([arrays["shapedirs"], np.ones((6890, 3, 2))], 2),
        "f": arrays["f"].astype(np.uint32),
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"].astype(np.float64)),
        "kintree_table": (arrays["kintree_table"] % 2**32).astype(np.uint32),
        "bs_style": "lbs",
        "J": np.zeros((24, 3)),
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_the_official_pickle_gives_the_same_arrays_as_the_npz(open_body, tmp_path, protocol):
    file = tmp_path / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    file.write_bytes(pickle.dumps(official(open_body), protocol))
    read = read_body(file)
    assert same(read, open_body)
    assert body_hash(read) == body_hash(open_body)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_missing_key_is_named(open_body, tmp_path, key, suffix):
    file = tmp_path / f"body{suffix}"
    rest = {name: array for name, array in open_body.items() if name != key}
    if suffix == ".pkl":
        file.write_bytes(pickle.dumps(rest, 2))
    else:
        np.savez(file, **rest)
    refused(file, rf"missing {key}; expected the \.npz or \.pkl of SMPL")


def _first(array: np.ndarray) -> np.ndarray:
    return array[:1]


def _flat(array: np.ndarray) -> np.ndarray:
    return array.ravel()


def _nothing(array: np.ndarray) -> np.ndarray:
    return np.array(0, array.dtype)


def _text(array: np.ndarray) -> np.ndarray:
    return np.array(["text"])


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("damage", [_first, _flat, _nothing, _text])
def test_an_array_of_another_shape_or_kind_is_named(open_body, tmp_path, key, damage):
    file = tmp_path / "body.npz"
    np.savez(file, **{**open_body, key: damage(open_body[key])})
    refused(file, key)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("v_template", lambda a: a * np.nan, "v_template holds NaN or infinity"),
        ("weights", lambda a: a * 1.1, r"row \d+ of weights sums to 1.1"),
        ("f", lambda a: a + 1, "f names the vertices 1 to 6890; expected 0 to 6889"),
        ("f", lambda a: a + 0.5, "f holds float64; expected integers"),
        ("kintree_table", lambda a: a[::-1], "kintree_table"),
        ("kintree_table", lambda a: a + (a < 0) * 6, "kintree_table gives the root the parent 5"),
        ("shapedirs", lambda a: a[..., :9], "shapedirs has 9 components; expected 10 or more"),
    ],
)
def test_a_body_that_breaks_a_law_is_refused(
    open_body, tmp_path, key: str, change: Callable[[np.ndarray], np.ndarray], message: str
):
    file = tmp_path / "body.npz"
    np.savez(file, **{**open_body, key: change(open_body[key])})
    refused(file, message)


def test_a_missing_file_says_where_bodies_come_from(tmp_path):
    refused(tmp_path / "SMPL_NEUTRAL.pkl", "get SMPL from smpl.is.tue.mpg.de and set body.file")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_truncated_file_is_refused(open_body, tmp_path, share, suffix):
    file = tmp_path / f"body{suffix}"
    if suffix == ".npz":
        file.write_bytes(OPEN_BODY.read_bytes())
        message = r"not a readable \.npz .*copy or download it anew"
    else:
        file.write_bytes(pickle.dumps(open_body, 2))
        message = "is empty" if share == 0 else "is truncated"
    broken.cut(file, share)
    refused(file, message)


def test_damaged_bytes_are_refused(open_body, tmp_path):
    content = bytearray(OPEN_BODY.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file = tmp_path / "body.npz"
    file.write_bytes(content)
    refused(file, r"not a readable \.npz .*copy or download it anew")
    np.savez(file, **open_body)
    broken.spoil(file)
    refused(file, r"not a readable \.npz .*copy or download it anew")


def test_one_array_alone_is_refused(open_body, tmp_path):
    file = tmp_path / "body.npz"
    with file.open("wb") as stream:
        np.save(stream, open_body["v_template"])
    refused(file, r"not a readable \.npz")


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.made,)


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_hostile_pickle_is_refused_and_not_run(open_body, tmp_path, suffix):
    made, file = tmp_path / "made", tmp_path / f"body{suffix}"
    if suffix == ".npz":
        np.savez(file, **{**open_body, "f": np.array([Hostile(made)], object)})
    else:
        file.write_bytes(pickle.dumps({**open_body, "f": Hostile(made)}, 2))
    refused(file, "body")
    assert not made.exists()
    if suffix == ".pkl":  # the same file does run elsewhere
        pickle.loads(file.read_bytes())
        assert made.is_dir()
