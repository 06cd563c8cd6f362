"""BEDLAM (and its kin by CameraHMR): rendered people with exact SMPL or SMPL-X parameters.

One npz per scene, or a folder of them: `imgname`, `center` px, `scale` (200 px), `pose_cam` (N, 72 or more)
or (N, 24, 3) rad with the root in the camera frame, `shape` (N, 10 or more), optional `gender`, `sub` (the
subject), `gtkps` (N, 24 or more, 2 or 3) px. Poses with more than 72 numbers are of SMPL-X: the first 66
are used, hands stay at rest, and options.betas keeps the betas, which belong to another shape space, or
sets them to zero. The first 24 of `gtkps` are the skeleton's joints; only the limbs are taken. Where they
do not lie on the body of the file (other releases have another order), they are left out and counted.

The labels of 6 fps have 11 betas: they belong to the neutral body, though `gender` names another (BEDLAM#54).
The pictures of closeup scenes are stored a quarter turn from their labels (BEDLAM#4): they are turned upright
where they are cut, and counted.
"""

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pmnet.body import BodyModel
from pmnet.body.keypoints import LIMBS
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.data.samples import Samples
from pmnet.datasets._shared.discovery import Found, files_below, image_root, left_out, npz_texts
from pmnet.datasets._shared.fits import Fits, reprojection
from pmnet.datasets._shared.rows import Rows, to_j24, to_samples
from pmnet.datasets._shared.units import check_scale, genders
from pmnet.formats.arrays import array, finite, same_length
from pmnet.formats.npz import npz_keys, read_npz

KEYS: Final = ("imgname", "center", "scale", "pose_cam", "shape", "gender", "sub", "gtkps")
MARKS: Final = {"pose_cam", "trans_cam", "cam_int", "gtkps"}  # npz without any of them are foreign
SMPL: Final = 72
SHARED: Final = 66  # of SMPL-X: the root and the 21 joints that SMPL also has
MAX_MISS: Final = 0.1  # how far limbs may miss the body on average, as a share of the box
SKELETON: Final = tuple(joint if joint in LIMBS else None for joint in JOINTS)
NEUTRAL_BETAS: Final = 11  # numbers of `shape` in labels of the neutral body
CLOSEUP: Final = "*closeup*"  # image names of scenes that were taken with the camera on its side
TURNED, NEUTRAL = (
    "pictures of closeup scenes, turned upright",
    "betas of the neutral body (11 numbers)",
)
MISSED, SMPLX_BETAS = "2D joints left out: not on the body", "betas of SMPL-X"


@dataclass(frozen=True)
class Options:
    """Images lie in `images`/`folder`, where {file} in `folder` stands for the name of the npz.

    BEDLAM: images = training_images, folder = "{file}/png". `betas: zero` takes the mean shape.
    """

    images: Path
    folder: str
    betas: Literal["file", "zero"]


def read(name: str, source: Path, options: Options, body: BodyModel) -> Samples:
    """Return the people of an npz or of all npz of a folder; raises InputError naming file and key."""
    paths = _annotations(source) if source.is_dir() else [source]
    foreign = [path for path in files_below(source, ".npz") if path not in paths]
    if not paths:
        raise InputError(f"{source}: no .npz of BEDLAM below it; check the path")
    parts, counts, neutral = [], {MISSED: 0, SMPLX_BETAS: 0}, 0
    for path in paths:
        rows, is_smplx = read_bedlam(path, options)
        counts[MISSED] += _drop_missed(rows, body)
        neutral += len(rows) if rows.gender is not None and "neutral" in rows.gender else 0
        counts[SMPLX_BETAS] += len(rows) if is_smplx and options.betas == "file" else 0
        parts.append(rows)
    names = [name for part in parts for name in part.image_name]
    counts |= {NEUTRAL: neutral, TURNED: sum(fnmatchcase(name, CLOSEUP) for name in names)}
    counts = {
        what: count for what, count in counts.items() if count or what in (MISSED, SMPLX_BETAS)
    }
    columns = {key: _joined(parts, key) for key in vars(parts[0])}
    counts |= left_out(foreign)
    turned = CLOSEUP if TURNED in counts else ""
    rows = Rows(**columns)
    return to_samples(name, rows, source, options.images, body, "j14", counts, turned)


def _annotations(folder: Path) -> list[Path]:
    """Return the npz files of BEDLAM below a folder, and broken ones, which reading then names."""
    files = [(path, npz_keys(path)) for path in files_below(folder, ".npz")]
    return [path for path, keys in files if MARKS & keys or not keys]


