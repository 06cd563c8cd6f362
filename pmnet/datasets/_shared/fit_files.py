"""The files of SMPL fits to image annotations: SPIN's, which belong by position, and EFT's, by image.

A fit of SPIN's files (`spin_fits`, `static_fits`, the multi-view fits of MPI-INF-3DHP) belongs to the
row of the npz with the same number. The root is in the camera frame in all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pmnet.body.camera import BOX_PX
from pmnet.core.errors import InputError
from pmnet.datasets._shared.rows import Rows
from pmnet.formats.arrays import array
from pmnet.formats.json import numbers, read_records, texts
from pmnet.formats.npz import read_npz

MAX_SKEW = 0.02  # of R R^T from the identity: EFT prints its matrices with few digits


@dataclass
class Fits:
    """A fit for each of N rows: rotation vectors (rad), betas, and whether it is valid."""

    poses: np.ndarray  # (N, 72)
    betas: np.ndarray  # (N, 10)
    valid: np.ndarray  # (N,)


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
        array(path, values, flag, (len(poses),)),
    )


def read_static(path: Path) -> Fits:
    """Return the fits of a npy of SPIN's static_fits: pose and betas side by side, (N, 82)."""
    try:
        both = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable .npy ({error}); copy it anew") from None
    if not isinstance(both, np.ndarray):
        raise InputError(f"{path}: is an .npz; expected one array, any x 82 (or set kind: spin)")
    both = array(path, {"fits": both}, "fits", (None, 82))
    return _of_rows(path, both[:, :72], both[:, 72:], np.ones(len(both)))


def _of_rows(path: Path, poses: np.ndarray, betas: np.ndarray, valid: np.ndarray) -> Fits:
    finite = np.isfinite(poses).all(1) & np.isfinite(betas).all(1)
    bad = (valid > 0) & ~finite
    if bad.any():
        raise InputError(
            f"{path}: the fit of row {int(bad.argmax())} is NaN or infinite, but marked as valid; "
            f"{int(bad.sum())} rows are; mark them as not valid or copy the file anew"
        )
    return Fits(poses, betas, valid > 0)


def read_eft(path: Path, rows: Rows) -> Fits:
    """Return EFT's fits (json) for the rows of the same image, by the nearest centre of the box.

    A fit farther from a row's centre than half its box belongs to another person. Raises InputError
    naming the record at fault. The layout is that of EFT's docs/README_dataformat.md.
    """
    found = read_records(path, "data")
    names = texts(path, found, "imageName")
    centers = numbers(path, found, "bbox_center", (2,))
    rotmats = numbers(path, found, "parm_pose", (24, 3, 3))
    betas = numbers(path, found, "parm_shape", (10,))
    if strange := {str(fit.get("smpltype", "smpl")) for fit in found} - {"smpl"}:
        raise InputError(
            f"{path}: has fits of {', '.join(sorted(strange))}; expected SMPL's only, 'smpltype' smpl"
        )
    _check_rotations(path, rotmats)
    row, fit = nearest(rows, names, centers)
    n = len(rows)
    fits = Fits(np.zeros((n, 72)), np.zeros((n, 10)), np.zeros(n, bool))
    if len(fit):
        rotvecs = Rotation.from_matrix(rotmats[fit].reshape(-1, 3, 3)).as_rotvec()
        fits.poses[row], fits.betas[row] = rotvecs.reshape(-1, 72), betas[fit]
        fits.valid[row] = True
    return fits


def _check_rotations(path: Path, rotmats: np.ndarray) -> None:
    skew = np.abs(rotmats @ rotmats.swapaxes(-1, -2) - np.eye(3)).max((1, 2, 3))
    bad = (skew > MAX_SKEW) | (np.linalg.det(rotmats) < 0).any(1)
    if bad.any():
        raise InputError(
            f"{path}: 'parm_pose' of record {int(bad.argmax())} is no rotation, as are those of "
            f"{int(bad.sum())} records; expected 24 x 3 x 3 rotation matrices. Copy the file anew"
        )


def nearest(rows: Rows, names: Sequence[str], centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of a row and the fit to it: same image by its name, nearest centres first.

    No row and no fit is in two pairs.
    """
    row, fit = _same_image([_base(name) for name in rows.image_name], [_base(n) for n in names])
    far = np.linalg.norm(centers[fit] - rows.center[row], axis=1)
    by_distance = np.lexsort((fit, row, far))
    near = by_distance[far[by_distance] <= rows.scale[row[by_distance]] * BOX_PX / 2]
    row, fit = row[near], fit[near]
    rows_kept, fits_kept = [row[:0]], [fit[:0]]
    # a pair that comes first for its row and for its fit is what greedy choice would take
    while len(row):
        first = np.intersect1d(
            np.unique(row, return_index=True)[1], np.unique(fit, return_index=True)[1]
        )
        rows_kept.append(row[first])
        fits_kept.append(fit[first])
        left = ~np.isin(row, row[first]) & ~np.isin(fit, fit[first])
        row, fit = row[left], fit[left]
    return np.concatenate(rows_kept), np.concatenate(fits_kept)


def _same_image(images: Sequence[str], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of a row of `images` and an index of `names` that are equal."""
    known, of_known = np.unique(np.array(names, dtype=str), return_inverse=True)
    grouped, sizes = np.argsort(of_known, kind="stable"), np.bincount(of_known)
    starts = np.cumsum(sizes) - sizes
    place = dict(zip(known.tolist(), range(len(known)), strict=True))
    group = np.array([place.get(image, -1) for image in images], int)
    found = np.flatnonzero(group >= 0)
    counts = sizes[group[found]]
    row = np.repeat(found, counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, grouped[np.repeat(starts[group[found]], counts) + within]


def _base(name: object) -> str:
    return str(name).rsplit("/", 1)[-1]
