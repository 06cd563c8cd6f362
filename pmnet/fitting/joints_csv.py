"""Joints in a table: a row per frame, `time` in s, and NAME_x, NAME_y, NAME_z per joint.

Empty fields and three zeros mean that a joint was not seen. The signs between name and axis may also be a
dot, a space or none (LHip.X, LHip X, LHipX); other columns are left out.
"""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pmnet.core.errors import InputError
from pmnet.formats.trajectories import Trajectories, in_metres

COLUMN: Final = re.compile(r"(.+?)[_. ]?([xyzXYZ])")
TIMES: Final = ("time", "time_s", "timestamp", "t")


def read_joints_csv(path: Path, unit: str = "") -> Trajectories:
    """Return the joints of a .csv, in m unless `unit` says otherwise.

    Raises InputError naming the column or the line that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = pd.read_csv(io.StringIO(text), skipinitialspace=True)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        why = str(error).strip()
        raise InputError(f"{path}: not a readable .csv ({why}); export it anew") from None
    lines = text.strip().splitlines()
    if lines[-1].count(",") < lines[0].count(","):
        raise InputError(
            f"{path}: its last line has fewer fields than line 1; the file is cut short"
        )
    axes = labels_of_columns(table.columns)
    labels = list(axes)
    if not labels:
        raise InputError(
            f"{path}: no joint in its columns; expected NAME_x, NAME_y, NAME_z per joint, in line 1"
        )
    if not len(table):
        raise InputError(f"{path}: has no frame; the file is cut short")
    points = np.stack(
        [[_numbers(path, table, axes[label][axis]) for axis in "xyz"] for label in labels]
    ).transpose(2, 0, 1)
    return Trajectories(labels, in_metres(path, points, unit or "m"), _rate(path, table))


def labels_of_columns(columns: Iterable[object]) -> dict[str, dict[str, str]]:
    """Return the columns of x, y and z by the name of the joint."""
    axes: dict[str, dict[str, str]] = {}
    for column in map(str, columns):
        if match := COLUMN.fullmatch(column):
            axes.setdefault(match[1], {})[match[2].lower()] = column
    return {label: own for label, own in axes.items() if len(own) == 3}


def _numbers(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    numbers = pd.to_numeric(table[column], errors="coerce")
    wrong = numbers.isna() & table[column].notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(
            f"{path}: line {row + 2}, column {column} is {table[column].iloc[row]!r:.50}; expected a number"
        )
    return numbers.to_numpy(np.float64)


def _rate(path: Path, table: pd.DataFrame) -> float:
    column = next((c for c in table.columns if str(c).strip().lower() in TIMES), None)
    if column is None:
        raise InputError(f"{path}: has no column `time`; add it: the time of each frame in s")
    steps = np.diff(_numbers(path, table, str(column)))
    step = float(np.median(steps)) if len(steps) else 1.0
    if not 1e-5 < step < 1e4:
        raise InputError(
            f"{path}: column {column} rises by {step:g} per frame; expected the time of each frame in s"
        )
    return 1 / step
