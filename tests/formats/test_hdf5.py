"""Laws of the reader of HDF5 files: what it returns, and what it does not follow."""

import h5py
import numpy as np
import pytest

from pmnet.core.errors import InputError
from pmnet.formats.hdf5 import read_hdf5


def test_wanted_arrays_are_returned_as_they_are(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["values"], file["other"] = values, np.zeros(2)
    read = read_hdf5(tmp_path / "a.h5", ["values", "none"])
    assert set(read) == {"values"} and np.array_equal(read["values"], values)


def linked(file, secret):
    file["part"] = h5py.ExternalLink(str(secret), "secret")


def external(file, secret):
    file.create_dataset("part", (8,), "u1", external=[(str(secret), 0, 8)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "secret", (3,))
    file.create_virtual_dataset("part", layout)


@pytest.mark.parametrize(
    "elsewhere", [linked, external, virtual, lambda f, _: f.create_group("part")]
)
def test_arrays_in_other_files_are_refused(tmp_path, elsewhere):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["secret"] = np.arange(3.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        elsewhere(file, tmp_path / "secret.h5")
    with pytest.raises(
        InputError, match=r"a\.h5: 'part' is not an array stored in the file itself"
    ):
        read_hdf5(tmp_path / "a.h5", ["part"])


def test_what_is_no_hdf5_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"what is this")
    with pytest.raises(InputError, match=r"a\.h5: not a readable HDF5 file"):
        read_hdf5(tmp_path / "a.h5", ["part"])
