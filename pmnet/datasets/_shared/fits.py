"""SMPL fits to image annotations from several sources: the first valid fit of each row is taken.

Fits of SPIN's files (`spin_fits`, `static_fits`, the multi-view fits of MPI-INF-3DHP) belong to rows by
position: the fit and the row of the npz have the same number, so the lengths must agree. EFT's fits
belong to rows by image name. In all of these files the root is in the camera frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from pmnet.body import BodyModel, BodyParams
from pmnet.body.camera import BOX_PX, fit_camera, project
from pmnet.body.keypoints import J24, LIMBS
from pmnet.body.parts import JOINTS
from pmnet.core.errors import InputError
from pmnet.core.ranges import Weight
from pmnet.datasets._shared.joins import check_matched, nearest
from pmnet.datasets._shared.rows import Rows
from pmnet.datasets._shared.units import flags
from pmnet.formats.arrays import array
from pmnet.formats.json import numbers, read_records, texts
from pmnet.formats.npz import npz_keys, read_npy, read_npz

CHUNK: Final = 8192  # bodies posed at once
MAX_SKEW: Final = 0.02  # how far R R^T may be from the identity: EFT prints few digits


@dataclass
class Fits:
    """A fit for each of N rows: rotation vectors (rad), betas, and whether it is valid."""

    poses: np.ndarray  # (N, 72)
    betas: np.ndarray  # (N, 10)
    valid: np.ndarray  # (N,)


@dataclass(frozen=True)
class FitSource:
    """A file of fits and its kind; `own` means the fits in the annotation file, and needs no `file`."""

    kind: Literal["own", "spin", "static", "multiview", "eft"]
    file: Path | None


@dataclass(frozen=True)
class Reject:
    """Rules that reject fits; 0 switches a rule off.

    `max_beta` rejects larger shape coefficients (SPIN: 3): all betas of the fit become zero and its pose is
    kept, as in SPIN, or the whole fit is dropped, as `drops` says. `max_reprojection` drops fits whose limbs
    miss the annotated ones by more than this share of the box, on average, under the best camera.
    """

    max_beta: Weight
    drops: Literal["betas", "fit"]
    max_reprojection: Weight


def with_fits(
    rows: Rows,
    sources: Sequence[FitSource],
    reject: Reject,
    folder: Path,
    file: Path,
    body: BodyModel,
) -> tuple[Rows, dict[str, int]]:
    """Return rows with the pose and shape of the first valid source, and counts by source and rule.

    The files of the sources are relative to `folder`; `file` is the annotation file.
    """
    n, counts = len(rows), dict[str, int]()
    gender = None if rows.gender is None else np.array(rows.gender, "<U7")
    poses, betas, valid = np.zeros((n, 72)), np.zeros((n, 10)), np.zeros(n, bool)
    for source in sources:
        name = "own fits" if source.file is None else str(source.file)
        fits = _read(source, rows, folder, file)
        kept = _accepted(fits, rows, reject, body, name, counts)
        taken = kept & ~valid
        poses[taken], betas[taken] = fits.poses[taken], fits.betas[taken]
        valid |= kept
        if gender is not None and source.file is not None:
            gender[taken] = "neutral"  # the body that was fitted, whatever the labels say
        counts[f"fits of {name}"] = int(taken.sum())
    counts["without a fit"] = int((~valid).sum())
    rows.poses, rows.betas, rows.has_smpl, rows.gender = poses, betas, valid, gender
    return rows, counts


def _read(source: FitSource, rows: Rows, folder: Path, file: Path) -> Fits:
    if source.kind == "own":
        if rows.poses is None or rows.betas is None:
            raise InputError(f"{file}: has no fits of its own (keys pose, shape); drop kind own")
        valid = np.ones(len(rows), bool) if rows.has_smpl is None else rows.has_smpl > 0
        return Fits(rows.poses, rows.betas, valid)
    if source.file is None:
        raise InputError(f"{file}: fits of kind {source.kind} need the name of their file")
    path = folder / source.file
    if source.kind == "eft":
        return read_eft(path, rows)
    fits = read_static(path) if source.kind == "static" else read_fits(path)
    if len(fits.valid) != len(rows):
        raise InputError(
            f"{path}: {len(fits.valid)} fits for the {len(rows)} rows of {file}; they belong together "
            "by position, so take both from one release"
        )
    return fits


def _accepted(
    fits: Fits, rows: Rows, reject: Reject, body: BodyModel, name: str, counts: dict[str, int]
) -> np.ndarray:
    kept = fits.valid.copy()
    if reject.max_beta > 0:
        wild = kept & (np.abs(fits.betas) > reject.max_beta).any(1)
        if reject.drops == "betas":
            counts[f"betas set to 0: |beta| > {reject.max_beta:g} in {name}"] = int(wild.sum())
            fits.betas = np.where(wild[:, None], 0, fits.betas)
        else:
            counts[f"rejected: |beta| > {reject.max_beta:g} in {name}"] = int(wild.sum())
            kept &= ~wild
    if reject.max_reprojection > 0:
        far = kept & (reprojection(fits, rows, body) > reject.max_reprojection)
        counts[f"rejected: reprojection > {reject.max_reprojection:g} in {name}"] = int(far.sum())
        kept &= ~far
    return kept


def reprojection(fits: Fits, rows: Rows, body: BodyModel) -> np.ndarray:
    """Return the mean distance of fitted to annotated limbs as a share of the box; 0 where unknown.

    The weak-perspective camera is the one that fits best. The joints are the skeleton's, which need no
    vertices. The distance is unknown where the fit is not valid or no limb is annotated.
    """
    share = np.zeros(len(rows))
    if rows.keypoints_2d is None:
        return share
    valid = np.flatnonzero(fits.valid)
    for start in range(0, len(valid), CHUNK):
        part = valid[start : start + CHUNK]
        share[part] = _error_px(fits, rows.keypoints_2d, part, body) / (rows.scale[part] * BOX_PX)
    return np.nan_to_num(share, nan=0.0, posinf=0.0, neginf=0.0)


@torch.no_grad()
def _error_px(
    fits: Fits, keypoints_2d: np.ndarray, part: np.ndarray, body: BodyModel
) -> np.ndarray:
    limbs = [JOINTS.index(joint) for joint in LIMBS]
    seen = torch.from_numpy(keypoints_2d[part][:, [J24.index(joint) for joint in LIMBS]]).float()
    params = BodyParams.from_rotvecs(
        torch.from_numpy(fits.poses[part]).float().view(-1, 24, 3),
        torch.from_numpy(fits.betas[part]).float(),
    )
    points = body.joints(params)[:, limbs]
    weights = (seen[..., 2] > 0).float()
    # joints that are not annotated may hold anything, even NaN
    target = torch.where(weights[..., None] > 0, seen[..., :2], 0)
    fitted = project(points, fit_camera(points, target, weights))
    return (((fitted - target).norm(dim=2) * weights).sum(1) / weights.sum(1)).numpy()


def read_fits(path: Path) -> Fits:
    """Return the fits of an npz: `pose`, `betas` or `shape`, `valid_fit` or `has_smpl`."""
    values = read_npz(path, ("pose", "betas", "shape", "valid_fit", "has_smpl"))
    shape = "betas" if "betas" in values else "shape"
    flag = "valid_fit" if "valid_fit" in values else "has_smpl"
    poses = array(path, values, "pose", (None, 72))
    return _of_rows(
        path,
        poses,
        array(path, values, shape, (len(poses), 10)),
        flags(path, flag, array(path, values, flag, (len(poses),))),
    )


def read_static(path: Path) -> Fits:
    """Return the fits of an npy of SPIN's static_fits: pose and betas side by side, (N, 82)."""
    if npz_keys(path):
        raise InputError(f"{path}: is an .npz; expected one array, any x 82 (or set kind: spin)")
    both = array(path, {"fits": read_npy(path)}, "fits", (None, 82))
    return _of_rows(path, both[:, :72], both[:, 72:], np.ones(len(both)))


