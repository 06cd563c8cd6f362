"""SPIN's npz, the format in which most of the field shares its annotations: one row per person.

Keys: `imgname` relative to the folder of images, `center` px, `scale` (width of the square
crop / 200 px); optional `part` (2D, px, J24), `S` (3D, m, camera frame, J24), `pose` (rad, the root in the
camera frame) and `shape` with `has_smpl`, `gender`. OpenPose detections (`openpose`) are not read: SPIN
trains with a weight of 0 on them.
"""

from pathlib import Path
from typing import Final

from pmnet.datasets._shared.rows import Rows
from pmnet.datasets._shared.units import (
    check_confidence,
    check_scale,
    flags,
    genders,
    in_metres,
)
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.npz import read_npz

REQUIRED: Final = ("imgname", "center", "scale")
OTHERS: Final = {  # keys of HMR 2.0 and of BEDLAM, which SPIN's layout does not have
    *("body_pose", "has_body_pose", "body_keypoints_2d", "extra_keypoints_2d", "pose_cam"),
}
KEYS: Final = (*REQUIRED, "part", "S", "pose", "shape", "has_smpl", "gender")


def is_spin(keys: set[str]) -> bool:
    """Return whether an npz with these keys may be in SPIN's layout, whatever its name.

    HMR 2.0 and BEDLAM share some keys, and often the names of the files. A file whose keys cannot be read
    may be: reading it gives the error.
    """
    return not keys & OTHERS


def read_spin(path: Path) -> Rows:
    """Return the rows of an npz in SPIN's layout; raises InputError naming the key or row at fault."""
    values = read_npz(path, KEYS)
    center = array(path, values, "center", (None, 2))
    rows = Rows(
        image_name=array(path, values, "imgname", (None,), "U"),
        center=finite(path, "center", center),
        scale=finite(path, "scale", array(path, values, "scale", (None,))),
    )
    if "part" in values:
        rows.keypoints_2d = array(path, values, "part", (None, 24, 3))
        check_confidence(path, "part", rows.keypoints_2d)
    if "S" in values:
        rows.keypoints_3d = in_metres(path, "S", array(path, values, "S", (None, 24, 4)))
        check_confidence(path, "S", rows.keypoints_3d)
    if "pose" in values or "shape" in values:
        rows.poses = array(path, values, "pose", (None, 72))
        rows.betas = array(path, values, "shape", (None, 10))
    if "has_smpl" in values:
        rows.has_smpl = flags(path, "has_smpl", array(path, values, "has_smpl", (None,)))
    if "gender" in values:
        rows.gender = genders(path, array(path, values, "gender", (None,), "U"))
    # with the file's own names, so that the error shows them
    same_length(path, {key: values[key] for key in values})
    check_scale(path, "scale", rows.scale)
    return rows