def read_bedlam(path: Path, options: Options) -> tuple[Rows, bool]:
    """Return the rows of one npz, and whether it is of SMPL-X."""
    values = read_npz(path, KEYS)
    folder = options.folder.replace("{file}", path.stem)
    names = array(path, values, "imgname", (None,), "U").tolist()
    poses, is_smplx = _poses(path, values)
    shape = array(path, values, "shape", (None, None))
    if shape.shape[1] < 10:
        raise InputError(f"{path}: 'shape' is {shape.shape}; expected 10 or more betas per row")
    rows = Rows(
        image_name=[f"{folder}/{image}" if folder else image for image in names],
        center=finite(path, "center", array(path, values, "center", (None, 2))),
        scale=finite(path, "scale", array(path, values, "scale", (None,))),
        poses=finite(path, "pose_cam", poses),
        betas=finite(path, "shape", shape[:, :10]) * (options.betas == "file"),
        keypoints_2d=_keypoints(path, values),
        sequence=[f"{path.stem}/{Path(image).parent.as_posix()}" for image in names],
    )
    if "gender" in values:
        rows.gender = genders(path, array(path, values, "gender", (None,), "U"))
        if shape.shape[1] == NEUTRAL_BETAS:
            rows.gender = np.full(len(rows), "neutral")
    if "sub" in values:
        rows.subject = array(path, values, "sub", (None,), "U")
    same_length(path, {key: values[key] for key in values})
    check_scale(path, "scale", rows.scale)
    return rows, is_smplx


def _poses(path: Path, values: dict[str, np.ndarray]) -> tuple[np.ndarray, bool]:
    given = np.asarray(values.get("pose_cam"))
    if given.ndim == 3:
        values["pose_cam"] = given.reshape(len(given), -1)
    poses = array(path, values, "pose_cam", (None, None))
    if poses.shape[1] < SMPL:
        raise InputError(
            f"{path}: 'pose_cam' is of shape {given.shape}; expected 72 numbers or more"
        )
    is_smplx = poses.shape[1] > SMPL
    poses = poses[:, :SMPL].copy()
    poses[:, SHARED:] *= not is_smplx
    return poses, is_smplx


def _keypoints(path: Path, values: dict[str, np.ndarray]) -> np.ndarray | None:
    if "gtkps" not in values:
        return None
    given = array(path, values, "gtkps", (None, None, None))
    if given.shape[1] < len(JOINTS) or given.shape[2] < 2:
        raise InputError(
            f"{path}: 'gtkps' is of shape {given.shape}; expected N x 24 (or more) x 2 (or 3)"
        )
    # all joints of a rendered person are known, even hidden ones
    px = finite(path, "gtkps", given[:, : len(JOINTS), :2])
    return to_j24(np.concatenate([px, np.ones((*px.shape[:2], 1))], 2), SKELETON)


def _drop_missed(rows: Rows, body: BodyModel) -> int:
    """Mark 2D joints that miss the body as unknown; return the number of rows where they do."""
    if rows.keypoints_2d is None or rows.poses is None or rows.betas is None:
        return 0
    fits = Fits(rows.poses, rows.betas, np.ones(len(rows), bool))
    missed = reprojection(fits, rows, body) > MAX_MISS
    rows.keypoints_2d[missed] = 0
    return int(missed.sum())


def _joined(parts: list[Rows], key: str) -> Any:
    """Return a column of all files; where a file lacks it, it is filled with zeros or empty texts."""
    columns = [getattr(part, key) for part in parts]
    if all(column is None for column in columns):
        return None
    empty: list[np.ndarray]
    if key == "keypoints_2d":
        empty = [np.zeros((len(part), 24, 3)) for part in parts]
    else:  # texts: all else is required
        empty = [np.full(len(part), "") for part in parts]
    return np.concatenate(
        [none if column is None else column for column, none in zip(columns, empty, strict=True)]
    )


def find(root: Path) -> list[Found]:
    """Return the files of BEDLAM below `root`, one source per folder."""
    folders: dict[Path, list[Path]] = {}
    for path in files_below(root, ".npz"):
        if {"imgname", "center", "scale", "pose_cam", "shape"} <= npz_keys(path):
            folders.setdefault(path.parent, []).append(path)
    return [_found(folder, paths, root) for folder, paths in sorted(folders.items())]


def _found(folder: Path, paths: list[Path], root: Path) -> Found:
    names = npz_texts(paths[0], "imgname")[:5]
    scene = [f"{paths[0].stem}/png/{name}" for name in names]
    images = image_root(scene, folder, root)
    in_scenes = any(os.path.isfile(images / name) for name in scene)
    if not in_scenes:
        images = image_root(names, folder, root)
    options = {
        "images": str(images),
        "folder": "{file}/png" if in_scenes else "",
        "betas": "file",
    }
    source = paths[0] if len(paths) == 1 else folder
    return Found("bedlam", "npz of BEDLAM", source, "train", options)
