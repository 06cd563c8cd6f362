"""SPIN's npz, in which most of the field shares its annotations: one row a person.

Keys: `imgname` relative to the folder of images, `center` px, `scale` (width of the square box / 200, as
it is cropped); optional `part` (2D, px, J24), `S` (3D, m, camera frame, J24), `pose` (rad, the root in the
camera frame) and `shape` with `has_smpl`, `gender`. OpenPose detections (`openpose`) are not read: SPIN
trains with a weight of 0 on them.
"""

from pathlib import Path
from typing import Final

import numpy as np

from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.npz import read_texts_npz

REQUIRED: Final = ("imgname", "center", "scale")
KEYS: Final = (*REQUIRED, "part", "S", "pose", "shape", "has_smpl", "gender")
GENDERS: Final = {"m": "male", "f": "female", "n": "neutral", "": ""}
MAX_SCALE: Final = 50.0  # a box of 10,000 px: more is a width in px
MAX_M: Final = 10.0  # a joint farther than this from the others is given in mm


def read_spin(path: Path) -> Rows:
    """Return the rows of an npz in SPIN's layout; raises InputError naming the key or row at fault."""
    values = read_texts_npz(path, KEYS)
    center = array(path, values, "center", (None, 2))
    rows = Rows(
        image_name=array(path, values, "imgname", (None,), "U"),
        center=finite(path, "center", center),
        scale=finite(path, "scale", array(path, values, "scale", (None,))),
    )
    if "part" in values:
        rows.keypoints_2d = array(path, values, "part", (None, 24, 3))
    if "S" in values:
        rows.keypoints_3d = in_metres(path, "S", array(path, values, "S", (None, 24, 4)))
    if "pose" in values or "shape" in values:
        rows.poses = array(path, values, "pose", (None, 72))
        rows.betas = array(path, values, "shape", (None, 10))
    if "has_smpl" in values:
        rows.has_smpl = array(path, values, "has_smpl", (None,))
    if "gender" in values:
        rows.gender = genders(path, array(path, values, "gender", (None,), "U"))
    # by the names of the file, so that the error says them
    same_length(path, {key: values[key] for key in values})
    check_scale(path, "scale", rows.scale)
    return rows


def check_scale(path: Path, key: str, scale: np.ndarray) -> None:
    """Raise InputError where a scale is not the width of a box by 200 px."""
    wrong = (scale <= 0) | (scale > MAX_SCALE)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: {key!r} row {row} is {scale[row]:g}; expected the width of the box / 200, above 0 "
            f"and at most {MAX_SCALE:g}; {int(wrong.sum())} rows are not. Widths in px: divide by 200"
        )


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


def genders(path: Path, found: np.ndarray) -> np.ndarray:
    """Return male, female, neutral or nothing from m, f, n or nothing, or the words themselves."""
    words, of_word = np.unique(found, return_inverse=True)
    short = [word.lower() for word in words.tolist()]
    short = [word[:1] if word in GENDERS.values() else word for word in short]
    unknown = np.array([word not in GENDERS for word in short], bool)[of_word]
    if unknown.any():
        row = int(unknown.argmax())
        raise InputError(
            f"{path}: 'gender' row {row} is {str(found[row])!r}; expected m, f, n or nothing"
        )
    return np.array([GENDERS[word] for word in short], str)[of_word]
