"""MPII Human Pose: SPIN's `mpii_train.npz`, or the h5 files of the stacked-hourglass code (pose-hg).

Raw layout, `train.h5`: `imgname` (N,) bytes or character codes; `part` (N, 16, 2) px, 0 or less where
not annotated; `center` (N, 2) px and `scale` (N,), the height of the person / 200 px. SPIN takes centre
and scale of its `train.h5` as they are. The `annot.h5` of pose-hg holds MPII's own boxes, which its code
moves down by 15 px x scale and makes a quarter wider: `box: shifted` does the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pmnet.body import BodyModel
from pmnet.body.keypoints import LIMBS
from pmnet.core.errors import InputError
from pmnet.core.ranges import Amount
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found
from pmnet.datasets._shared.rows import Rows, to_j24
from pmnet.datasets._shared.units import check_scale
from pmnet.datasets._shared.wild import (
    Release,
    WildOptions,
    annotation_files,
    find_spin,
    read_wild,
    wild_entry,
)
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.hdf5 import read_hdf5

MPII16: Final = (*LIMBS[:6], "pelvis", "thorax", "neck", "head_top", *LIMBS[6:])
RELEASE: Final = Release(
    adapter="mpii",
    spin={"mpii_train.npz": "train"},
    spin_fits="mpii.npz",
    static_fits="mpii_fits.npy",
    eft=("MPII_ver*.json",),
)
KEYS: Final = ("imgname", "center", "scale", "part")
SPIN_MIN: Final = 16  # keypoints
SHIFT_PX: Final = 15.0  # of the centre at scale 1, pose-hg
WIDER: Final = 1.25  # pose-hg


@dataclass(frozen=True)
class Options(WildOptions):
    """See WildOptions; `min_keypoints` and `box` concern the raw layout.

    `min_keypoints` of the 16 must be annotated (SPIN: 16). `box` takes centre and scale from the file,
    or shifts them as pose-hg does.
    """

    min_keypoints: Amount
    box: Literal["file", "shifted"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the persons of MPII; raises InputError naming the file, the key or row at fault."""
    return read_wild(name, source, options, body, lambda path: read_raw(path, options))


def read_raw(path: Path, options: Options) -> tuple[Rows, dict[str, int]]:
    """Return the persons of an h5 file with enough keypoints, in the order of the file."""
    values = read_hdf5(path, KEYS)
    part = array(path, values, "part", (None, 16, 2))
    center = array(path, values, "center", (None, 2))
    scale = array(path, values, "scale", (None,))
    names = _image_names(path, values)
    same_length(path, {key: values[key] for key in KEYS})
    annotated = np.asarray((part > 0).all(axis=2))
    kept = annotated.sum(1) >= options.min_keypoints
    finite(path, "part", part, kept)
    finite(path, "center", center, kept)
    center, scale = center[kept], scale[kept]
    if options.box == "shifted":
        center = center + [0.0, SHIFT_PX] * scale[:, None]
        scale = scale * WIDER
    check_scale(path, "scale", scale)
    keypoints = np.concatenate([part, annotated[..., None]], 2)[kept]
    rows = Rows(names[kept], center, scale, keypoints_2d=to_j24(keypoints, MPII16))
    return rows, {f"rejected: fewer than {options.min_keypoints} keypoints": int((~kept).sum())}


def find(root: Path) -> list[Found]:
    """Return what is recognised below `root`: SPIN's npz and pose-hg's train.h5 or annot.h5."""
    files = annotation_files(root)
    extra = {"min_keypoints": SPIN_MIN, "box": "file"}
    found = find_spin(root, files, RELEASE, extra)
    for path in files:
        if path.name in ("train.h5", "annot.h5") and _is_pose_hg(path):
            names = [str(name) for name in _some_names(path)]
            box = "shifted" if path.name == "annot.h5" else "file"
            found.append(
                wild_entry(root, files, RELEASE, "raw", path, names, "train", extra | {"box": box})
            )
    return found


def _is_pose_hg(path: Path) -> bool:
    try:
        return set(KEYS) <= set(read_hdf5(path, KEYS))
    except InputError:
        return False


def _some_names(path: Path) -> np.ndarray:
    try:
        return _image_names(path, {"imgname": read_hdf5(path, ["imgname"])["imgname"][:5]})
    except (InputError, KeyError):
        return np.zeros(0, str)


def _image_names(path: Path, values: dict[str, Any]) -> np.ndarray:
    """Return the names as texts, (N,); the files have bytes, objects or character codes."""
    names = np.asarray(values.get("imgname"))
    try:
        if names.dtype.kind in "fiu" and names.ndim == 2:
            names = np.array([bytes(map(int, row)).rstrip(b"\0").strip() for row in names], "S")
        if names.dtype.kind == "O" and names.ndim == 1:
            names = np.array([bytes(name) for name in names], "S")
        return array(path, {**values, "imgname": names}, "imgname", (None,), "U")
    except (UnicodeDecodeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: 'imgname' holds no file names ({error})") from None
