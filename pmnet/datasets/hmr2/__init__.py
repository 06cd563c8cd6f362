"""The npz of ProHMR and HMR 2.0 (4D-Humans): one row per person, with 25 + 19 joints.

Keys: `imgname`, `center` px, `scale`, the width of the box in PIXELS, (N,), (N, 1) or (N, 2), of which the
larger number is taken; optional `body_pose` (N, 72) rad with the root in the camera frame, `has_body_pose`,
`betas`, `has_betas`, `body_keypoints_2d` (N, 25, 3) of OpenPose's BODY_25 and `extra_keypoints_2d`
(N, 19, 3), the first 19 of J24, px with confidence; `*_keypoints_3d` (..., 4) are the same in m. A joint
that is not among the visible 19 is taken from BODY_25, if it has it (limbs without hips, neck, face).
Some files store `scale` in units of 200 px, as SPIN does: set options.scale accordingly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from pmnet.body import BodyModel
from pmnet.body.camera import BOX_PX
from pmnet.body.keypoints import J24
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.rows import Rows, to_j24, to_samples
from pmnet.datasets._shared.units import check_confidence, check_scale, in_metres
from pmnet.datasets._shared.units import flags as flags_of
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.npz import npz_keys, read_npz

# OpenPose's hips are not taken: they lie higher than the hips of J24
BODY25: Final = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", None, None, "right_knee", "right_ankle"),
    *(None, "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear"),
    *(None,) * 6,  # feet
)
EXTRA19: Final = J24[:19]
KEYPOINTS: Final = {"2d": 3, "3d": 4}
KEYS: Final = (
    *("imgname", "center", "scale", "body_pose", "has_body_pose", "betas", "has_betas"),
    *(f"{part}_keypoints_{kind}" for part in ("body", "extra") for kind in KEYPOINTS),
)
MIN_PX: Final = 10.0  # if all boxes are narrower, scale is in units of 200 px
UNITS: Final = {"px": BOX_PX, "200 px": 1.0}


@dataclass(frozen=True)
class Options:
    """The folder that image names are relative to, the unit of `scale`, the joints of MPJPE."""

    images: Path
    scale: Literal["px", "200 px"]
    measured: Literal["j14", "j17"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the rows of the npz `source`; raises InputError naming the key or row at fault."""
    rows, counts = read_hmr2(source, options.scale)
    return to_samples(name, rows, source, options.images, body, options.measured, counts)


def read_hmr2(path: Path, unit: str) -> tuple[Rows, dict[str, int]]:
    """Return the rows of the npz and the counts of rows without a fit; `unit` is one of UNITS."""
    values = read_npz(path, KEYS)
    names = array(path, values, "imgname", (None,), "U")
    center = np.asarray(values.get("center"))
    if center.ndim == 3:  # some writers keep an axis of one person
        values["center"] = center.reshape(len(center), -1)
    rows = Rows(
        image_name=names,
        center=finite(path, "center", array(path, values, "center", (None, 2))),
        scale=_scale(path, values, unit),
        keypoints_2d=_keypoints(path, values, "2d"),
        keypoints_3d=_keypoints(path, values, "3d"),
    )
    if rows.keypoints_3d is not None:
        in_metres(path, "extra_keypoints_3d", rows.keypoints_3d)
        rows.has_keypoints_3d = np.any(rows.keypoints_3d[..., 3] > 0, axis=1)
    same_length(path, {key: values[key] for key in values})
    return rows, _with_fits(path, values, rows)


def _scale(path: Path, values: dict[str, np.ndarray], unit: str) -> np.ndarray:
    given = np.asarray(values.get("scale"))
    if given.ndim == 1:
        values["scale"] = given[:, None]
    scale = array(path, values, "scale", (None, None))
    if scale.shape[1] not in (1, 2):
        raise InputError(f"{path}: 'scale' is of shape {given.shape}; expected N, N x 1 or N x 2")
    scale = finite(path, "scale", scale).max(1)
    if unit == "px" and len(scale) and scale.max() < MIN_PX:
        raise InputError(
            f"{path}: no 'scale' is above {scale.max():g}; expected widths in px. These look like "
            "widths / 200: set options.scale to 200 px"
        )
    scale = scale / UNITS[unit]
    check_scale(path, "scale", scale)
    return scale


def _keypoints(path: Path, values: dict[str, np.ndarray], kind: str) -> np.ndarray | None:
    """Return J24 with confidence: the 19 where they are visible, else the joints of BODY_25."""
    extra, body, width = f"extra_keypoints_{kind}", f"body_keypoints_{kind}", KEYPOINTS[kind]
    openpose = None
    if body in values:
        openpose = _ordered(path, values, body, BODY25, width)
    if extra not in values:
        return openpose
    annotated = _ordered(path, values, extra, EXTRA19, width)
    if openpose is None or len(openpose) != len(annotated):
        return annotated  # where the lengths differ, same_length raises the error
    return np.where(annotated[..., -1:] > 0, annotated, openpose)


def _ordered(
    path: Path, values: dict[str, np.ndarray], key: str, joints: Sequence[str | None], width: int
) -> np.ndarray:
    given = array(path, values, key, (None, len(joints), width))
    if width == KEYPOINTS["2d"]:  # of 3D joints the unit is looked at first
        check_confidence(path, key, given)
    return to_j24(given, joints)


def _with_fits(path: Path, values: dict[str, np.ndarray], rows: Rows) -> dict[str, int]:
    n = len(rows)
    if "body_pose" not in values:
        return {"without a fit": n}
    rows.poses = array(path, values, "body_pose", (None, 72))
    rows.betas = array(path, values, "betas", (None, 10))
    flags = {
        key: flags_of(path, key, array(path, values, key, (None,)))
        if key in values
        else np.ones(n, bool)
        for key in ("has_body_pose", "has_betas")
    }
    rows.has_smpl = flags["has_body_pose"] & flags["has_betas"]
    for key, numbers in (("body_pose", rows.poses), ("betas", rows.betas)):
        finite(path, key, numbers, rows.has_smpl)
    return {
        "without a fit": int((~flags["has_body_pose"]).sum()),
        "without a fit: pose but no betas": int(
            (flags["has_body_pose"] & ~flags["has_betas"]).sum()
        ),
    }


def find(root: Path) -> list[Found]:
    """Return the npz of ProHMR and HMR 2.0 below `root`."""
    found = []
    marks = {"body_keypoints_2d", "extra_keypoints_2d", "has_body_pose"}
    for path in files_below(root, ".npz"):
        keys = npz_keys(path)
        if {"imgname", "center", "scale"} <= keys and marks & keys:
            images = image_root(npz_texts(path, "imgname"), path.parent, root)
            options = {"images": str(images), "scale": "px", "measured": "j14"}
            split: Literal["train", "test"] = "train" if "train" in path.name else "test"
            found.append(Found("hmr2", "npz of ProHMR or HMR 2.0", path, split, options))
    return found
