"""Joints in a table: columns by name, missing joints, and one error for what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from recorded import write_csv

from pmnet.core.errors import InputError
from pmnet.fitting.joints_csv import read_joints_csv

NAMES = ["LHip", "Head"]
POINTS = np.array([[[0.1, 0.9, 0.0], [0.0, 1.7, 0.1]], [[0.1, 0.8, 0.0], [np.nan] * 3]])


@pytest.fixture
def table(tmp_path) -> Path:
    write_csv(tmp_path / "a.csv", NAMES, POINTS, rate=25.0)
    return tmp_path / "a.csv"


def test_a_table_is_read_in_any_spelling_of_its_columns(table):
    read = read_joints_csv(table)
    assert read.labels == NAMES and read.rate_hz == pytest.approx(25.0)
    np.testing.assert_allclose(read.points, POINTS)
    text = table.read_text()
    table.write_text(
        "\ufeff" + text.replace("_x", ".X").replace("_y", " Y").replace("time", "Time")
    )
    np.testing.assert_allclose(read_joints_csv(table).points, POINTS)
    head, *rows = text.splitlines()
    table.write_text("\n".join([f"{head},note", *(f"{row},walks" for row in rows)]))
    np.testing.assert_allclose(read_joints_csv(table).points, POINTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", r"not a readable \.csv"),
        (lambda t: t.splitlines()[0], "has no frame; the file is cut short"),
        (lambda t: t[:-12], "its last line has fewer fields than line 1; the file is cut short"),
        (lambda t: t.replace("time", "when"), "has no column `time`"),
        (lambda t: t.replace("0.040000", "0.000000"), "column time rises by 0 per frame"),
        (
            lambda t: t.replace("1.70000", "tall"),
            "line 2, column Head_y is 'tall'; expected a number",
        ),
        (lambda t: t.replace("_z", "_depth"), "no joint in its columns; expected NAME_x"),
    ],
)
def test_a_wrong_table_is_one_error(table, change, message):
    table.write_text(change(table.read_text()))
    with pytest.raises(InputError, match=message):
        read_joints_csv(table)
