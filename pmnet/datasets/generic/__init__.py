"""A user's own people: one npz or csv with plain names, one row per person.

Required (npz keys; `pmnet template` writes an example of either kind):

- `image_name` (N,): file relative to options.images;
- `center` (N, 2): middle of the person's square box, px of the image, x to the right, y down;
- `scale` (N,): width of the box / 200 px; a fifth wider than the person is usual.

Optional (a missing key is marked as missing in the samples):

- `poses` (N, 72): 24 rotation vectors of SMPL in rad, the root first and in the camera frame (x right, y
  DOWN, z away): a person who stands upright and faces the camera has a root of about (pi, 0, 0);
- `betas` (N, 10): shape of SMPL; required where `poses` is given;
- `has_smpl` (N,): 1 where poses and betas are valid, else 0; without it all rows are valid;
- `keypoints_2d` (N, 24, 3): x, y (px of the image), confidence 0 to 1; 0: not annotated; the joints are J24
  of `pmnet.body.keypoints`, in its order;
- `keypoints_3d` (N, 24, 4): x, y, z (m, camera frame, any origin), confidence; the same joints;
- `gender` (N,): m, f, n or male, female, neutral: of the body model of the betas; empty: unknown;
- `subject` (N,): name of the person; `sequence` (N,): name of the clip, shared by its rows.

A csv has a header and the columns image_name, center_x, center_y, scale, pose_0 to pose_71, beta_0 to
beta_9, has_smpl, JOINT_x, JOINT_y, JOINT_confidence (2D), JOINT_x_m, JOINT_y_m, JOINT_z_m,
JOINT_confidence_m (3D), gender, subject, sequence. JOINT is a name of J24; joints may be left out, and
an empty cell means that a joint is not annotated. Without its column, the confidence is 1.
"""

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pmnet.body import BodyModel
from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, npz_texts
from pmnet.datasets._shared.rows import Rows, to_samples
from pmnet.datasets._shared.units import (
    check_confidence,
    check_scale,
    flags,
    genders,
    in_metres,
)
from pmnet.datasets.generic.table import COLUMNS, csv_header, csv_texts, read_csv
from pmnet.datasets.generic.template import write_template as write_template  # for `pmnet template`
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.npz import npz_keys, read_npz

REQUIRED: Final = ("image_name", "center", "scale")
SHAPES: Final[dict[str, tuple[int, ...]]] = {
    "center": (2,),
    "scale": (),
    "poses": (72,),
    "betas": (10,),
    "has_smpl": (),
    "keypoints_2d": (24, 3),
    "keypoints_3d": (24, 4),
}
TEXTS: Final = ("image_name", "gender", "subject", "sequence")
KEYS: Final = (*REQUIRED, *(key for key in (*SHAPES, *TEXTS) if key not in REQUIRED))
MAX_TURN: Final = 4 * math.pi  # rad; longer rotation vectors are in degrees


@dataclass(frozen=True)
class Options:
    """The folder that image names are relative to, and the joints of MPJPE."""

    images: Path
    measured: Literal["j14", "j17"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the rows of an npz or csv; raises InputError naming the key or column and the row."""
    rows = read_rows(source)
    return to_samples(name, rows, source, options.images, body, options.measured)


def read_rows(path: Path) -> Rows:
    """Return the rows of an npz or csv with the names in this module's docstring."""
    if path.suffix.lower() == ".csv":
        values = read_csv(path)
    else:
        _check_names(path, npz_keys(path))
        values = read_npz(path, KEYS)
    columns: dict[str, Any] = {}
    for key in TEXTS:
        if key in values or key in REQUIRED:
            columns[key] = array(path, values, key, (None,), "U")
    for key, shape in SHAPES.items():
        if key in values or key in REQUIRED:
            columns[key] = array(path, values, key, (None, *shape))
    if len({"poses", "betas"} & set(columns)) == 1 or (
        "has_smpl" in columns and "poses" not in columns
    ):
        raise InputError(f"{path}: poses and betas belong together; has_smpl needs both")
    if not same_length(path, columns):
        raise InputError(f"{path}: has no rows; `pmnet template` shows two")
    rows = Rows(**columns)
    _check(path, rows)
    if rows.gender is not None:
        rows.gender = genders(path, np.asarray(rows.gender))
    if rows.keypoints_3d is not None:
        rows.has_keypoints_3d = np.any(rows.keypoints_3d[..., 3] > 0, axis=1)
    return rows


def _check_names(path: Path, keys: set[str]) -> None:
    for key in sorted(keys - set(KEYS)):
        near = difflib.get_close_matches(key, KEYS, 1)
        meant = f"did you mean {near[0]!r}? Else rename" if near else "rename"
        raise InputError(
            f"{path}: key {key!r} is not known; {meant} or drop it. Known: {', '.join(KEYS)}"
        )


def _check(path: Path, rows: Rows) -> None:
    finite(path, "center", rows.center)
    finite(path, "scale", rows.scale)
    check_scale(path, "scale", rows.scale)
    if rows.poses is not None:
        valid = np.ones(len(rows), bool) if rows.has_smpl is None else rows.has_smpl > 0
        turns = np.linalg.norm(rows.poses.reshape(len(rows), 24, 3), axis=2).max(1)
        wrong = valid & (turns > MAX_TURN)
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                f"{path}: 'poses' row {row} turns a joint by {turns[row]:g} rad; these look like "
                "degrees: multiply by pi / 180"
            )
    if rows.has_smpl is not None:
        rows.has_smpl = flags(path, "has_smpl", rows.has_smpl)
    if rows.keypoints_3d is not None:
        in_metres(path, "keypoints_3d", rows.keypoints_3d)
        check_confidence(path, "keypoints_3d", rows.keypoints_3d)
    if rows.keypoints_2d is not None:
        check_confidence(path, "keypoints_2d", rows.keypoints_2d)
        _check_in_box(path, rows, rows.keypoints_2d)


def _check_in_box(path: Path, rows: Rows, keypoints: np.ndarray) -> None:
    """Raise InputError where most rows have no joint in their box."""
    seen = keypoints[..., 2] > 0
    reach = np.abs(keypoints[..., :2] - rows.center[:, None]).max(2)
    outside = seen.any(1) & ~(seen & (reach <= rows.scale[:, None] * BOX_PX / 2)).any(1)
    if outside.sum() * 2 > seen.any(1).sum():
        raise InputError(
            f"{path}: 'keypoints_2d' row {int(outside.argmax())} has no joint in its box "
            f"({int(outside.sum())} of {len(rows)} rows have none); expected px of the image (not of the "
            "crop, not -1 to 1), x before y"
        )


def find(root: Path) -> list[Found]:
    """Return the npz and csv files below `root` that have the required keys or columns."""
    found = []
    for path in files_below(root, ".npz", ".csv"):
        if path.suffix == ".npz":
            known = set(REQUIRED) <= npz_keys(path)
            names = npz_texts(path, "image_name") if known else []
        else:
            known = {column for key in REQUIRED for column in COLUMNS[key]} <= csv_header(path)
            names = csv_texts(path, "image_name", 5) if known else []
        if known:
            images = image_root(names, path.parent, root)
            options = {"images": str(images), "measured": "j14"}
            split: Literal["train", "test"] = "test" if "test" in path.name else "train"
            found.append(Found("generic", "plain names of pmnet's template", path, split, options))
    return found
