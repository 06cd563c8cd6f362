"""What may lie in the folder of a comparator."""

import pytest

from pmnet.core.errors import InputError
from pmnet.evaluation.predictions.comparing import _folder


def test_each_file_belongs_to_a_test_set(tmp_path):
    for name in ("pw3d.npz", "pw3d.names.txt", "mapping.npz", "triangles.npy", "README.md"):
        (tmp_path / name).touch()
    found = _folder(tmp_path, ["pw3d"], "comparators.x")
    assert found.predictions == {"pw3d": tmp_path / "pw3d.npz"}
    assert found.beside("pw3d").names == tmp_path / "pw3d.names.txt"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pw3D.names.npz", r"pw3D\.names\.npz: is of no test set; expected the names pw3d"),
        ("pw3d.names.txt", r"pw3d\.names\.npz is of pw3d too; keep one of the two"),
        ("pw3d.pkl", r"pw3d\.npz: pw3d\.pkl is of pw3d too|pw3d\.pkl: pw3d\.npz is of pw3d too"),
    ],
)
def test_strangers_and_seconds_are_refused(tmp_path, name, words):
    for there in ("pw3d.npz", "pw3d.names.npz", name):
        (tmp_path / there).touch()
    with pytest.raises(InputError, match=words):
        _folder(tmp_path, ["pw3d"], "comparators.x")