def _of_rows(path: Path, poses: np.ndarray, betas: np.ndarray, valid: np.ndarray) -> Fits:
    finite = np.isfinite(poses).all(1) & np.isfinite(betas).all(1)
    bad = (valid > 0) & ~finite
    if bad.any():
        raise InputError(
            f"{path}: the fit of row {int(bad.argmax())} is NaN or infinite, but marked as valid, as are "
            f"{int(bad.sum())} rows in all; mark them as not valid or copy the file anew"
        )
    return Fits(poses, betas, valid > 0)


def read_eft(path: Path, rows: Rows) -> Fits:
    """Return EFT's fits (json), each given to the row of the same image with the nearest box centre.

    A fit whose centre is farther away than half the row's box belongs to another person. For the layout
    see EFT's docs/README_dataformat.md. Raises InputError naming the record at fault.
    """
    fit_records = read_records(path, "data")
    names = texts(path, fit_records, "imageName")
    centers = numbers(path, fit_records, "bbox_center", (2,))
    rotmats = numbers(path, fit_records, "parm_pose", (24, 3, 3))
    betas = numbers(path, fit_records, "parm_shape", (10,))
    if strange := {str(fit.get("smpltype", "smpl")) for fit in fit_records} - {"smpl"}:
        raise InputError(
            f"{path}: has fits of {', '.join(sorted(strange))}; expected only 'smpltype' smpl"
        )
    _check_rotations(path, rotmats)
    row, fit = nearest(rows, names, centers)
    n = len(rows)
    windows = any("\\" in name for name in names)
    cure = (
        f"A fit belongs to the row with the name of its image ({names[:1]}, {list(rows.image_name[:1])}) and "
        "the nearest centre, within half a box: take fits of this data set, and check names and 'center'"
        + "; write / for each backslash in the names"
        * windows
    )
    check_matched(path, len(fit), min(n, len(names)), "fits and rows", cure)
    fits = Fits(np.zeros((n, 72)), np.zeros((n, 10)), np.zeros(n, bool))
    rotvecs = Rotation.from_matrix(rotmats[fit].reshape(-1, 3, 3)).as_rotvec()
    fits.poses[row], fits.betas[row] = rotvecs.reshape(-1, 72), betas[fit]
    fits.valid[row] = True
    return fits


def _check_rotations(path: Path, rotmats: np.ndarray) -> None:
    skew = np.abs(rotmats @ rotmats.swapaxes(-1, -2) - np.eye(3)).max((1, 2, 3))
    bad = (skew > MAX_SKEW) | (np.linalg.det(rotmats) < 0).any(1)
    if bad.any():
        raise InputError(
            f"{path}: 'parm_pose' of record {int(bad.argmax())} is not a rotation ({int(bad.sum())} records "
            "are not); expected 24 x 3 x 3 rotation matrices. Copy the file anew"
        )
