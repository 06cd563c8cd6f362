"""Joints in millimetres and poses in radians, as files give them; other units are refused."""

from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.formats.arrays import finite

PERSON_M: Final = (0.1, 10.0)  # what a person's joints span at least and at most

MAX_RAD: Final = 50.0  # several turns: more is degrees, or damage


def from_mm(path: Path, key: str, joints_mm: np.ndarray) -> np.ndarray:
    """Return (N, J, 3) joints in m; raises InputError where they are not finite or not in mm."""
    joints = finite(path, key, joints_mm) / 1000
    size = np.ptp(joints, axis=1).max(1)
    wrong = (size < PERSON_M[0]) | (size > PERSON_M[1])
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} spans {1000 * size[row]:g}; expected a person in millimetres, "
            f"as in the data set's own files; {int(wrong.sum())} of {len(joints)} rows are not"
        )
    return joints


def in_rad(path: Path, key: str, poses: np.ndarray) -> np.ndarray:
    """Return (N, 72) rotation vectors; raises InputError where they are not finite or not in rad."""
    wrong = (np.abs(finite(path, key, poses)) > MAX_RAD).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} has {np.abs(poses[row]).max():g}; expected rotation vectors in "
            "rad. Degrees: multiply by pi / 180"
        )
    return poses
