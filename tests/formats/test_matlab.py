"""MATLAB's version 5: the arrays that scipy writes and reads, and one error for damaged bytes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pmnet.core.errors import InputError
from pmnet.formats.matlab import read_mat5

KINDS = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


def write(path: Path, compressed: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    held = np.empty((3, 1), object)
    for index in range(3):
        held[index, 0] = rng.normal(size=(4 + index, 6))
    values = {kind: rng.integers(0, 99, (3, 5)).astype(kind) for kind in KINDS}
    values |= {"cells": held, "small": np.array([[7]], "u1"), "text": np.array(["abc"])}
    savemat(path, values, do_compression=compressed)
    return values


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_are_those_that_scipy_reads(tmp_path, compressed):
    path = tmp_path / "a.mat"
    values = write(path, compressed)
    expected = loadmat(path)
    found = read_mat5(path, [*KINDS, "cells", "small", "absent"])
    assert set(found) == {*KINDS, "cells", "small"}
    for key in (*KINDS, "small"):
        assert found[key].dtype == expected[key].dtype
        assert np.array_equal(found[key], values[key])
    assert found["cells"].shape == (3, 1)
    for cell, written in zip(found["cells"].ravel(), values["cells"].ravel(), strict=True):
        assert np.array_equal(cell, written)


def test_texts_are_refused_where_they_are_wanted(tmp_path):
    write(tmp_path / "a.mat", compressed=False)
    with pytest.raises(InputError, match="'text' does not hold real numbers"):
        read_mat5(tmp_path / "a.mat", ["text"])


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_bytes_end_in_one_error_or_in_arrays(tmp_path, compressed):
    path = tmp_path / "a.mat"
    write(path, compressed)
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for trial in range(300):
        content = bytearray(whole)
        if trial % 3:
            for at in rng.integers(120, len(whole), 4).tolist():
                content[at] = int(rng.integers(256))
        else:
            del content[int(rng.integers(len(whole))) :]
        path.write_bytes(content)
        try:
            read_mat5(path, [*KINDS, "cells"])
        except InputError:
            refused += 1
    assert refused > 100
