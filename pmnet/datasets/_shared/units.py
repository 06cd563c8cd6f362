"""Boxes, joints, poses and genders as files give them: brought to one unit, or refused."""

from pathlib import Path
from typing import Final

import numpy as np

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.formats.arrays import finite

BOX_MARGIN: Final = 1.2  # SPIN: the box is a fifth wider than the joints
MAX_SCALE: Final = 50.0  # a box of 10,000 px; a larger number is a width in px
MAX_EMPTY: Final = 0.1  # share of rows that may have a box without size: they are dropped
MAX_CONFIDENCE: Final = 1.1  # OpenPose's confidences pass 1 a little
MAX_M: Final = 10.0  # joints that spread farther are given in mm
PERSON_M: Final = (0.1, 10.0)  # the least and the most that the joints of a person spread
MAX_RAD: Final = 50.0  # several turns; a larger number is in degrees, or damaged
GENDERS: Final = {"m": "male", "f": "female", "n": "neutral", "": ""}


def box_around(
    points: np.ndarray, visible: np.ndarray, margin: float = BOX_MARGIN
) -> tuple[np.ndarray, np.ndarray]:
    """Return centre (N, 2) px and scale (N,) of the square box around the visible of (N, J, 2) points.

    The scale is the width / 200 px, as in SPIN. Both are NaN where no point is visible.
    """
    shown = np.where(visible[..., None], points, np.nan)
    seen = visible.any(1)
    low, high = np.full((2, len(points), 2), np.nan)
    low[seen], high[seen] = np.nanmin(shown[seen], 1), np.nanmax(shown[seen], 1)
    return (low + high) / 2, (high - low).max(1) * margin / BOX_PX


def box_of_corners(corners: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Return centre (N, 2) px and scale (N,) of boxes given as (N, 4) x, y, width, height in px."""
    size = corners[:, 2:]
    return corners[:, :2] + size / 2, size.max(1) * margin / BOX_PX


def check_scale(path: Path, key: str, scale: np.ndarray) -> None:
    """Raise InputError where a scale is too large for the width of a box / 200 px, or many have no size.

    `to_samples` drops the few rows without a size, and counts them.
    """
    wrong = scale > MAX_SCALE
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} is {scale[row]:g}; expected the width of the box / 200, above 0 "
            f"and at most {MAX_SCALE:g}; {int(wrong.sum())} rows are not. Widths in px: divide by 200"
        )
    empty = without_box(scale)
    if empty.sum() > max(1, MAX_EMPTY * len(scale)) or (empty.all() and len(scale)):
        row = int(empty.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} is {scale[row]:g}, so the person has no box; expected a width above "
            f"0; {int(empty.sum())} of {len(scale)} rows have none. Draw boxes around their joints, or drop "
            "these rows"
        )


def without_box(scale: np.ndarray) -> np.ndarray:
    """Return where the box has no size: BEDLAM writes a scale of -1 for a person without a box."""
    return np.asarray(scale <= 0)


def check_confidence(path: Path, key: str, keypoints: np.ndarray) -> None:
    """Raise InputError where a confidence, the last number of a keypoint, is above 1 (N, J, 3 or 4).

    0 or less, and NaN, mean that the joint is not annotated. OpenPose gives slightly more than 1.
    """
    wrong = keypoints[..., -1] > MAX_CONFIDENCE
    if wrong.any():
        row, joint = np.argwhere(wrong)[0].tolist()
        raise InputError(
            f"{path}: {key!r} row {row} has the confidence {keypoints[row, joint, -1]:g} at joint {joint}; "
            f"expected 0 to 1; {int(wrong.any(1).sum())} of {len(wrong)} rows are not. Flags 0, 1, 2 as in "
            "COCO: write 1 for 2. Percent: divide by 100; 0 to 255: divide by 255"
        )


def flags(path: Path, key: str, values: np.ndarray) -> np.ndarray:
    """Return the mask of (N,) flags; raises InputError where one is neither 0 nor 1."""
    wrong = ~np.isin(values, (0, 1))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} is {values[row]:g}; expected 1 where the row is valid, else 0; "
            f"{int(wrong.sum())} of {len(values)} rows are neither"
        )
    return np.asarray(values > 0)


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


def in_metres(path: Path, key: str, keypoints: np.ndarray) -> np.ndarray:
    """Return (N, J, 4) keypoints; raises InputError where confident ones cannot be metres."""
    shown = np.where(keypoints[..., 3:] > 0, keypoints[..., :3], np.nan)
    with np.errstate(invalid="ignore"):
        size = np.fmax.reduce(shown, axis=1) - np.fmin.reduce(shown, axis=1)
    wrong = (size > MAX_M).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} spans {np.nanmax(size[row]):g}; expected a person in metres. "
            "These look like millimetres: divide by 1000"
        )
    return keypoints


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


def genders(path: Path, given: np.ndarray) -> np.ndarray:
    """Return "male", "female", "neutral" or "" for m, f, n, the whole words or an empty text."""
    words, of_word = np.unique(given, return_inverse=True)
    short = [word.lower() for word in words.tolist()]
    short = [word[:1] if word in GENDERS.values() else word for word in short]
    unknown = np.array([word not in GENDERS for word in short], bool)[of_word]
    if unknown.any():
        row = int(unknown.argmax())
        raise InputError(
            f"{path}: 'gender' row {row} is {str(given[row])!r}; expected m, f, n or nothing"
        )
    return np.array([GENDERS[word] for word in short], str)[of_word]
